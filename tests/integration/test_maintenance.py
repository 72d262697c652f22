"""Maintenance of a lake in the midst of its life: a publish was cut off, a batch waits, dead runs left files."""

import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retail_etl import maintenance, model, spark
from retail_etl.lake import MAIN, REBUILD, Lake, branch_of
from retail_etl.maintenance import TABLES, Keep, Maintenance
from retail_etl.raw import RawZone
from retail_etl.schema import StarTable
from scripts import etl, lake_query
from scripts.lake_status import read_status
from tests.integration.world import SOURCE_ROWS, World

CHANGE = """
UPDATE sales_order SET units_sold = {number}, last_updated = '2024-02-27 15:00:0{number}' WHERE sales_order_id = 100;
UPDATE design SET design_name = 'Design {number}';
INSERT INTO payment SELECT {number}, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id,
    paid, payment_date, company_ac_number, counterparty_ac_number, created_at, '2024-02-27 15:00:0{number}'
  FROM payment WHERE payment_id = 70
"""

KEEP_LITTLE = ("--keep-days", "0", "--keep-snapshots", "1")


def _change(world: World, number: int) -> None:
    for statement in CHANGE.format(number=number).split(";"):
        world.source.run(statement)


def _maintain(world: World, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(etl.app, ["maintain", "--lake", world.lake, "--json", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)["report"]
    return report


def _shown(world: World) -> dict[str, tuple]:
    """Table → rows and a hash of all of them, as DuckDB reads them."""
    lake = lake_query.connect(world.lake)
    return {name: lake.sql(f"SELECT count(*), sum(hash(t)) FROM {name} t").fetchall()[0] for name in TABLES}


def _kept(world: World) -> dict[str, dict[int, list]]:
    """Table → snapshot → its rows, of every snapshot that is kept."""
    session = spark.session(world.lake)
    rows: dict[str, dict[int, list]] = {}
    for name in TABLES:
        for (snapshot,) in session.sql(f"SELECT snapshot_id FROM lake.star.{name}.snapshots").collect():
            found = session.sql(f"SELECT * FROM lake.star.{name} VERSION AS OF {snapshot}").collect()
            rows.setdefault(name, {})[snapshot] = sorted(map(str, found))
    return rows


def _files(world: World) -> dict[str, int]:
    names = (path for path in Path(world.lake).rglob("*") if path.is_file() and "lease.json" not in path.name)
    return {path.relative_to(world.lake).as_posix(): path.stat().st_mtime_ns for path in names}


def _heads(world: World) -> dict[str, dict[str, int]]:
    lake = Lake(spark.session(world.lake))
    return {name: lake.heads(table) for name, table in TABLES.items()}


def _leave_behind(world: World) -> set[str]:
    """What runs that died left, all of it days old as everything else; and something of now. Gives what is to go."""
    zone = RawZone(world.lake)
    died = zone.claim()
    zone.note(died, "rejected", {"batch_id": died, "reason": "it follows another one"})
    gone = {
        f"raw/design/batch_id={died}/part-00000.txt.lz4",
        f"raw/design/batch_id={died}/.part-00000.txt.lz4.crc",
        f"raw/payment/batch_id={died}/_temporary/0/part-00000.txt.lz4",
        f"verdicts/batch_id={died}/part-00000.txt.lz4",
        f"batches/{died}/.abc.tmp",
        "star/fact_payment/data/00000-of-nobody.parquet",
    }
    kept = {f"raw/design/batch_id={died}/part-00001.txt.lz4", "star/fact_payment/data/00001-of-nobody.parquet"}
    for name in gone | kept:
        path = Path(world.lake) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    long_ago = time.time() - 4 * 86_400
    for name in _files(world).keys() - kept:
        os.utime(Path(world.lake) / name, (long_ago, long_ago))
    session = spark.session(world.lake)
    for branch in (REBUILD, branch_of(1), branch_of(died), "of_somebody"):
        session.sql(f"ALTER TABLE lake.star.dim_design CREATE BRANCH `{branch}`")
    return gone


def _killed(owner: type, method: str, table: StarTable, work: Callable[[], object], *, after: bool = False) -> None:
    """Do the work until it comes to this method for this table; `after`: until it is through it."""
    whole = getattr(owner, method)

    def and_die(self: object, of: StarTable, *arguments: Any) -> Any:
        if after or of is not table:
            done = whole(self, of, *arguments)
        if of is table:
            raise KeyboardInterrupt
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, and_die)
        with pytest.raises(KeyboardInterrupt):
            work()


@pytest.mark.integration
@pytest.mark.slow
def test_readers_see_the_same_rows_whatever_waits_is_published_and_only_what_nobody_needs_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_SMALL_FILES", 2)
    world.source.run(SOURCE_ROWS)
    assert world.run().error is None
    _change(world, 2)
    assert world.run().error is None
    _change(world, 3)
    _killed(Lake, "_publish_table", model.FACT_SALES_ORDER, world.run, after=True)  # payments of batch 3 are to follow
    _change(world, 4)
    for job in ("extract", "quality_gate_raw", "transform"):
        assert world.run_job(job).error is None  # batch 4 waits behind it

    gone = _leave_behind(world)
    shown, files = _shown(world), _files(world)
    planned = _maintain(world, "--dry-run", *KEEP_LITTLE)
    assert _files(world) == files
    assert planned["debris"] == {"files": 5, "bytes": 20}
    assert planned["tables"]["fact_payment"]["orphans"] == 1
    assert planned["tables"]["dim_design"]["branches"] == ["batch_1", "batch_5", "rebuild"]

    session = spark.session(world.lake)
    cut_off = Maintenance(session, Lake(session), RawZone(world.lake), Keep(0, 1), dry_run=False)
    _killed(Maintenance, "_expire", model.FACT_PAYMENT, lambda: cut_off.maintain(model.FACT_PAYMENT))
    assert _shown(world) == shown  # the payments are compacted, their old snapshots are still there
    tables = _maintain(world, *KEEP_LITTLE)["tables"]
    assert _shown(world) == shown
    removed = files.keys() - _files(world).keys()
    assert removed >= gone
    assert {name for name in removed if not name.startswith("star/")} <= gone
    for name in ("dim_design", "fact_sales_order", "fact_payment"):
        assert (name, tables[name]["after"]["data"], tables[name]["after"]["deletes"]) == (name, 1, 0)
    heads = _heads(world)
    assert set(heads["dim_design"]) == {MAIN, "batch_4", "of_somebody"}
    assert set(heads["fact_payment"]) == {MAIN, "batch_3", "batch_4"}
    kept = _kept(world)
    assert {name for name in kept if not set(heads[name].values()) <= kept[name].keys()} == set()
    assert tables["fact_payment"]["compacted"] == 0  # it was done already
    assert tables["fact_payment"]["expired"] > 0
    _record_again(world)

    # Killed once more, when the payments stand in main and their branch is still there.
    _killed(Lake, "drop_branch", model.FACT_PAYMENT, world.run)
    _expect_all(world)


def _record_again(world: World) -> None:
    """A gate that was cut off writes its results once more, in the place of those that share a file with others."""
    counted = "SELECT layer, batch_id, count(*) FROM quality_result GROUP BY 1, 2"
    before = {(layer, batch_id): count for layer, batch_id, count in world.in_lake(counted)}
    result = ("raw", "design", "unique", "design_id", "critical", True, 1, 0, [], 0.1, datetime(2024, 2, 27))  # noqa: DTZ001
    Lake(spark.session(world.lake)).record([result], "raw", 1)
    after = {(layer, batch_id): count for layer, batch_id, count in world.in_lake(counted)}
    assert after == before | {("raw", 1): 1}


def _expect_all(world: World) -> None:
    """What waited is there once, and everything that reads the lake's state goes on."""
    assert world.run().error is None
    assert {name for heads in _heads(world).values() for name in heads} == {MAIN, "of_somebody"}
    of_order = "SELECT units_sold FROM fact_sales_order WHERE sales_order_id = 100 ORDER BY batch_id"
    assert world.in_lake(of_order) == [(7,), (2,), (3,), (4,)]
    once = [(number, 1) for number in (2, 3, 4, 70)]
    assert world.in_lake("SELECT payment_id, count(*) FROM fact_payment GROUP BY 1 ORDER BY 1") == once
    assert world.in_lake("SELECT design_name, batch_id FROM dim_design") == [("Design 4", 4)]
    compared = world.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)
    published = read_status(RawZone(world.lake))["published"]
    assert published is not None
    assert published["batch_id"] == 4
