"""The benchmark's results: what is divided by what, and that a file gives back what it was given."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.benchmark_parts import tables_told
from scripts.benchmark_results import RATIOS, Part, Results, Timed, ratios, read_parts
from scripts.process_usage import Usage

STAGES = (Timed("extract", 20.0, 100), Timed("quality_gate_raw", 10.0, 100), Timed("quality_gate_star", 15.0, 100))


def _part(name: str, seconds: float, memory: int = 100) -> Part:
    return Part(name, Usage(seconds, 1.0, memory, 1.0, 10), rows=100)


PARTS = {
    part.name: part
    for part in (
        _part("COPY", 10),
        _part("Sling", 40),
        _part("session start", 4),
        replace(_part("first run", 100, memory=300), stages=STAGES),
        _part("nothing changed", 2),
        _part("0.1 % changed", 16),
        _part("a million rows", 30, memory=150),
        _part("0.1 % of before, twice stored", 20),
    )
}


def test_each_ratio_is_of_the_parts_that_its_name_says() -> None:
    assert ratios(PARTS) == {
        "first run ÷ Sling": 2.5,
        "first run ÷ COPY": 10.0,
        "0.1 % changed ÷ first run": 0.16,
        "0.1 % changed ÷ first run, both without the session's start": 0.125,
        "0.1 % changed with twice the rows stored ÷ before": 1.25,
        "nothing changed, seconds": 2,
        "peak memory, first run ÷ that of a million rows": 2.0,
        "gates' share of the first run": 0.25,
    }


def test_what_was_not_measured_makes_no_ratio() -> None:
    skipped = {**PARTS, "Sling": Part("Sling", skipped="it could not be installed")}
    del skipped["a million rows"]
    unknown = {name for name, value in ratios(skipped).items() if value is None}
    assert unknown == {"first run ÷ Sling", "peak memory, first run ÷ that of a million rows"}
    assert set(ratios({}).values()) == {None}
    assert ratios({}).keys() == RATIOS.keys()


def test_a_file_gives_back_the_parts_of_the_same_scale(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.json"
    assert read_parts(file, 200.0) == {}
    Results("2026-01-01 12:00 UTC", "abc", "2 cores", 200.0, PARTS).write(file)
    assert read_parts(file, 200.0) == PARTS
    assert read_parts(file, 1.0) == {}
    written = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "| first run | 100.0 | 100 | 1 | 1 | 0 | 1 | 0 |" in written
    assert "| extract | 20.0 |" in written
    assert "| start and end | 55.0 |" in written
    assert "| first run ÷ Sling | 2.5 |" in written


@pytest.mark.parametrize("rows", [0, 1_400_000])
def test_rows_per_second_are_those_of_the_whole_process(rows: int) -> None:
    assert replace(_part("first run", 100), rows=rows).rows_per_second == rows / 100
    assert Part("Sling", skipped="no").rows_per_second == 0


def test_tables_are_read_from_what_a_run_tells() -> None:
    told = """
  extract            payment               1,400,000 rows    9.5 s
  quality_gate_star  dim_transaction              12 rows    0.1 s
warning  1 rows 2 s
"""
    assert list(tables_told(told)) == [
        Timed("extract.payment", 9.5, 1_400_000),
        Timed("quality_gate_star.dim_transaction", 0.1, 12),
    ]
