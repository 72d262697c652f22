"""Extract: what changed in the source since the last batch, as JSON in the raw zone. One batch, one snapshot."""

import time
from functools import partial
from typing import Any

from retail_etl import model, runtime
from retail_etl.raw import Manifest, RawZone, now
from retail_etl.runtime import Job, Result
from retail_etl.source import Reading, Snapshot, SourceColumn, open_snapshot


def run(job: Job) -> Result:
    """Read every table that has something new, in one snapshot; nothing new anywhere makes no batch."""
    zone = RawZone(job.option("lake"))
    previous = _still_there(zone, (zone.last_extract() or {}).get("tables", {}))
    with open_snapshot(job.database("source"), job.options.get("source_time_zone")) as snapshot:
        columns = snapshot.check_contract(model.SOURCE)
        for warning in snapshot.warnings:
            job.progress.warn(warning)
        readings = [
            snapshot.plan(table, columns[table.name], previous.get(table.name)) for table in model.SOURCE.values()
        ]
        if all(reading.rows is None for reading in readings):
            return Result("nothing_to_do", warnings=tuple(snapshot.warnings))
        return _extract(job, zone, snapshot, readings, columns)


def _still_there(zone: RawZone, previous: Manifest) -> Manifest:
    """The entries that can be built upon: a full copy that is damaged is made anew."""
    snapshots = [table for table in model.SOURCE.values() if table.extract == "snapshot" and table.name in previous]
    damaged = {table.name for table in snapshots if not zone.intact(table, previous[table.name])}
    return {name: entry for name, entry in previous.items() if name not in damaged}


def _extract(
    job: Job, zone: RawZone, snapshot: Snapshot, readings: list[Reading], columns: dict[str, list[SourceColumn]]
) -> Result:
    started = now()
    batch_id = zone.claim()

    def read(reading: Reading) -> dict[str, Any]:
        if reading.rows is None:
            return {**reading.state, "rows": None, "objects": {}}
        name, since = reading.table.name, time.monotonic()
        job.progress.start(name, reading.rows)
        objects = {}
        if reading.rows:
            objects = zone.write(snapshot.read(job.spark, reading, columns[name]), name, batch_id)
        seconds = round(time.monotonic() - since, 3)
        job.progress.finish(name, reading.rows, seconds)
        copy = {"full_copy_batch_id": batch_id} if reading.table.extract == "snapshot" else {}
        return {**reading.state, **copy, "rows": reading.rows, "objects": objects, "seconds": seconds}

    _ = job.spark  # started once, before the tables are read side by side
    largest_first = sorted(readings, key=lambda reading: -(reading.rows or 0))
    tables = runtime.side_by_side({reading.table.name: partial(read, reading) for reading in largest_first})
    zone.finish(
        batch_id,
        "extract",
        {
            "started_at": started,
            "contract_version": model.contract_version(),
            "snapshot": {
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
    rows = sum(reading.rows or 0 for reading in readings)
    return Result("succeeded", rows, (batch_id,), tuple(snapshot.warnings))


if __name__ == "__main__":
    runtime.main(run, ("lake",), source_secret="", source_time_zone="")
