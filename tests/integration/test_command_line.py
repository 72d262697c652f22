"""`etl.py` and the job scripts as processes of their own: standard output, exit codes, and what people read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.workflow import GLUE_JOBS, read_pipeline
from tests.integration.world import SOURCE_ROWS, World

ROOT = GLUE_JOBS.parent


def _etl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "etl.py"), *arguments], capture_output=True, text=True, check=False
    )


def _places(world: World) -> list[str]:
    source, warehouse = world.databases["source"], world.databases["warehouse"]
    return ["--source", source.url, "--warehouse", warehouse.url, "--lake", world.lake]


def _only_json(standard_output: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(standard_output)
    return body


@pytest.mark.integration
def test_run_prints_one_json_object_and_exits_with_what_became_of_it(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    first = _etl("run", *_places(world), "--json")
    body = _only_json(first.stdout)
    assert (first.returncode, body["batch_id"], body["status"]) == (0, 1, "succeeded")
    assert [stage["name"] for stage in body["stages"]] == list(read_pipeline().jobs)
    assert set(body["stages"][0]) == {"name", "status", "seconds", "rows"}
    assert "extract" in first.stderr

    again = _etl("run", *_places(world), "--json")
    assert (again.returncode, _only_json(again.stdout)["batch_id"]) == (0, None)
    assert _only_json(again.stdout)["status"] == "nothing_changed"

    shown = _etl("status", "--lake", world.lake, "--json")
    assert _only_json(shown.stdout)["batches"][0]["stages"] == [
        "extract",
        "quality_raw",
        "transform",
        "publish",
        "load",
    ]
    assert "the source as of" in _etl("status", "--lake", world.lake).stdout


@pytest.mark.integration
def test_a_wrong_password_is_one_paragraph_that_does_not_tell_it(world: World) -> None:
    places = _places(world)
    places[1] = places[1].replace("only%20reads", "not-the-password")
    failed = _etl("run", *places, "--json")
    assert (failed.returncode, _only_json(failed.stdout)["status"]) == (1, "failed")
    assert "Check user and password" in failed.stderr
    assert "not-the-password" not in failed.stderr + failed.stdout
    assert "Traceback" not in failed.stderr


def test_a_command_that_does_not_exist_is_no_success(tmp_path: Path) -> None:
    assert _etl("--help").returncode == 0
    assert _etl("run", "--nonsense").returncode == 2
    url = _etl(
        "run", "--source", "mysql://me@host/db", "--warehouse", "postgresql://me@host/db", "--lake", str(tmp_path)
    )
    assert (url.returncode, "Traceback" in url.stderr) == (1, False)
    assert "postgresql://user:password@host:port/database" in url.stderr


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_the_jobs_do_the_same_as_processes_of_their_own(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "lib"),
        "SOURCE_URL": world.databases["source"].url,
        "WAREHOUSE_URL": world.databases["warehouse"].url,
    }

    def job(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(GLUE_JOBS / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    missing = job("quality_gate.py", "--lake", world.lake)
    assert missing.returncode == 1
    assert "layer" in missing.stderr
    _, *jobs = read_pipeline().jobs.values()  # detect starts a deployed workflow: test_detect.py
    for definition in jobs:
        layer = ["--layer", definition.arguments["--layer"]] if "--layer" in definition.arguments else []
        done = job(definition.script, "--lake", world.lake, *layer)
        assert done.returncode == 0, done.stderr
    assert world.warehouse.run("SELECT payment_id FROM fact_payment") == [[70]]
