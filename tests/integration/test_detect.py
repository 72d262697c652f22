"""Detect says that there is nothing to do only where a run would find nothing; on AWS it starts the workflow."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber

from glue_jobs import detect
from retail_etl import detection
from retail_etl.errors import ContractError, DatabaseError, StateError
from retail_etl.job import NOTHING_TO_DO, BareJob
from retail_etl.manifests import STAGES, Manifests
from retail_etl.runtime import Progress
from scripts.workflow import GLUE_JOBS, Run, read_pipeline, run_pipeline
from tests.integration.conftest import Connect
from tests.integration.world import SOURCE_ROWS, World
from tests.moto_server import moto_server

PAYMENT = (
    "INSERT INTO payment SELECT 71, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id,"
    " paid, payment_date, company_ac_number, counterparty_ac_number, created_at, {} FROM payment"
)
NO_PAYMENT = "DELETE FROM payment WHERE payment_id = 71"
BACK = "INSERT INTO {0} SELECT * FROM kept; DROP TABLE kept"
GONE = "CREATE TABLE kept AS SELECT * FROM {0} WHERE {1}; DELETE FROM {0} WHERE {1}"

CHANGES = {
    "a new row": ("payment", PAYMENT.format("'2024-02-27 16:00'"), NO_PAYMENT),
    "a row that is as old as the last one": ("payment", PAYMENT.format("last_updated"), NO_PAYMENT),
    "a row without last_updated": ("payment", PAYMENT.format("NULL"), NO_PAYMENT),
    "an edit in the window that kept its last_updated": (
        "sales_order",
        "UPDATE sales_order SET units_sold = 8",
        "UPDATE sales_order SET units_sold = 9",
    ),
    "a deletion in the window": ("payment", GONE.format("payment", "true"), BACK.format("payment")),
    "a silent edit of a table that is read whole": (
        "department",
        "UPDATE department SET location = 'Leeds'",
        "UPDATE department SET location = NULL",
    ),
    "a deletion in a table that is read whole": (
        "design",
        GONE.format("design", "design_id = 10"),
        BACK.format("design"),
    ),
    "a column more": ("staff", "ALTER TABLE staff ADD COLUMN room text", "ALTER TABLE staff DROP COLUMN room"),
    "the first row of an empty table": (
        "purchase_order",
        "INSERT INTO purchase_order SELECT 1, staff_id, counterparty_id, 'A', 3, 1.5, currency_id,"
        " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated"
        " FROM sales_order",
        "DELETE FROM purchase_order",
    ),
}
"""Table, change, and what takes it back."""

A_DESIGN_MORE = (
    "INSERT INTO design SELECT 10, design_name, file_location, file_name, created_at, last_updated FROM design"
)


def _reason(world: World, **options: str) -> str | None:
    job = BareJob("detect", {"lake": world.lake, **options}, world.databases)
    return detection.look(job, Manifests(world.lake))[0]


def _run_without_detect(world: World) -> Run:
    """The run that detect would have saved."""
    pipeline = read_pipeline()
    jobs = {name: job for name, job in pipeline.jobs.items() if name != "detect"}
    start, *others = (trigger for trigger in pipeline.triggers if trigger.name != "look")
    triggers = (replace(start, when=()), *others)
    whole = replace(pipeline, jobs=jobs, triggers=triggers)
    return run_pipeline(whole, {"lake": world.lake}, world.databases, lambda _: Progress())


@contextmanager
def _aside(path: Path) -> Iterator[None]:
    aside = path.rename(path.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(path)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that speaks AWS's protocols; gives the name of a workflow in it."""
    name = f"retail-etl-{uuid4().hex}"
    with moto_server(monkeypatch):
        boto3.client("glue").create_workflow(Name=name, MaxConcurrentRuns=1)
        yield name


@pytest.mark.integration
@pytest.mark.slow
def test_a_run_is_saved_only_where_it_would_find_nothing(
    world: World, database: str, connect: Connect, aws: str
) -> None:
    assert _reason(world) == "nothing was extracted yet"
    world.source.run(SOURCE_ROWS)
    world.source.run(A_DESIGN_MORE)
    world.source.run("ALTER TABLE payment ALTER COLUMN last_updated DROP NOT NULL")
    late = connect(database)
    late.run("BEGIN")
    late.run("UPDATE sales_order SET units_sold = 9, last_updated = '2024-02-27 14:20:50'")
    assert world.run(metrics_namespace=aws).error is None
    assert ("SecondsBehindSource", []) in _measured(aws)  # by load
    assert _reason(world) is None
    would_have_been = _run_without_detect(world)
    assert (would_have_been.error, would_have_been.status) == (None, "nothing_changed")
    late.run("COMMIT")
    late.close()
    assert _reason(world) == "sales_order has changed"
    assert world.run().batch_id == 2

    for what, (table, change, undo) in CHANGES.items():
        assert _reason(world) is None, what
        world.source.run(change)
        assert _reason(world) == f"{table} has changed", what
        world.source.run(undo)
    assert _reason(world) is None

    batches = Path(world.lake) / "batches"
    with _aside(batches / "2" / "load.json"):
        assert _reason(world) == "batch 2 waits for a later stage"
        with _aside(batches / "2" / "publish.json"):
            assert _reason(world) == "batch 2 waits for a later stage"
    Manifests(world.lake).reject(2, "a broken row")
    assert _reason(world) == "sales_order has changed"  # batch 1 did not see it
    (batches / "2" / "rejected.json").unlink()
    (full_copy,) = (Path(world.lake) / "raw" / "design" / "batch_id=1").glob("part-*")
    with _aside(full_copy):
        assert _reason(world) == "design has changed"

    assert _reason(world, accept_source="false") is None
    for wish in detection.WISHES:
        assert _reason(world, **{wish: "true"}) == f"--{wish} is given"

    world.warehouse.run("UPDATE etl.ledger SET batch_id = 0 WHERE batch_id = 2")  # as a backup has it
    assert _reason(world) == "the warehouse does not hold batch 2"
    world.warehouse.run("UPDATE etl.ledger SET batch_id = 2 WHERE batch_id = 0")
    world.warehouse.run("ALTER SCHEMA etl RENAME TO elsewhere")
    assert _reason(world) == "the warehouse is empty"
    world.warehouse.run("ALTER SCHEMA elsewhere RENAME TO etl")
    _check_errors(world)


def _check_errors(world: World) -> None:
    """They are those that the stages would end with."""
    source, world.databases["source"] = world.databases["source"], replace(world.databases["warehouse"], role="source")
    with pytest.raises(StateError, match="was fed by the database"):
        _reason(world)
    world.databases["source"] = source
    world.source.run("ALTER TABLE staff ALTER COLUMN last_name TYPE varchar(20)")
    with pytest.raises(ContractError, match=r"public.staff.last_name: .* which is narrower"):
        _reason(world)
    assert _reason(world, accept_contract="staff") == "--accept_contract is given"
    world.warehouse.run("UPDATE etl.ledger SET lake_id = 'another lake'")
    with pytest.raises(StateError, match="was loaded from another lake"):
        _reason(world)
    world.databases["warehouse"] = replace(world.databases["warehouse"], port=1)
    with pytest.raises(DatabaseError, match="Cannot reach the warehouse"):
        _reason(world)


# ---------------------------------------------------------------------------- on AWS


@pytest.mark.parametrize("missing", STAGES[1:])
def test_a_batch_that_waits_for_any_stage_needs_a_run(tmp_path: Path, missing: str) -> None:
    """Those of the lake alone are missing where it was emptied."""
    zone = Manifests(str(tmp_path))
    for batch_id in (zone.claim(), zone.claim()):
        for stage in STAGES:
            if (batch_id, stage) != (2, missing):
                zone.finish(batch_id, stage, {"tables": {}})
    assert detection.look(BareJob("detect", {}), zone)[0] == "batch 2 waits for a later stage"


@pytest.mark.integration
def test_the_workflow_is_started_where_a_run_is_needed(aws: str, tmp_path: Path) -> None:
    """As a process of its own, as Glue calls it. The lake is empty, so no database is asked."""
    script = [sys.executable, str(GLUE_JOBS / "detect.py"), "--lake", str(tmp_path), "--workflow"]
    library = os.environ | {"PYTHONPATH": str(GLUE_JOBS.parent / "lib")}
    started, refused = (
        subprocess.run([*script, name], capture_output=True, text=True, check=False, env=library)
        for name in (aws, "nobody")
    )
    assert (started.returncode, "nothing was extracted yet" in started.stderr) == (0, True), started.stderr
    assert len(boto3.client("glue").get_workflow_runs(Name=aws)["Runs"]) == 1
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "The workflow nobody cannot be started" in refused.stderr


def test_a_workflow_that_runs_already_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    glue = boto3.client("glue", region_name="eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(boto3, "client", lambda _: glue)
    with Stubber(glue) as answers, caplog.at_level(logging.INFO):
        answers.add_client_error("start_workflow_run", "ConcurrentRunsExceededException")
        assert detect.run(BareJob("detect", {"lake": str(tmp_path), "workflow": "retail-etl"})).status == "succeeded"
    assert "retail-etl is running: what is new meanwhile, the next look finds" in caplog.text


@pytest.mark.integration
def test_a_run_that_completed_with_failed_actions_is_told_of(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    runs = [
        {"StartedOn": started + timedelta(hours=hour), **({"CompletedOn": started} if hour < 3 else {})}
        | {"Status": "COMPLETED", "Statistics": statistics}
        for hour, statistics in enumerate(
            [
                {"FailedActions": 7},
                {"FailedActions": 0},
                {"FailedActions": 1, "TimeoutActions": 1, "ErroredActions": 2, "SucceededActions": 5},
                {"FailedActions": 9},  # runs still
            ]
        )
    ]
    monkeypatch.setattr(detection, "look", lambda *_: ("a table has changed", NOTHING_TO_DO))
    client, glue = boto3.client, boto3.client("glue")
    monkeypatch.setattr(boto3, "client", lambda name, **given: glue if name == "glue" else client(name, **given))
    with Stubber(glue) as answers:
        answers.add_client_error("start_workflow_run", "ConcurrentRunsExceededException")
        answers.add_response("get_workflow_runs", {"Runs": runs}, {"Name": aws})
        detect.run(BareJob("detect", {"lake": str(tmp_path), "workflow": aws, "metrics_namespace": aws}))
        answers.assert_no_pending_responses()
    (point,) = client("cloudwatch").get_metric_statistics(
        Namespace=aws,
        MetricName="FailedActions",
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=7200,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert point["Maximum"] == 4


@pytest.mark.integration
def test_who_finds_nothing_starts_nothing_and_tells_that_the_warehouse_is_fresh(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "look", lambda *_: (None, NOTHING_TO_DO))
    options = {"lake": str(tmp_path), "workflow": aws, "metrics_namespace": aws}
    assert detect.run(BareJob("detect", options)) == NOTHING_TO_DO
    assert boto3.client("glue").get_workflow_runs(Name=aws)["Runs"] == []
    assert _measured(aws) == [("SecondsBehindSource", [])]


def _measured(namespace: str) -> list[tuple[str, list]]:
    metrics = boto3.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    return [(metric["MetricName"], metric["Dimensions"]) for metric in metrics]
