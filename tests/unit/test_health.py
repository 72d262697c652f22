"""What `etl.py status` makes of a lake's manifests: verdict, next command, exit code, one screen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retail_etl import lease
from retail_etl.manifests import STAGES, Manifests
from scripts import etl
from scripts.health import Look, Places, assess
from scripts.lake_status import read_status

SCREEN = (80, 24)


def _zone(tmp_path: Path) -> Manifests:
    return Manifests(str(tmp_path / "lake"))


def _batch(zone: Manifests, *, minutes_ago: float = 1, until: str = "load", **of_stage: dict[str, Any]) -> int:
    """A batch that was taken then, and that the stages have done up to that one."""
    batch_id = zone.claim()
    taken = (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat(timespec="milliseconds")
    bodies: dict[str, dict[str, Any]] = {
        "extract": {"started_at": taken, "tables": {"payment": {"rows": 7, "unknown_columns": []}}},
        "quality_raw": {"seconds": 2.5, "expectations": 9},
        "transform": {"seconds": 3.0, "withheld_deletions": {}},
        "publish": {"seconds": 1.5, "expectations": 5},
        "load": {},
    }
    for stage in STAGES[: STAGES.index(until) + 1]:
        zone.finish(batch_id, stage, bodies[stage] | of_stage.get(stage, {}))
    return batch_id


def _certify(zone: Manifests, *, agrees: bool = True) -> None:
    tables = {"payment": {"rows": 7, "agrees": agrees}, "design": {"rows": 2, "agrees": True}}
    zone.certify({"verified_through": "2024-03-01 10:00:00.123", "time_zone": "UTC", "tables": tables})


def _health(zone: Manifests, look: Look | None = None, places: Places | None = None) -> dict[str, Any]:
    return assess(read_status(zone), look, places)


def test_a_lake_is_well_when_it_is_fresh_and_complete(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    _batch(zone)
    _certify(zone)
    assert _health(zone) == {"verdict": "well", "fresh": True, "complete": True, "findings": [], "next": None}


def test_that_nobody_compared_is_advice(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    _batch(zone)
    found = _health(zone)
    assert (found["verdict"], found["complete"], found["next"]) == ("well", None, "etl.py reconcile")


@pytest.mark.parametrize(
    ("look", "fresh", "verdict", "todo"),
    [
        (Look(), True, "well", None),
        (Look(news="payment has changed"), False, "wrong", "etl.py run"),
        (None, None, "waits", "etl.py up && etl.py status"),
        (Look(error="Cannot reach the source."), None, "wrong", None),
    ],
)
def test_an_old_batch_is_fresh_where_the_source_has_nothing_newer(
    tmp_path: Path, look: Look | None, fresh: bool | None, verdict: str, todo: str | None
) -> None:
    zone = _zone(tmp_path)
    _batch(zone, minutes_ago=31)
    _certify(zone)
    found = _health(zone, look)
    assert (found["fresh"], found["verdict"], found["next"]) == (fresh, verdict, todo)


def test_the_next_command_names_the_lake_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    _batch(zone, quality_raw={"held": {"sales_order": 3}})
    _certify(zone)
    found = _health(zone, places=Places("my lake"))
    assert (found["verdict"], found["next"]) == ("waits", "etl.py quarantine list --lake 'my lake'")
    assert found["findings"][0]["what"] == "In quarantine: 3 of sales_order."
    _batch(zone, until="transform")
    assert _health(zone, places=Places("s3://bucket"))["next"] == "make trigger"
    assert _health(zone, places=Places("x"))["next"] == "etl.py run --source URL --warehouse URL --lake x"


def test_what_is_wrong_goes_before_what_waits(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    gone = {"payment": {"missed": 120, "alive": 1000, "batch_id": 1}}
    _batch(zone, transform={"withheld_deletions": gone}, quality_raw={"held": {"design": 1}})
    _certify(zone, agrees=False)
    found = _health(zone)
    assert [one["do"] for one in found["findings"]] == [
        "etl.py reconcile --heal",
        "etl.py reconcile --heal --accept-deletions payment",
        "etl.py quarantine list",
    ]
    zone.reject(_batch(zone, until="extract"), "units_sold must be 0 or more: 14 of 200 rows")
    last = _health(zone)["findings"][0]
    assert last["what"] == "Batch 2 was rejected: units_sold must be 0 or more: 14 of 200 rows"


def test_a_batch_that_somebody_works_on_is_not_wrong(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    _batch(zone)
    _certify(zone)
    _batch(zone, until="transform")
    assert _health(zone)["next"] == "etl.py run"
    with lease.hold(zone.location, "the workflow retail-etl"):
        found = _health(zone)
        assert (found["verdict"], found["next"]) == ("well", None)
        assert "Batch 2 is on its way: the workflow retail-etl (process " in found["findings"][0]["what"]
    assert lease.holder(zone.storage, zone.location) is None


def _status(zone: Manifests, *options: str) -> Any:
    command = ["status", "--lake", zone.location, *options]
    return CliRunner().invoke(etl.app, command, env={"COLUMNS": str(SCREEN[0]), "SOURCE_URL": ""})


def test_the_exit_code_tells_and_all_fits_one_screen(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    never = _status(zone)
    assert (never.exit_code, "Nothing was extracted into" in never.stdout) == (1, True)
    for _ in range(30):
        _batch(zone)
    _certify(zone)
    well = _status(zone)
    assert (well.exit_code, "the source as of" in well.stdout) == (0, True)
    assert "nothing: all is well" in well.stdout
    _batch(zone, quality_raw={"held": dict.fromkeys(("payment", "sales_order", "design"), 1_000_000)})
    assert _status(zone).exit_code == 3
    zone.reject(_batch(zone, until="extract"), "a rule " * 400)
    wrong = _status(zone)
    assert wrong.exit_code == 2
    lines = wrong.stdout.splitlines()
    assert len(lines) < SCREEN[1]
    assert max(map(len, lines)) <= SCREEN[0]
    assert len(_status(zone, "--all").stdout.splitlines()) > SCREEN[1]


def test_the_json_has_verdict_and_details(tmp_path: Path) -> None:
    zone = _zone(tmp_path)
    _batch(zone)
    found = json.loads(_status(zone, "--json").stdout)
    assert {"verdict", "fresh", "complete", "findings", "next", "published", "certificate", "batches"} <= set(found)
    assert found["batches"][0]["seconds"]["quality_raw"] == 2.5
    assert found["batches"][0]["seconds"].keys() == set(STAGES)
