"""Transform: the raw rows of each waiting batch → the star tables, written on the batch's branch of the lake."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import deletions, gates, mass_deletions, model, runtime, star
from retail_etl.counting import keys_in
from retail_etl.lake import Lake, Written
from retail_etl.raw import Manifest, RawZone
from retail_etl.runtime import NOTHING_TO_DO, Job, Result
from retail_etl.schema import BATCH_ID, SourceTable, StarTable
from retail_etl.survey import survey
from retail_etl.values import Values


def run(job: Job) -> Result:
    """Take every batch that the raw gate let through, in order; each builds on what the one before it wrote."""
    zone = RawZone(job.option("lake"))
    waiting = zone.waiting("transform")
    if not waiting:
        return NOTHING_TO_DO
    lake = Lake.of(job)
    lake.create_missing(filled=zone.has_published())
    rows = sum(_transform(job, zone, lake, batch_id) for batch_id in waiting)
    withheld = mass_deletions.describe(zone.withheld_deletions())
    return Result("succeeded", rows, tuple(waiting), warnings=withheld, needs_attention=bool(withheld))


def _transform(job: Job, zone: RawZone, lake: Lake, batch_id: int) -> int:
    extract = zone.expect_manifest(batch_id, "extract")
    before = zone.waiting("publish")
    rows = {name: entry["rows"] for name, entry in extract["tables"].items()}
    job.expect(sum(filter(None, rows.values())) + lake.rows_to_look_at())
    read = {name for name, count in rows.items() if count is not None}
    touched = [table for table in model.STAR.values() if read & set(table.sources)]
    since = time.monotonic()

    def write(table: StarTable) -> Written | None:
        job.progress.start(table.name)
        written = _write(job, zone, lake, table, extract, lake.latest(table, before))
        job.progress.finish(table.name, written.rows if written else 0, written.seconds if written else 0.0)
        return written

    largest_first = sorted(touched, key=lambda table: -sum(extract["tables"][s]["rows"] or 0 for s in table.sources))
    written = runtime.side_by_side({table.name: partial(write, table) for table in largest_first})
    facts = {table.name: written[table.name] for table in touched if table.is_fact}
    if snapshots := {name: one.snapshot_id for name, one in facts.items() if one}:
        written["dim_date"] = _write_calendar(lake, batch_id, before, snapshots)
    written["quarantine"] = _write_verdicts(job, zone, lake, batch_id, before)
    written["deleted_record"], withheld = _write_deletions(job, zone, lake, extract, before)
    tables = {name: asdict(result) for name, result in written.items() if result}
    seconds = round(time.monotonic() - since, 3)
    zone.finish(batch_id, "transform", {"seconds": seconds, "tables": tables, "withheld_deletions": withheld})
    zone.remove_copies(batch_id)
    return sum(entry["rows"] for entry in tables.values())


def _write(job: Job, zone: RawZone, lake: Lake, table: StarTable, extract: Manifest, parent: str) -> Written | None:
    batch_id = extract["batch_id"]
    frames = [_accepted(job, zone, name, extract) for name in table.sources]
    frame = star.BUILDERS[table.name](*frames)
    if not table.is_fact:
        return lake.merge_dimension(table, frame, batch_id, parent)
    return lake.append_versions(table, frame, batch_id, parent, partial(_seen_before, job, zone, table, extract))


def _accepted(job: Job, zone: RawZone, name: str, extract: Manifest) -> DataFrame:
    table = model.SOURCE[name]
    rows = gates.accepted(job, zone, table, extract, whole=table.extract == "snapshot", copies=True)
    return _of_batch(rows, extract["batch_id"])


def _of_batch(rows: DataFrame, batch_id: int) -> DataFrame:
    return rows.withColumn(BATCH_ID, F.lit(batch_id).cast("bigint"))


def _seen_before(job: Job, zone: RawZone, table: StarTable, extract: Manifest) -> Values:
    """The keys of rows that an earlier batch may have seen as they are: not newer than all it had shown by then."""
    source = model.SOURCE[table.sources[0]]
    seen_until = extract["tables"][source.name]["seen_until"] or ""
    return zone.keys_until(job.spark, source, extract, seen_until.replace(" ", "T"))


def _write_calendar(lake: Lake, batch_id: int, before: list[int], written: Mapping[str, int]) -> Written | None:
    """`written`: fact → the snapshot in which the batch wrote it."""
    parent = lake.latest(model.DIM_DATE, before)
    if lake.has_days_of(written, batch_id, parent):
        return None
    facts = {table.name: lake.latest(table, [*before, batch_id]) for table in model.STAR.values() if table.is_fact}
    span = _of_batch(lake.date_span(facts), batch_id)
    return lake.merge_dimension(model.DIM_DATE, star.dim_date(span), batch_id, parent)


def _write_verdicts(job: Job, zone: RawZone, lake: Lake, batch_id: int, before: list[int]) -> Written | None:
    if not zone.expect_manifest(batch_id, "quality_raw").get("verdicts"):
        return None
    verdicts = zone.verdicts(job.spark, [batch_id])
    return lake.append(model.QUARANTINE, verdicts, batch_id, lake.latest(model.QUARANTINE, before))


def _write_deletions(
    job: Job, zone: RawZone, lake: Lake, extract: Manifest, before: list[int]
) -> tuple[Written | None, Manifest]:
    """Record what is missing in the batch, or back. What is too much to believe is not, and given beside."""
    withheld = dict(zone.withheld_deletions())
    parent = lake.latest(model.DELETED_RECORD, before)
    gone = lake.missing_keys(parent)
    found: list[DataFrame] = []
    for table in (table for table in model.STAR.values() if table.sources):
        source = model.SOURCE[table.sources[0]]
        entry, missing = extract["tables"][source.name], gone.get(source.name, Values())
        ranges = entry.get("complete", [])
        if entry["rows"] is None or not (ranges or missing):
            continue
        known = lake.keys(table, lake.latest(table, before))
        events = deletions.events(known, missing, _present(job, zone, source, extract), ranges)
        withheld.pop(source.name, None)
        missed, alive = len(events.missed), len(known) - len(missing)
        if mass_deletions.is_mass_deletion(missed, alive) and not entry.get("accept_deletions"):
            withheld[source.name] = {"missed": missed, "alive": alive, "batch_id": extract["batch_id"]}
            events = replace(events, missed=Values())
        if events.missed or events.back:
            found.append(events.rows(job.spark, source))
    if not found:
        return None, withheld
    moment = F.lit(deletions.found_at(extract)).cast("timestamp_ntz")
    frame = _of_batch(reduce(DataFrame.unionByName, found), extract["batch_id"]).withColumn("found_at", moment)
    return lake.append(model.DELETED_RECORD, frame, extract["batch_id"], parent), withheld


def _present(job: Job, zone: RawZone, table: SourceTable, extract: Manifest) -> Values:
    """The keys of the rows that the batch holds. A row in quarantine is there, though not shown."""
    rows = extract["tables"][table.name]["rows"]
    found = survey({table.name: zone.parts(table, extract)}, job.spark, rows)[table.name]
    if found.is_certain:
        return found.values[table.key]
    return keys_in(zone.read(job.spark, table, extract), table.key)


if __name__ == "__main__":
    runtime.main(run)
