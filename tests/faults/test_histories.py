"""Random histories of orders, through random runs, kills and reconciles; the star must hold each version that a run
could see.

Every history has keys of its own and is independent of the others, so that a few runs carry hundreds of them. More and
longer ones: `make histories HISTORIES=400 ROUNDS=12 CRASHES=4 SEED=7`.
"""

import os
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from pg8000.native import Connection

from retail_etl.raw import RawZone
from tests.faults.crash_run import POINTS
from tests.faults.killed import killed_run
from tests.integration.world import World

HISTORIES = int(os.environ.get("HISTORIES", "60"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
CRASHES = int(os.environ.get("CRASHES", "1"))  # each costs a start of Python and of a JVM
SEED = int(os.environ.get("SEED", str(random.randrange(10**6))))
KEYS_EACH = 3
FIRST_KEY = 1000

NOW = "clock_timestamp() AT TIME ZONE 'UTC'"
_INSERT = (
    "INSERT INTO sales_order SELECT CAST(:key AS int), design_id, staff_id, counterparty_id, CAST(:units AS int),"
    " unit_price, currency_id,"
    " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, {stamp}"
    " FROM sales_order WHERE sales_order_id = 100"
)
INSERTS = {"honest": _INSERT.format(stamp=NOW), "back-dated": _INSERT.format(stamp=f"{NOW} - interval '1 hour'")}
WRITES = {
    "honest": f"UPDATE sales_order SET units_sold = :units, last_updated = {NOW} WHERE sales_order_id = :key",
    "back-dated": f"UPDATE sales_order SET units_sold = :units, last_updated = {NOW} - interval '1 hour'"
    " WHERE sales_order_id = :key",
    "silent": "UPDATE sales_order SET units_sold = :units WHERE sales_order_id = :key",
    "stampless": "UPDATE sales_order SET units_sold = :units, last_updated = NULL WHERE sales_order_id = :key",
    "delete": "DELETE FROM sales_order WHERE sales_order_id = :key AND :units > 0",
}
ROWS = "SELECT sales_order_id, units_sold, coalesce(last_updated, created_at), last_updated FROM sales_order"

SHOWN = "SELECT sales_order_id, units_sold, (last_updated_date + {}) FROM fact_sales_order ORDER BY 1, {}"

Row = Sequence[Any]
Version = tuple[int, int, datetime]  # key, units, last updated


class Histories:
    """The writers, and what the star must hold by now."""

    def __init__(self, world: World, writers: list[Connection]) -> None:
        self.world = world
        self.zone = RawZone(world.lake)
        self.random = random.Random(SEED)
        self.writers = writers
        self.open: dict[int, list[tuple[int, str]]] = {}  # writer → what its transaction wrote
        self.honest: set[int] = set()  # keys whose last committed write a plain run must see
        self.versions: dict[int, list[Version]] = {100: []}
        self.alive: set[int] = set()
        self.moments: list[list[Version]] = []  # what lake and warehouse may show
        self.checked = 0  # versions that were compared
        self.story: list[str] = []  # what happened, round by round

    # ------------------------------------------------------------------ the writers

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
        kinds = WRITES if there else INSERTS
        kind = self.random.choice([*kinds, "honest"])
        if writer < len(self.writers):
            if writer not in self.open:
                connection.run("BEGIN")
            self.open.setdefault(writer, []).append((key, kind))
        connection.run(kinds[kind], key=key, units=self.random.randint(1, 4))  # few values: A, B and A again
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

    # ------------------------------------------------------------------ what reaches the star

    def run(self) -> None:
        """A plain run finishes what a kill left, and sees what its fence lets it see, and all honest writes."""
        self.story.append("run")
        rows = self.world.source.run(ROWS)
        done = self.world.run()
        assert done.error is None, (done.error, self.told())
        self._extracted(done.batch_id, rows)
        self._finished()

    def killed_run(self) -> None:
        """A run that is killed sees the same if its batch came to the manifest; if not, the batch did not happen."""
        point = self.random.choice(list(POINTS))
        self.story.append(f"killed where {point}")
        rows, before = self.world.source.run(ROWS), self.zone.latest()
        killed_run(self.world, point)
        claimed = self.zone.latest()
        if claimed > before and self.zone.manifest(claimed, "extract"):
            self._extracted(claimed, rows)
        self._cut_off()

    def reconcile(self) -> None:
        """A reconcile that heals sees everything, and what is gone."""
        self.story.append("reconcile")
        rows = self.world.source.run(ROWS)
        healed = self.world.reconcile(heal=True, accept_deletions="sales_order")
        assert (healed.error, healed.needs_attention) == (None, False), (healed.error, self.told())
        for key, units, updated, _ in rows:
            self._see(key, units, updated)
        self.alive = {key for key, *_ in rows}
        self._finished()

    def _extracted(self, batch_id: int | None, rows: list[Row]) -> None:
        """Where nothing changed there is no batch, and all that it would have seen is there already."""
        entry = self.zone.expect_manifest(batch_id, "extract")["tables"]["sales_order"] if batch_id else {"rows": None}
        if entry["rows"] is not None:
            fence = datetime.fromisoformat(entry["fence"]) if entry["fence"] else None
            for key, units, updated, stamp in rows:
                if stamp is None or fence is None or stamp >= fence:
                    self._see(key, units, updated)
        for key, units, updated, _ in rows:
            if key in self.honest:
                last = self.versions.get(key, [])[-1:]
                assert last == [(key, units, updated)], (f"order {key} was lost", self.told())

    def _see(self, key: int, units: int, updated: datetime) -> None:
        known = self.versions.setdefault(key, [])
        if known[-1:] != [(key, units, updated)]:
            known.append((key, units, updated))
        self.alive.add(key)

    # ------------------------------------------------------------------ what the star shows

    def _finished(self) -> None:
        """Lake and warehouse hold just these versions, in this order, and show as current what is alive."""
        expected = self._expected()
        assert self._in_warehouse() == expected, ("the warehouse is wrong", self.told())
        assert self._in_lake() == expected, ("the lake is wrong", self.told())
        current = "SELECT sales_order_id FROM fact_sales_order_current ORDER BY 1"
        alive = sorted(self.alive)
        assert [key for (key,) in self.world.warehouse.run(current)] == alive, ("current in the warehouse", self.told())
        assert [key for (key,) in self.world.in_lake(current)] == alive, ("current in the lake", self.told())
        self.moments = [expected]
        self.checked += len(expected)

    def _cut_off(self) -> None:
        """Each stands at one moment: that of the last batch, or of one before it, back to where all was finished."""
        self.moments.append(self._expected())
        assert self._in_warehouse() in self.moments, ("the warehouse holds a part of a batch", self.told())
        assert self._in_lake() in self.moments, ("the lake holds a part of a batch", self.told())

    def _expected(self) -> list[Version]:
        return [version for key in sorted(self.versions) for version in self.versions[key]]

    def _in_warehouse(self) -> list[Version]:
        return [tuple(row) for row in self.world.warehouse.run(SHOWN.format("last_updated_time", "sales_record_id"))]

    def _in_lake(self) -> list[Version]:
        return self.world.in_lake(SHOWN.format("CAST(last_updated_time AS time)", "batch_id"))

    def told(self) -> str:
        """How to have the same again, and what happened."""
        return f"SEED={SEED} HISTORIES={HISTORIES} ROUNDS={ROUNDS} CRASHES={CRASHES}: {', '.join(self.story)}"


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("fences_alone")
def test_whatever_writers_do_every_version_that_a_run_could_see_is_there_once(
    world: World,
    database: str,
    connect: Callable[[str], Connection],
    record_property: Callable[[str, object], None],
) -> None:
    world.source.run("ALTER TABLE sales_order ALTER COLUMN last_updated DROP NOT NULL")
    histories = Histories(world, [connect(database) for _ in range(4)])
    histories.run()
    *rounds, last = range(ROUNDS)
    killed = histories.random.sample(rounds, min(CRASHES, len(rounds)))
    for number in (*rounds, last):
        histories.write()
        histories.end_some(1 if number == last else 0.5)
        if number in killed:
            histories.killed_run()
        elif number == last or histories.random.random() < 0.25:
            histories.reconcile()
        else:
            histories.run()
    record_property("versions", f"{histories.checked} compared; {histories.told()}")
