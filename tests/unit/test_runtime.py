import os
import sys
from pathlib import Path
from threading import Event, Timer

import pytest
from pyspark.errors import PySparkException

from retail_etl import runtime, spark
from retail_etl.errors import ConfigurationError
from retail_etl.runtime import Job, Result, parse_options, side_by_side, started


def test_options_are_read_as_glue_passes_them_and_optional_ones_have_a_default() -> None:
    arguments = ["extract.py", "--lake", "s3://lake", "--JOB_NAME", "extract", "--unknown", "x"]
    options = parse_options(arguments, ["lake"], {"source_secret": ""})
    assert (options["lake"], options["source_secret"], options["JOB_NAME"]) == ("s3://lake", "", "extract")
    assert "unknown" not in options


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="lake"):
        parse_options(["extract.py"], ["lake"], {})
    with pytest.raises(ConfigurationError, match="--layer"):
        Job("quality_gate", {}).option("layer")


def test_a_database_comes_from_the_environment_or_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="SOURCE_URL"):
        Job("extract", {}).database("source")
    monkeypatch.setenv("SOURCE_URL", "postgresql://me:secret@127.0.0.1:6000/totesys")
    assert Job("extract", {}).database("source").port == 6000


def test_the_first_failure_of_tasks_side_by_side_is_raised() -> None:
    assert side_by_side({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}

    def fail() -> int:
        raise ConfigurationError("broken")

    with pytest.raises(ConfigurationError, match="broken"):
        side_by_side({"a": lambda: 1, "b": fail})


def test_what_was_started_is_waited_for_by_name_and_goes_on_meanwhile() -> None:
    taken = Event()

    def wait_for_the_block() -> str:
        assert taken.wait(timeout=10)
        return "b"

    def fail() -> str:
        raise ConfigurationError("broken")

    with started({"a": lambda: "a", "b": wait_for_the_block, "c": fail}) as running:
        assert running["a"].result() == "a"
        taken.set()
        assert running["b"].result() == "b"
        with pytest.raises(ConfigurationError, match="broken"):
            running["c"].result()


def test_what_had_not_begun_is_left_out_where_the_block_is_left_by_an_error() -> None:
    left, begun = Event(), []

    def busy() -> None:
        left.wait(timeout=10)

    tasks = {f"busy {n}": busy for n in range(max(2, os.cpu_count() or 2))}

    def fail_in_the_block() -> None:
        with started({**tasks, "late": lambda: begun.append("late")}):
            Timer(0.2, left.set).start()
            raise ConfigurationError("broken")

    with pytest.raises(ConfigurationError, match="broken"):
        fail_in_the_block()
    assert left.is_set()  # what had begun was waited for
    assert begun == []


def test_a_wait_that_is_no_number_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["glue_jobs/maintain.py", "--lake", str(tmp_path), "--wait_minutes", "an hour"])
    with pytest.raises(SystemExit):
        runtime.main(lambda _: Result("succeeded"))
    assert "ConfigurationError: --wait_minutes an hour is no number of minutes." in caplog.text


def test_a_job_in_which_spark_fails_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def job(_: Job) -> Result:
        raise PySparkException(
            message="An error occurred\nCaused by: java.io.IOException: No space left on device\n\tat x"
        )

    monkeypatch.setattr(sys, "argv", ["glue_jobs/transform.py", "--lake", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runtime.main(job)
    assert ended.value.code == 1
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told.startswith("SparkError: Spark failed (java.io.IOException: No space left on device). Check the disk")


def test_java_is_started_for_as_many_rows_as_the_job_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    started_for: list[int | None] = []
    monkeypatch.setattr(spark, "session", lambda lake, rows=None: started_for.append(rows))
    monkeypatch.setattr(spark, "suit", lambda made, rows: None)
    Job("extract", {"lake": "x"}).expect(7)
    assert Job("reconcile", {"lake": "x"}).spark is None
    assert started_for == [7, None]


def test_java_compiles_simply_where_the_process_ends_with_a_run_of_few_rows_and_not_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SeenError(Exception):
        pass

    def started(lake: str, *, for_few: bool) -> None:
        raise SeenError(for_few)

    def is_simple(rows: int | None) -> bool:
        with pytest.raises(SeenError) as seen:
            spark.session("x", rows)
        return bool(seen.value.args[0])

    monkeypatch.setattr(spark, "_local_context", started)
    monkeypatch.setattr(spark, "submitted", lambda: False)
    monkeypatch.setitem(spark._process, "ends with the run", False)
    assert not any(map(is_simple, (None, 7, spark.MANY + 1)))
    spark.ends_with_the_run()
    assert [is_simple(rows) for rows in (None, 7, spark.MANY + 1)] == [False, True, False]
