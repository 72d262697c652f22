import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from retail_etl import lease, runtime
from retail_etl.errors import ConfigurationError, StateError, StorageError
from retail_etl.runtime import NOTHING_TO_DO, Job, Progress, Result
from retail_etl.storage import Folder, open_storage
from scripts import workflow

HOLDER = """
import sys, time
sys.path.insert(0, "lib")
from retail_etl import lease
with lease.hold(sys.argv[1], "another run"):
    print("held", flush=True)
    time.sleep(60)
"""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2024, 2, 27, 14, 20, tzinfo=UTC)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "_now", lambda: made.now)
    return made


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path)
        return
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        yield "s3://lake/some/prefix"


def _body(lake: str) -> dict[str, str]:
    body: dict[str, str] = json.loads(open_storage(lake).read(lease.NAME) or b"{}")
    return body


def _becomes(lake: str, **changes: object) -> None:
    """Somebody else writes the lease, and tries again where its holder renews it in between."""
    storage = open_storage(lake)
    for _ in range(100):
        data, version = storage.read_version(lease.NAME) or (b"", "")
        if storage.replace(lease.NAME, json.dumps(json.loads(data) | changes).encode(), version):
            return
    pytest.fail("its holder wrote the lease in each of these moments")


def _is_refused(lake: str, match: str) -> None:
    with pytest.raises(StateError, match=match), lease.hold(lake, "the second run"):
        pytest.fail("two runs hold the lease at once")


def _killed(lake: str, *, reaped: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, lake], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    _is_refused(lake, f"another run .process {process.pid} on")
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    return process


def _run_workflow(lake: str) -> workflow.Run:
    return workflow.run_pipeline(workflow.read_pipeline(), {"lake": lake}, {}, lambda _: Progress())


# ------------------------------------------------------------------ two runs


def test_a_second_holder_is_told_who_works_on_the_lake_and_gets_it_when_that_one_is_done(
    lake: str, clock: Clock
) -> None:
    with lease.hold(lake, "the first run"):
        clock.passes(60)
        _is_refused(
            lake,
            rf"the first run .process {os.getpid()} on .* since 2024-02-27 14:20:00 UTC "
            r"and until 2024-02-27 14:22:00 UTC.* wait until that one is done",
        )
        assert _body(lake)["purpose"] == "the first run"
    with lease.hold(lake, "the second run"):
        assert _body(lake)["purpose"] == "the second run"


def test_who_is_patient_gets_it_when_the_other_is_done_and_is_told_who_has_it_when_that_takes_too_long(
    lake: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lease.Lease(open_storage(lake), lake, "the first run")
    first.acquire()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.passes(seconds)
        if len(waited) == 20:
            first.release()

    # Not time.sleep itself: other threads call that too.
    monkeypatch.setattr(lease, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(StateError, match="by the first run"), lease.hold(lake, "no", timedelta(minutes=1)):
        pytest.fail("two runs hold the lease at once")
    assert sum(waited) == 60
    with lease.hold(lake, "the second run", timedelta(minutes=1)):
        assert _body(lake)["purpose"] == "the second run"
        assert _body(lake)["acquired_at"] == clock.now.isoformat()
    assert sum(waited) == 100


def test_a_failure_in_the_block_gives_the_lease_back_and_is_the_error_that_is_seen(lake: str) -> None:
    with pytest.raises(ConfigurationError, match="broken"), lease.hold(lake, "the first run"):
        raise ConfigurationError("broken")
    with lease.hold(lake, "the second run"):
        pass


@pytest.mark.parametrize("before", ["no lease", "an expired lease"])
def test_of_many_that_come_at_once_one_wins_and_the_others_are_told_who(tmp_path: Path, before: str) -> None:
    if before == "an expired lease":
        with lease.hold(str(tmp_path), "an earlier run"):
            pass
        _becomes(str(tmp_path), released_at=None)
    start, end = Barrier(8), Barrier(8)

    def come(number: int) -> str:
        start.wait(10)
        try:
            with lease.hold(str(tmp_path), f"run {number}"):
                end.wait(10)
                return "won"
        except StateError as error:
            end.wait(10)
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(come, range(8)))
    winner = found.index("won")
    others = [error for error in found if error != "won"]
    assert len(others) == 7
    assert all(f"is being worked on by run {winner} " in error for error in others)


def test_who_is_overtaken_between_look_and_grip_does_not_get_it(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease.hold(lake, "an earlier run"):
        pass
    kind = type(open_storage(lake))
    replace = kind.replace

    def too_late(self: Folder, name: str, data: bytes, version: str) -> bool:
        monkeypatch.setattr(kind, "replace", replace)
        _becomes(lake, token="theirs", purpose="the quicker run", released_at=None)
        return replace(self, name, data, version)

    monkeypatch.setattr(kind, "replace", too_late)
    _is_refused(lake, "by the quicker run ")
    assert _body(lake)["token"] == "theirs"


def test_a_lease_that_was_given_back_is_free_for_a_machine_whose_clock_is_late(lake: str, clock: Clock) -> None:
    with lease.hold(lake, "the first run"):
        pass
    clock.passes(-30)
    with lease.hold(lake, "the second run"):
        pass


# ------------------------------------------------------------------ owners that died


def test_a_lease_that_ran_out_is_free_and_not_before(lake: str, clock: Clock) -> None:
    holding = lease.hold(lake, "theirs")
    holding.__enter__()
    clock.passes(119)
    _is_refused(lake, "by theirs")
    clock.passes(1)
    with lease.hold(lake, "ours"):
        assert _body(lake)["purpose"] == "ours"
        with pytest.raises(StateError, match="ours took it over"):
            holding.__exit__(None, None, None)
        assert _body(lake)["purpose"] == "ours"


def test_the_lease_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    _killed(str(tmp_path), reaped=True)
    with lease.hold(str(tmp_path), "ours"):
        assert _body(str(tmp_path))["purpose"] == "ours"


def test_so_is_it_when_nobody_has_asked_yet_how_that_process_ended(tmp_path: Path) -> None:
    process = _killed(str(tmp_path), reaped=False)
    with lease.hold(str(tmp_path), "ours"):
        assert _body(str(tmp_path))["purpose"] == "ours"
    process.wait()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process started")
def test_a_pid_that_another_process_has_by_now_holds_nothing(tmp_path: Path) -> None:
    holding = lease.hold(str(tmp_path), "ours")
    holding.__enter__()
    _becomes(str(tmp_path), process_started="1")
    with lease.hold(str(tmp_path), "the next run"):
        assert _body(str(tmp_path))["purpose"] == "the next run"
    with pytest.raises(StateError, match="was lost"):
        holding.__exit__(None, None, None)


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"machine": "a container of the same host name"}])
def test_of_a_process_on_another_machine_nothing_is_known_before_the_lease_runs_out(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    _killed(str(tmp_path), reaped=True)
    _becomes(str(tmp_path), **elsewhere)
    _is_refused(str(tmp_path), "by another run")


# ------------------------------------------------------------------ holders that lose it


def test_it_is_renewed_while_the_work_goes_on(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.02)
    with lease.hold(lake, "ours") as held:
        first = _body(lake)["expires_at"]
        until = time.monotonic() + 10
        while _body(lake)["expires_at"] == first and time.monotonic() < until:
            time.sleep(0.02)
        assert _body(lake)["expires_at"] > first
        held.check()


def test_work_done_under_a_lease_that_was_taken_over_is_not_reported_as_done(lake: str) -> None:
    holding = lease.hold(lake, "ours")
    holding.__enter__()
    _becomes(lake, token="theirs", purpose="the next run")
    with pytest.raises(StateError, match="was lost while this run worked: the next run took it over"):
        holding.__exit__(None, None, None)
    assert _body(lake)["token"] == "theirs"


def test_the_thread_that_renews_it_remembers_that_it_was_taken_over(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.02)
    holding = lease.hold(lake, "ours")
    held = holding.__enter__()
    _becomes(lake, token="theirs")
    until = time.monotonic() + 10
    while not held._lost and time.monotonic() < until:
        time.sleep(0.02)
    with pytest.raises(StateError, match="was lost"):
        held.check()
    with pytest.raises(StateError, match="was lost"):
        holding.__exit__(None, None, None)


def test_a_machine_that_slept_and_whose_lease_nobody_took_goes_on(lake: str, clock: Clock) -> None:
    with lease.hold(lake, "ours") as held:
        clock.passes(600)
        held.check()
        assert _body(lake)["expires_at"] == (clock.now + lease.DURATION).isoformat()
        _is_refused(lake, "by ours")


def test_a_machine_that_slept_and_whose_lease_was_taken_stops(lake: str, clock: Clock) -> None:
    holding = lease.hold(lake, "ours")
    held = holding.__enter__()
    clock.passes(600)
    with lease.hold(lake, "the next run"):
        pass
    with pytest.raises(StateError, match="the next run took it over"):
        held.check()
    with pytest.raises(StateError, match="the next run took it over"):
        holding.__exit__(None, None, None)


def test_a_storage_that_refuses_writes_costs_the_lease_when_its_time_is_over_and_not_before(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError("no space left")

    holding = lease.hold(str(tmp_path), "ours")
    held = holding.__enter__()
    monkeypatch.setattr(Folder, "replace", full)
    clock.passes(119)
    held.check()
    clock.passes(1)
    with pytest.raises(StateError, match=r"ran out at 2024-02-27 14:22:00 UTC, .* .no space left"):
        held.check()
    with pytest.raises(StateError, match="was lost"):
        holding.__exit__(None, None, None)


def test_a_lease_that_cannot_be_given_back_runs_out_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bool:
        raise OSError("no space left")

    with lease.hold(str(tmp_path), "ours"):
        monkeypatch.setattr(Folder, "replace", full)
    assert "could not be written: no space left" in caplog.text


def test_a_write_that_was_done_and_not_answered_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's client sends again what was not answered, and is told that the version is another one by now: its own."""
    create, replace = Folder.create, Folder.replace
    monkeypatch.setattr(Folder, "create", lambda *arguments: create(*arguments) and False)
    with lease.hold(str(tmp_path), "ours") as held:
        assert _body(str(tmp_path))["purpose"] == "ours"

        def once(*arguments: object) -> bool:
            monkeypatch.setattr(Folder, "replace", replace)
            replace(*arguments)  # type: ignore[arg-type]
            return False

        monkeypatch.setattr(Folder, "replace", once)
    held.raise_if_lost()
    assert "released_at" in _body(str(tmp_path))


# ------------------------------------------------------------------ places that are none


def test_a_lake_that_cannot_be_reached_is_said_so(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> bool:
        raise OSError("read-only file system")

    monkeypatch.setattr("os.link", read_only)
    place, reason = ("s3://nothing/here", "NoSuchBucket") if lake.startswith("s3:") else (lake, "read-only")
    with pytest.raises(StorageError, match=f"lease.json cannot be .*{reason}.* run again"), lease.hold(place, "ours"):
        pass
    refused = _run_workflow(place)
    assert refused.status == "failed"
    assert reason in (refused.error or "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"token": "x", "pid": 1, "expires_at": "soon"}'])
def test_what_is_no_lease_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / lease.NAME).write_text(text)
    _is_refused(str(tmp_path), "is no lease")
    assert (tmp_path / lease.NAME).read_text() == text


# ------------------------------------------------------------------ who holds it


def test_a_workflow_that_does_not_get_the_lease_begins_nothing(tmp_path: Path) -> None:
    with lease.hold(str(tmp_path), "the first run"):
        refused = _run_workflow(str(tmp_path))
    assert [stage.name for stage in refused.stages] == list(workflow.read_pipeline().jobs)
    assert [stage.status for stage in refused.stages] == ["failed", *["skipped"] * 5]
    assert refused.status == "failed"
    assert f"by the first run (process {os.getpid()} on" in refused.as_json()["error"]
    assert {path.name for path in tmp_path.iterdir()} == {lease.NAME, f".{lease.NAME}.lock"}


def test_a_workflow_holds_one_lease_over_all_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def job(_: Job) -> Result:
        seen.append(_body(str(tmp_path)))
        return Result("succeeded")

    monkeypatch.setattr(workflow, "_entry_point", lambda _: job)
    assert _run_workflow(str(tmp_path)).status == "succeeded"
    assert len(seen) == len(workflow.read_pipeline().jobs)
    assert {body["purpose"] for body in seen} == {"the workflow retail-etl"}
    assert len({body["token"] for body in seen}) == 1
    assert "released_at" in _body(str(tmp_path))


@pytest.mark.parametrize("when", [1, 6])
def test_a_workflow_that_loses_the_lease_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, when: int
) -> None:
    """In its middle what follows is not begun; in its last job that one does not count."""
    begun: list[str] = []

    def job(job: Job) -> Result:
        begun.append(job.name)
        if len(begun) == when:
            clock.passes(600 if when == 1 else 0)
            _becomes(str(tmp_path), token="theirs", purpose="the next run")
        return Result("succeeded")

    monkeypatch.setattr(workflow, "_entry_point", lambda _: job)
    done = _run_workflow(str(tmp_path))
    statuses = ["succeeded"] * (when - 1) + ["failed"] + ["skipped"] * (6 - when)
    assert [stage.status for stage in done.stages] == statuses
    assert len(begun) == when
    assert "the next run took it over" in (done.error or "")
    assert _body(str(tmp_path))["token"] == "theirs"


def test_a_job_as_a_process_of_its_own_holds_the_lease_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["glue_jobs/transform.py", "--lake", str(tmp_path)])
    purposes: list[str] = []

    def job(_: Job) -> Result:
        purposes.append(_body(str(tmp_path))["purpose"])
        return NOTHING_TO_DO

    runtime.main(job)
    assert purposes == ["transform"]
    assert "released_at" in _body(str(tmp_path))
    with lease.hold(str(tmp_path), "the first run"), caplog.at_level(logging.ERROR):
        with pytest.raises(SystemExit) as ended:
            runtime.main(job)
        assert ended.value.code == 1
    assert purposes == ["transform"]
    assert "StateError" in caplog.text
    assert "by the first run" in caplog.text
