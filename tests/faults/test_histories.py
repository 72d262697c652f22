"""Random histories of orders, through random runs and reconciles; the star must hold each version that a run could see.

Every history has keys of its own and is independent of the others, so that a few runs carry hundreds of them. More and
longer ones: `make histories HISTORIES=400 ROUNDS=12 SEED=7`.
"""

import os
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pg8000.native import Connection

from retail_etl.raw import RawZone
from tests.integration.world import SOURCE_ROWS, World

HISTORIES = int(os.environ.get("HISTORIES", "60"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
SEED = int(os.environ.get("SEED", str(random.randrange(10**6))))
KEYS_EACH = 3
FIRST_KEY = 1000

NOW = "clock_timestamp() AT TIME ZONE 'UTC'"
INSERT = (
    "INSERT INTO sales_order SELECT CAST(:key AS int), design_id, staff_id, counterparty_id, CAST(:units AS int),"
    " unit_price, currency_id,"
    " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, {stamp}"
    " FROM sales_order WHERE sales_order_id = 100"
)
WRITES = {
    "honest": f"UPDATE sales_order SET units_sold = :units, last_updated = {NOW} WHERE sales_order_id = :key",
    "back-dated": f"UPDATE sales_order SET units_sold = :units, last_updated = {NOW} - interval '1 hour'"
    " WHERE sales_order_id = :key",
    "silent": "UPDATE sales_order SET units_sold = :units WHERE sales_order_id = :key",
    "stampless": "UPDATE sales_order SET units_sold = :units, last_updated = NULL WHERE sales_order_id = :key",
    "delete": "DELETE FROM sales_order WHERE sales_order_id = :key AND :units > 0",
}
ROWS = "SELECT sales_order_id, units_sold, coalesce(last_updated, created_at), last_updated FROM sales_order"

Version = tuple[int, datetime]


class Histories:
    """The writers, and what the star must hold by now."""

    def __init__(self, world: World, writers: list[Connection]) -> None:
        self.world = world
        self.random = random.Random(SEED)
        self.writers = writers
        self.open: dict[int, list[tuple[int, str]]] = {}  # writer → what its transaction wrote
        self.honest: set[int] = set()  # keys whose last committed write a plain run must see
        self.versions: dict[int, list[Version]] = {100: []}
        self.alive: set[int] = set()
        self.statements: list[str] = []

    def write(self) -> None:
        """Each history makes a few changes: alone, or within a transaction that stays open for a while."""
        for number in range(HISTORIES):
            for _ in range(self.random.randint(0, 2)):
                key = FIRST_KEY + number * KEYS_EACH + self.random.randrange(KEYS_EACH)
                if not any(key == busy for written in self.open.values() for busy, _ in written):
                    self._change(key)

    def _change(self, key: int) -> None:
        writer = self.random.randrange(len(self.writers) * 3)
        connection = self.writers[writer] if writer < len(self.writers) else self.world.source
        there = connection.run("SELECT count(*) FROM sales_order WHERE sales_order_id = :key", key=key)[0][0]
        kind = self.random.choice([*WRITES, "honest"]) if there else "honest"
        sql = WRITES[kind] if there else INSERT.format(stamp=NOW)
        if writer < len(self.writers):
            if writer not in self.open:
                connection.run("BEGIN")
            self.open.setdefault(writer, []).append((key, kind))
        connection.run(sql, key=key, units=self.random.randint(1, 4))  # few values: A, B and A again
        if writer >= len(self.writers):
            self._committed(key, kind)

    def end_some(self, share: float) -> None:
        """Some of the open transactions commit, some roll back."""
        for writer in list(self.open):
            if self.random.random() < share:
                commits = self.random.random() < 0.7
                self.writers[writer].run("COMMIT" if commits else "ROLLBACK")
                for key, kind in self.open.pop(writer):
                    if commits:
                        self._committed(key, kind)

    def _committed(self, key: int, kind: str) -> None:
        (self.honest.add if kind in ("honest", "stampless") else self.honest.discard)(key)

    def run(self) -> None:
        """A plain run sees what its fence lets it see, and all honest writes."""
        rows = self.world.source.run(ROWS)
        done = self.world.run()
        assert done.error is None, (SEED, done.error)
        entry: dict[str, Any] = {"rows": None}
        if done.batch_id:
            entry = RawZone(self.world.lake).expect_manifest(done.batch_id, "extract")["tables"]["sales_order"]
        if entry["rows"] is not None:
            fence = datetime.fromisoformat(entry["fence"]) if entry["fence"] else None
            for key, units, updated, stamp in rows:
                if stamp is None or fence is None or stamp >= fence:
                    self._see(key, (units, updated))
        for key, units, updated, _ in rows:
            if key in self.honest:
                assert self.versions.get(key, [])[-1:] == [(units, updated)], f"seed {SEED}: order {key} was lost"

    def reconcile(self) -> None:
        """A reconcile that heals sees everything, and what is gone."""
        rows = self.world.source.run(ROWS)
        healed = self.world.reconcile(heal=True, accept_deletions="sales_order")
        assert (healed.error, healed.needs_attention) == (None, False), (SEED, healed.error)
        for key, units, updated, _ in rows:
            self._see(key, (units, updated))
        self.alive = {key for key, *_ in rows}

    def _see(self, key: int, version: Version) -> None:
        known = self.versions.setdefault(key, [])
        if known[-1:] != [version]:
            known.append(version)
        self.alive.add(key)

    def check(self) -> None:
        """Lake and warehouse hold just these versions, in this order, and show as current what is alive."""
        expected = [(key, *version) for key in sorted(self.versions) for version in self.versions[key]]
        columns = "SELECT sales_order_id, units_sold, (last_updated_date + {}) FROM fact_sales_order ORDER BY 1, {}"
        warehouse = self.world.warehouse.run(columns.format("last_updated_time", "sales_record_id"))
        assert [tuple(row) for row in warehouse] == expected, f"seed {SEED}"
        assert self.world.in_lake(columns.format("CAST(last_updated_time AS time)", "batch_id")) == expected, SEED
        current = "SELECT sales_order_id FROM fact_sales_order_current ORDER BY 1"
        assert self.world.warehouse.run(current) == [[key] for key in sorted(self.alive)], f"seed {SEED}"
        assert self.world.in_lake(current) == [(key,) for key in sorted(self.alive)], f"seed {SEED}"


@pytest.mark.integration
@pytest.mark.slow
def test_whatever_writers_do_every_version_that_a_run_could_see_is_there_once(
    world: World, database: str, connect: Callable[[str], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retail_etl.source.OVERLAP", "0 seconds")  # the fences alone must hold
    world.source.run(SOURCE_ROWS)
    world.source.run("ALTER TABLE sales_order ALTER COLUMN last_updated DROP NOT NULL")
    world.source.run("GRANT pg_read_all_stats TO reader")
    histories = Histories(world, [connect(database) for _ in range(4)])
    histories.run()
    for number in range(ROUNDS):
        histories.write()
        histories.end_some(0.5)
        last = number == ROUNDS - 1
        if last:
            histories.end_some(1)
        (histories.reconcile if last or histories.random.random() < 0.25 else histories.run)()
        histories.check()
