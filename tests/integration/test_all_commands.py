"""Commands that no other test runs as commands. Which test runs which: `scripts/command_docs.py`."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
from pg8000.native import Connection
from typer.testing import CliRunner, Result

from retail_etl.postgres import Database
from scripts import etl, running
from scripts.local import LocalPair
from tests.integration.world import World


def _etl(*arguments: str) -> Result:
    return CliRunner().invoke(etl.app, arguments, catch_exceptions=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `.local` is for the commands of this test."""
    folder = tmp_path / "local"
    for module in (etl, running, *(m for n, m in sys.modules.items() if n.startswith("scripts.demo_shown"))):
        if hasattr(module, "LocalPair"):
            monkeypatch.setattr(module, "LocalPair", partial(LocalPair, folder))
    return folder


def _source(home: Path) -> Connection:
    return Database.from_url("source", LocalPair(home).source_url).connect()


@pytest.mark.integration
def test_the_embedded_databases_come_up_change_stop_and_go(home: Path) -> None:
    pair = LocalPair(home)
    try:
        assert _etl("up", "--scale", "0.01").exit_code == 0
        count = "SELECT count(*) FROM sales_order"
        with _source(home) as source:
            before = source.run(count)[0][0]
        assert _etl("init", "--source", pair.source_url).exit_code == 0
        assert _etl("simulate", "--changes", "20", "--seed", "3", "--no-deletes").exit_code == 0
        with _source(home) as source:
            assert source.run(count)[0][0] > before > 0
        assert _etl("down").exit_code == 0
        assert not pair._server.is_running()
        assert _etl("up").exit_code == 0
        with _source(home) as source:
            assert source.run(count)[0][0] > before
    finally:
        assert _etl("reset", "--force").exit_code == 0
    assert not home.exists()


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_the_demo_shows_the_same_rows_in_all_three(home: Path) -> None:
    try:
        shown = _etl("demo", "--scale", "0.05")
        assert shown.exit_code == 0
        counts = [line.split() for line in shown.stdout.splitlines() if line.startswith(("sales_order", "payment"))]
        assert [row[0] for row in counts] == ["sales_order", "payment"]
        for _table, rows, _star, lake, warehouse in counts:
            assert rows == lake == warehouse
    finally:
        _etl("reset", "--force")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_a_lake_is_compared_rebuilt_and_redriven(loaded: World) -> None:
    lake = ("--lake", loaded.lake, "--json")
    warehouse = ("--warehouse", loaded.databases["warehouse"].url, *lake)
    both = ("--source", loaded.databases["source"].url, *warehouse)
    loaded.warehouse.run("UPDATE fact_payment SET payment_amount = 1")
    assert _etl("reconcile", *both).exit_code == 2
    assert _etl("reconcile", "--heal", *both).exit_code == 0
    amount = "SELECT payment_amount::text FROM fact_payment_current"
    assert loaded.warehouse.run(amount) == [["2529.73"]]
    loaded.warehouse.run("TRUNCATE fact_payment")
    for command in (("rebuild", "lake", "--force", *lake), ("rebuild", "warehouse", "--force", *warehouse)):
        done = _etl(*command)
        assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "succeeded")
    assert loaded.warehouse.run(amount) == [["2529.73"]]
    assert _etl("quarantine", "redrive", *both).exit_code == 0
