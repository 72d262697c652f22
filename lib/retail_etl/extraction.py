"""One batch: every table that has something new, read in one snapshot, and the manifest last."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from retail_etl import contract, model, runtime, source_rows
from retail_etl.contract import SourceColumn
from retail_etl.detection import declared
from retail_etl.manifests import now
from retail_etl.raw import RawZone
from retail_etl.runtime import Job
from retail_etl.schema import LARGEST_INT, SMALLEST_INT, KeyRange
from retail_etl.source import Reading, Snapshot

EVERY_KEY: KeyRange = (SMALLEST_INT, LARGEST_INT)


@dataclass(frozen=True)
class Plan:
    """What a batch would read. `accepted`: the tables whose deletions somebody has confirmed. `news`: what its manifest
    is the first to say of the source's columns.
    """

    readings: list[Reading]
    columns: Mapping[str, list[SourceColumn]]
    accepted: frozenset[str]
    news: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether no table has anything new."""
        return all(reading.rows is None for reading in self.readings)

    @property
    def rows(self) -> int:
        """How many rows it would read."""
        return sum(reading.rows or 0 for reading in self.readings)


def accepted_deletions(job: Job) -> frozenset[str]:
    """The tables of the option `accept_deletions`; ConfigurationError where one is none of the source's."""
    return job.tables("accept_deletions")


def redriven(job: Job) -> frozenset[str]:
    """The tables of the option `redrive`, `all` being all of them; ConfigurationError where there is no such table."""
    if job.options.get("redrive") == "all":
        return frozenset(model.SOURCE)
    return job.tables("redrive")


def plan(
    zone: RawZone,
    snapshot: Snapshot,
    accepted: frozenset[str],
    ranges: Mapping[str, list[KeyRange]] | None = None,
) -> Plan:
    """What is new since the last extraction. `ranges`: source table → keys that are to be read in any case.

    ContractError where the source is not as the model says. What is narrower than it was, `check_source` has found
    accepted: such a table is read whole, for what was cut kept its `last_updated`. So there is a batch to note it.
    """
    columns = snapshot.check_contract(model.SOURCE)
    last = (zone.last_extract() or {}).get("tables", {})
    narrowed = [name for name, seen in declared(last).items() if contract.narrowed(columns[name], seen)]
    ranges = {**(ranges or {}), **{name: [EVERY_KEY] for name in narrowed}}
    previous = zone.to_build_on(anew=accepted)
    readings = [
        snapshot.plan(table, columns[table.name], previous.get(table.name), ranges.get(table.name, ()))
        for table in model.SOURCE.values()
    ]
    news = [
        sentence
        for name, table in model.SOURCE.items()
        for sentence in contract.unknown(table, columns[name], last.get(name, {}))
    ]
    return Plan(readings, columns, accepted, news)


def extract(job: Job, zone: RawZone, snapshot: Snapshot, planned: Plan) -> int:
    """Write the batch; gives its id."""
    started = now()
    snapshot.warnings += planned.news
    batch_id = zone.claim()
    # Which starts Spark once, before the tables are read side by side, and for all that this run will go over.
    waiting = (zone.expect_manifest(earlier, "extract")["tables"].values() for earlier in zone.waiting("transform"))
    job.expect(planned.rows + sum(entry["rows"] or 0 for tables in waiting for entry in tables))
    largest_first = sorted(planned.readings, key=lambda reading: -(reading.rows or 0))
    tables = runtime.side_by_side(
        {
            reading.table.name: partial(_read, job, zone, snapshot, planned, reading, batch_id)
            for reading in largest_first
        }
    )
    zone.finish(
        batch_id,
        "extract",
        {
            "started_at": started,
            "contract_version": model.contract_version(),
            "snapshot": {
                "source": snapshot.identity,
                "taken_at": snapshot.clock,
                "time_zone": snapshot.zone,
                "oldest_open_transaction": snapshot.oldest_transaction,
                "prepared_transactions": snapshot.prepared,
                "server_version": snapshot.server_version,
            },
            "warnings": snapshot.warnings,
            "tables": tables,
        },
    )
    return batch_id


def _read(
    job: Job, zone: RawZone, snapshot: Snapshot, planned: Plan, reading: Reading, batch_id: int
) -> dict[str, Any]:
    """Read one table; gives its entry in the manifest."""
    if reading.rows is None:
        return {**reading.state, "rows": None, "objects": {}}
    name, since = reading.table.name, time.monotonic()
    job.progress.start(name, reading.rows)
    objects = {}
    if reading.rows:
        columns = planned.columns[name]
        with source_rows.being_read(snapshot):
            if reading.rows <= source_rows.FEW:
                objects = zone.write_few(source_rows.read_few(snapshot, reading, columns), name, batch_id)
            else:
                objects = zone.write(source_rows.read(job.spark, snapshot, reading, columns), name, batch_id)
    seconds = round(time.monotonic() - since, 3)
    job.progress.finish(name, reading.rows, seconds)
    entry = {**reading.state, "rows": reading.rows, "objects": objects, "seconds": seconds}
    if reading.table.extract == "snapshot":
        entry |= {"full_copy_batch_id": batch_id, "complete": [[None, None]]}
    return entry | ({"accept_deletions": True} if name in planned.accepted else {})
