from pathlib import Path

import pytest

from retail_etl.errors import StateError
from retail_etl.raw import RawZone


def _extracted(zone: RawZone, count: int) -> None:
    for _ in range(count):
        zone.finish(zone.claim(), "extract", {"tables": {}})


def test_batch_ids_increase_by_one_and_the_latest_is_found(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    assert zone.latest() == 0
    assert [zone.claim() for _ in range(11)] == list(range(1, 12))
    assert zone.latest() == 11


def test_a_batch_without_a_manifest_did_not_happen(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    _extracted(zone, 1)
    zone.claim()
    assert list(zone.standing()) == [1]
    assert zone.waiting("quality_raw") == [1]


def test_a_stage_takes_what_the_one_before_has_finished_in_order(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    _extracted(zone, 3)
    assert zone.waiting("quality_raw") == [1, 2, 3]
    zone.finish(1, "quality_raw", {})
    assert (zone.waiting("quality_raw"), zone.waiting("transform")) == ([2, 3], [1])


def test_rejecting_a_batch_rejects_the_later_ones_and_fences_come_from_the_last_that_stands(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    _extracted(zone, 3)
    zone.reject(2, "a broken row")
    assert list(zone.standing()) == [1]
    assert (zone.last_extract() or {})["batch_id"] == 1
    assert "a broken row" in (zone.rejection(2) or {})["reason"]
    assert "follows batch 2" in (zone.rejection(3) or {})["reason"]


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    _extracted(zone, 1)
    with pytest.raises(StateError, match="already"):
        zone.finish(1, "extract", {})


def test_the_usual_size_of_a_table_is_told_once_it_had_enough_batches(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    for rows in (9000, 3, 5, None, 4, 2, 1):
        payment = {"mode": "incremental", "fence": None if rows == 9000 else "2024-01-01", "rows": rows}
        staff = {"mode": "snapshot", "rows": 40}
        zone.finish(zone.claim(), "extract", {"tables": {"payment": payment, "staff": staff}})
    assert zone.usual_rows(8) == {"payment": 5, "staff": 40}  # the first reading is no usual one
    assert zone.usual_rows(7) == {"staff": 40}  # four are too few
    zone.reject(7, "a broken row")
    assert zone.usual_rows(8) == {"staff": 40}
