"""`etl.py watch` as a process: it goes on, and what signals do to it. Nothing has changed, so no Spark starts."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retail_etl import lease
from tests.integration.world import World

ROOT = Path(__file__).resolve().parents[2]
WAITING = """
SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
 WHERE NOT l.granted AND d.datname = current_database()"""


def _watch(world: World, *options: str) -> subprocess.Popen[str]:
    source, warehouse = world.databases["source"].url, world.databases["warehouse"].url
    places = ["--source", source, "--warehouse", warehouse, "--lake", world.lake]
    command = [sys.executable, str(ROOT / "scripts" / "etl.py"), "watch", "--every", "0.2s", *options, *places]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _until(process: subprocess.Popen[str], words: str) -> str:
    """What it says until it has said that."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


@pytest.mark.integration
def test_a_signal_finishes_the_stage_and_a_second_one_ends_at_once(loaded: World) -> None:
    twice = _watch(loaded, "--runs", "2")
    assert "nothing changed, no new batch" in _until(twice, "run 2")
    assert twice.wait(60) == 0

    patient = _interrupted(loaded, signal.SIGINT)
    loaded.source.run("ROLLBACK")
    assert patient.wait(60) == 0
    assert "released_at" in json.loads((Path(loaded.lake) / lease.NAME).read_text())

    hasty = _interrupted(loaded, signal.SIGTERM)
    hasty.send_signal(signal.SIGTERM)
    _until(hasty, "Ended at once")
    assert hasty.wait(60) == 128 + signal.SIGTERM
    loaded.source.run("ROLLBACK")
    assert loaded.run().status == "nothing_changed"  # the lease is free


def _interrupted(world: World, number: signal.Signals) -> subprocess.Popen[str]:
    """One that heard the signal within a stage, which goes on until the source's transaction ends."""
    world.source.run("BEGIN")
    world.source.run("LOCK TABLE sales_order")  # who looks at it waits
    process = _watch(world)
    until = time.monotonic() + 60
    while not world.source.run(WAITING):
        assert time.monotonic() < until, "nobody waits for the table"
        time.sleep(0.1)
    process.send_signal(number)
    _until(process, "ending after this stage")
    return process
