"""Two `etl.py run` at once on the same lake: one works, the other is told who does."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.workflow import GLUE_JOBS, read_pipeline
from tests.integration.world import SOURCE_ROWS, World

ETL = GLUE_JOBS.parent / "scripts" / "etl.py"


@dataclass(frozen=True)
class Ended:
    """What a run left: its exit code, its JSON object, and what people read."""

    pid: int
    code: int
    body: dict[str, Any]
    shown: str

    @property
    def refused(self) -> bool:
        return "is being worked on by" in self.body.get("error", "")


def _start(world: World) -> subprocess.Popen[str]:
    places = ["--source", world.databases["source"].url, "--warehouse", world.databases["warehouse"].url]
    command = [sys.executable, str(ETL), "run", *places, "--lake", world.lake, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> Ended:
    printed, shown = process.communicate(timeout=300)
    return Ended(process.pid, process.returncode, json.loads(printed), shown)


def _at_once(world: World) -> list[Ended]:
    """Two runs that start together."""
    processes = [_start(world) for _ in range(2)]
    try:
        return [_ended(process) for process in processes]
    finally:
        for process in processes:
            process.kill()


def _check_refusal(refused: Ended, winner: Ended) -> None:
    assert (refused.code, refused.body["status"], refused.body["batch_id"]) == (1, "failed", None)
    stages = {stage["name"]: stage["status"] for stage in refused.body["stages"]}
    first, *others = read_pipeline().jobs
    assert stages == {first: "failed"} | dict.fromkeys(others, "skipped")
    assert f"by the workflow retail-etl (process {winner.pid} on " in refused.body["error"]
    assert "holds its lease since " in refused.body["error"]
    assert "error" in refused.shown
    assert "Traceback" not in refused.shown


def _check_one_won(ended: list[Ended], batch_id: int) -> None:
    winners = [one for one in ended if one.body["status"] == "succeeded"]
    assert [(one.code, one.body["batch_id"]) for one in winners] == [(0, batch_id)], ended
    (other,) = (one for one in ended if one is not winners[0])
    if other.refused:
        _check_refusal(other, winners[0])
    else:  # it came when the first was done
        assert (other.code, other.body["status"], other.body["batch_id"]) == (0, "nothing_changed", None), other


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_of_two_runs_at_once_one_does_the_work_and_every_row_is_there_once(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    _check_one_won(_at_once(world), batch_id=1)
    # Again where the lake and an earlier lease are there: now it is replaced, and was created before.
    world.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    _check_one_won(_at_once(world), batch_id=2)

    assert {path.name for path in (Path(world.lake) / "batches").iterdir()} == {"1", "2"}
    third = _ended(_start(world))
    assert (third.code, third.body["status"]) == (0, "nothing_changed")
    versions = "SELECT units_sold FROM fact_sales_order ORDER BY units_sold"
    assert world.warehouse.run(versions) == [[7], [8]]
    assert world.in_lake(versions) == [(7,), (8,)]
    assert world.warehouse.run("SELECT payment_id FROM fact_payment") == [[70]]
    assert world.warehouse.run("SELECT staff_id FROM dim_staff") == [[5]]
    assert world.warehouse.run("SELECT batch_id FROM etl.ledger ORDER BY 1") == [[1], [2]]
