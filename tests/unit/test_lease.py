import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retail_etl import lease
from retail_etl.errors import StateError

HOLDER = """
import sys, time
sys.path.insert(0, "lib")
from retail_etl import lease
with lease.hold(sys.argv[1], "another run"):
    print("held", flush=True)
    time.sleep(60)
"""


def _body(lake: Path) -> dict[str, str]:
    body: dict[str, str] = json.loads((lake / lease.NAME).read_text())
    return body


def _holder(lake: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(lake)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_who_works_on_the_lake_and_gets_it_when_that_one_is_done(tmp_path: Path) -> None:
    with lease.hold(str(tmp_path), "the first run"):
        with pytest.raises(StateError, match=f"the first run .process {os.getpid()} on"):
            lease.hold(str(tmp_path), "the second run").__enter__()
        assert _body(tmp_path)["purpose"] == "the first run"
    with lease.hold(str(tmp_path), "the second run"):
        assert _body(tmp_path)["purpose"] == "the second run"


def test_the_lease_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    holder = _holder(tmp_path)
    with pytest.raises(StateError, match="another run"):
        lease.hold(str(tmp_path), "ours").__enter__()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lease.hold(str(tmp_path), "ours"):
        assert _body(tmp_path)["purpose"] == "ours"


def test_the_lease_of_another_machine_is_free_when_it_has_run_out_and_not_before(tmp_path: Path) -> None:
    with lease.hold(str(tmp_path), "theirs"):
        pass
    body = _body(tmp_path) | {"host": "elsewhere"}
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    (tmp_path / lease.NAME).write_text(json.dumps(body | {"expires_at": soon.isoformat()}))
    with pytest.raises(StateError, match="on elsewhere"):
        lease.hold(str(tmp_path), "ours").__enter__()
    time.sleep(0.5)
    with lease.hold(str(tmp_path), "ours"):
        assert _body(tmp_path)["purpose"] == "ours"


def test_it_is_renewed_while_the_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.05)
    with lease.hold(str(tmp_path), "ours"):
        first = _body(tmp_path)["expires_at"]
        time.sleep(0.3)
        assert _body(tmp_path)["expires_at"] > first


def test_work_done_under_a_lease_that_was_taken_over_is_not_reported_as_done(tmp_path: Path) -> None:
    holding = lease.hold(str(tmp_path), "ours")
    holding.__enter__()
    (tmp_path / lease.NAME).write_text(json.dumps(_body(tmp_path) | {"token": "somebody else's"}))
    with pytest.raises(StateError, match="was lost while this run worked"):
        holding.__exit__(None, None, None)
