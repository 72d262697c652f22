"""The benchmark at a small scale: that all is measured, and that what it measured fits together. Not how fast."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark_results import RATIOS
from scripts.workflow import read_pipeline

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
# Sling's wheel comes from the internet, and may not come.
PARTS = ("COPY", "session start", "first run", "nothing changed", "0.1 % changed", "a million rows")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_each_part_is_measured_and_its_stages_are_within_it(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    only = [argument for part in PARTS for argument in ("--only", part)]
    command = [sys.executable, str(BENCHMARK), "--quick", "--folder", str(tmp_path / "made"), "--output", str(file)]
    done = subprocess.run([*command, *only], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text(encoding="utf-8"))
    parts = {part["name"]: part for part in results["parts"]}
    assert tuple(parts) == PARTS
    assert results["ratios"].keys() == RATIOS.keys()
    for name in PARTS:
        assert name in done.stdout
        _expect_plausible(parts[name])
    assert parts["first run"]["rows"] == parts["COPY"]["rows"] == sum(one["rows"] for one in parts["COPY"]["tables"])
    assert parts["nothing changed"]["rows"] == 0 < parts["0.1 % changed"]["rows"] < parts["first run"]["rows"]
    assert not list((tmp_path / "made").glob("*/postgres"))  # nothing is left without --keep

    unknown = subprocess.run([*command, "--only", "nothing"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, "There is no part nothing" in unknown.stderr) == (1, True)


def _expect_plausible(part: dict[str, Any]) -> None:
    usage = part["usage"]
    assert usage["server_memory"] > 2**20
    if part["name"] != "COPY":  # of a few rows, which is over before anybody looks
        assert 0 < usage["cpu_seconds"] < usage["seconds"] * 64
        assert usage["memory"] > 2**20
    assert part["rows_per_second"] == round(part["rows"] / usage["seconds"])
    if part["stages"]:
        assert [stage["name"] for stage in part["stages"]] == list(read_pipeline().jobs)
        assert sum(stage["seconds"] for stage in part["stages"]) <= usage["seconds"]
        assert part["bytes"].keys() == {"raw", "lake", "warehouse"}
        assert all(part["bytes"].values())
    if part["name"] == "first run":
        read = sum(table["rows"] for table in part["tables"] if table["name"].startswith("extract."))
        assert read == part["rows"]
