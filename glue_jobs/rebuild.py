"""Rebuild: the lake's tables anew from all published batches of the raw zone, audited, then put in the old ones' place.

Each table is written in one pass, on a branch. Until the last one has passed, readers see the old state.
"""

from collections.abc import Mapping
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import deletions, frames, history, model, quality, quarantine, runtime, star
from retail_etl.audit import Audit
from retail_etl.errors import StateError
from retail_etl.lake import MAIN, REBUILD, Lake, Written
from retail_etl.raw import Manifest, RawZone
from retail_etl.runtime import NOTHING_TO_DO, Job, Result
from retail_etl.schema import BATCH_ID, Column, SourceTable, StarTable
from retail_etl.values import Values


def run(job: Job) -> Result:
    """Write, audit, compare with what was there, publish. What differs from it is said, and is no error."""
    zone = RawZone(job.option("lake"))
    if waiting := zone.waiting("publish"):
        raise StateError(f"Batch {waiting[0]} is written and not published: run the workflow (etl.py run) first.")
    extracts = [zone.expect_manifest(batch_id, "extract") for batch_id in zone.published_after(0)]
    if not extracts:
        return NOTHING_TO_DO
    lake = Lake.of(job)
    lake.create_missing()
    written = _write(job, zone, lake, extracts)
    _audit(job, lake, written)
    warnings = _differences(lake, written)
    lake.publish(REBUILD, {name: table.snapshot_id for name, table in written.items()})
    return Result("succeeded", sum(table.rows for table in written.values()), warnings=warnings)


def _write(job: Job, zone: RawZone, lake: Lake, extracts: list[Manifest]) -> dict[str, Written]:
    """Write every table on its branch; those that have no row are left out."""

    def write(name: str, frame: DataFrame) -> Written | None:
        job.progress.start(name)
        written = lake.replace(model.STAR[name], frame)
        if written:
            job.progress.finish(name, written.rows, written.seconds)
        return written

    tables = {table.name: table for table in model.STAR.values() if table.sources}
    written = runtime.side_by_side(
        {name: partial(write, name, _rows(job, zone, table, extracts)) for name, table in tables.items()}
    )
    written["deleted_record"] = write("deleted_record", _deletions(job, zone, extracts))
    batches = [extract["batch_id"] for extract in extracts]
    written["quarantine"] = write("quarantine", zone.verdicts(job.spark, batches))
    if facts := {name: REBUILD for name, table in tables.items() if table.is_fact and written[name]}:
        written["dim_date"] = write("dim_date", star.dim_date(lake.date_span(facts, by=[BATCH_ID])))
    return {name: table for name, table in written.items() if table}


def _rows(job: Job, zone: RawZone, table: StarTable, extracts: list[Manifest]) -> DataFrame:
    """All versions of a fact, the last ones of a dimension."""
    touching = [
        extract for extract in extracts if any(extract["tables"][name]["rows"] is not None for name in table.sources)
    ]
    rows = star.BUILDERS[table.name](*(_accepted(job, zone, model.SOURCE[name], touching) for name in table.sources))
    versions = history.versions(table, rows)
    return versions if table.is_fact else history.latest(table, versions)


def _accepted(job: Job, zone: RawZone, table: SourceTable, extracts: list[Manifest]) -> DataFrame:
    """The rows of these batches that the raw gate let through."""
    rows = zone.history(job.spark, table, extracts)
    batches = zone.published_after(0)
    passed = (zone.expect_manifest(batch_id, "quality_raw") for batch_id in batches)
    if not any(one.get("set_aside", {}).get(table.name) for one in passed):
        return rows
    held = quarantine.spans(zone.verdicts(job.spark, batches), table.name)
    return quarantine.without_spans(rows, held, table.key)


def _deletions(job: Job, zone: RawZone, extracts: list[Manifest]) -> DataFrame:
    """When source rows were missed or back, but for what was not believed then."""
    found_at = frames.of_rows(
        job.spark,
        [(extract["batch_id"], deletions.found_at(extract)) for extract in extracts],
        f"{BATCH_ID} bigint, found_at timestamp_ntz",
    )
    withheld = {
        extract["batch_id"]: zone.expect_manifest(extract["batch_id"], "transform")["withheld_deletions"]
        for extract in extracts
    }
    events = []
    for source in (model.SOURCE[table.sources[0]] for table in model.STAR.values() if table.sources):
        read = [extract for extract in extracts if extract["tables"][source.name]["rows"] is not None]
        believed = {
            extract["batch_id"]: extract["tables"][source.name].get("complete", [])
            for extract in read
            if withheld[extract["batch_id"]].get(source.name, {}).get("batch_id") != extract["batch_id"]
        }
        if not any(believed.values()):  # then nothing can have been missed, and most of the raw zone need not be read
            continue
        present = zone.history(job.spark, source, read).select(F.col(source.key).alias("record_id"), BATCH_ID)
        events.append(deletions.history(job.spark, source.name, present, believed))
    return reduce(DataFrame.unionByName, events).join(F.broadcast(found_at), on=BATCH_ID, how="inner")


def _audit(job: Job, lake: Lake, written: Mapping[str, Written]) -> None:
    """QualityError where the rebuilt tables break a rule: then nothing of them is shown."""

    def there(column: Column, asked: Values) -> Values:
        table = model.STAR[column.referenced_table]
        return lake.keys(table, REBUILD if table.name in written else MAIN, asked)

    def audit(name: str) -> Audit:
        table = model.STAR[name]
        return Audit(table, partial(lake.rows, table, REBUILD), written[name].rows, there=there, of_one_batch=False)

    for name, result in written.items():
        job.progress.start(name, result.rows)
    evaluations = quality.evaluate_all({name: audit(name) for name in written}, job.progress)
    for evaluation in evaluations.values():
        evaluation.close()  # else Spark keeps a part of every row while the tables are compared
    if failures := [failure for evaluation in evaluations.values() for failure in evaluation.failures]:
        raise quality.report("The rebuilt lake is rejected", failures)


def _differences(lake: Lake, written: Mapping[str, Written]) -> tuple[str, ...]:
    """A sentence for each table that is not what it was."""
    compared = runtime.side_by_side({name: partial(_compare, lake, model.STAR[name]) for name in written})
    return tuple(
        f"{name} was not what the raw zone gives: {new:,} rows are new or different, {gone:,} are not there any more. "
        "Bring the warehouse along: etl.py rebuild warehouse."
        for name, (new, gone) in compared.items()
        if new or gone
    )


def _compare(lake: Lake, table: StarTable) -> tuple[int, int]:
    """How many of the rebuilt rows are not in `main`, and how many of `main` are not among them."""
    here = lake.rows(table, REBUILD).withColumn("more", F.lit(1))
    there = lake.rows(table).withColumn("more", F.lit(-1))
    counted = here.unionByName(there).groupBy(*table.column_names, BATCH_ID).agg(F.sum("more").alias("more"))
    sums = counted.agg(F.sum(F.greatest("more", F.lit(0))), F.sum(F.greatest(-F.col("more"), F.lit(0)))).first()
    new, gone = sums or (0, 0)
    return new or 0, gone or 0


if __name__ == "__main__":
    runtime.main(run)
