"""The star gate: what a batch wrote on its branch, audited; then published. All rules here are critical: rows that
break one were to be set aside before.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import few_rows, gates, model, quality
from retail_etl.audit import Audit, Counts, Sums
from retail_etl.expectations import Expectation
from retail_etl.gates import Findings
from retail_etl.lake import Lake, branch_of
from retail_etl.quality import Outcome
from retail_etl.raw import Manifest, RawZone
from retail_etl.runtime import Job
from retail_etl.schema import BATCH_ID, Column, StarTable
from retail_etl.spark import is_for_few
from retail_etl.survey import Survey, is_surveyed
from retail_etl.values import Values


def run(job: Job, zone: RawZone, batch_id: int) -> int:
    """Publish the batch, or reject it. Gives how many rows it wrote."""
    lake = Lake.of(job)
    written = zone.expect_manifest(batch_id, "transform")["tables"]
    job.expect(_rows(written) + lake.rows_to_look_at())
    intent = zone.manifest(batch_id, "publish_intent")
    if intent is None:  # else an earlier run audited it and was cut off
        findings = _evaluate(job, zone, lake, batch_id, written)
        findings.close()
        findings.keep(zone, lake)
        if rejection := findings.rejection():
            gates.reject(job, zone, batch_id, rejection)
        findings.measure(job)
        if rejection:
            raise rejection
        snapshots = {name: entry["snapshot_id"] for name, entry in written.items()}
        seconds = round(time.monotonic() - findings.since, 3)
        body = {"batch_id": batch_id, "seconds": seconds, **findings.manifest(), "snapshots": snapshots}
        intent = zone.note(batch_id, "publish_intent", body)
    lake.publish(branch_of(batch_id), intent["snapshots"], batch_id)
    done = {name: intent.get(name) for name in ("seconds", "expectations", "reported")}
    zone.finish(batch_id, "publish", {**done, "tables": intent["snapshots"]})
    return _rows(written)


def _rows(written: Manifest) -> int:
    return sum(entry["rows"] for entry in written.values())


def _evaluate(job: Job, zone: RawZone, lake: Lake, batch_id: int, written: Manifest) -> Findings:
    since = time.monotonic()
    parts = {
        name: lake.parts(model.STAR[name], entry["snapshot_id"], batch_id)
        for name, entry in written.items()
        # What somebody else wrote to is for Spark to look at: as readers of the branch would see it.
        if is_surveyed(model.STAR[name])
        and lake.heads(model.STAR[name]).get(branch_of(batch_id)) == entry["snapshot_id"]
    }
    for name, entry in written.items():
        job.progress.start(name, entry["rows"])
    surveys = quality.survey_all(parts, job, _rows(written))
    let_through = zone.expect_manifest(batch_id, "quality_raw").get("sums", {})
    add_up = {
        table.name: partial(_sums, job, zone, lake, batch_id, table, let_through[table.sources[0]])
        for table in model.STAR.values()
        if table.is_fact and table.sources[0] in let_through
    }
    there = _keys_there(lake, batch_id, surveys)
    audits = {
        name: replace(_audit(lake, batch_id, name, written, surveys), there=there, add_up=add_up.get(name))
        for name in written
    }
    unwritten = [_accounted(name, sums(Counts(0, {}, {}, {}))) for name, sums in add_up.items() if name not in written]
    evaluations = quality.evaluate_all(audits, job.progress)
    return Findings("star", batch_id, evaluations, unwritten, since)


def _audit(lake: Lake, batch_id: int, name: str, written: Manifest, surveys: Mapping[str, Survey]) -> Audit:
    table = model.STAR[name]

    def whole() -> DataFrame:
        return lake.rows(table, lake.latest(table, [batch_id]))

    return Audit(
        table,
        lambda: whole().where(F.col(BATCH_ID) == batch_id),
        written[name]["rows"],
        survey=surveys.get(name),
        whole=whole,
    )


def _keys_there(lake: Lake, batch_id: int, surveys: Mapping[str, Survey]) -> Callable[[Column, Values], Values]:
    """Gives those of the keys that the table has that the column refers to: the batch wrote them, or one before it."""

    @cache  # facts refer to the calendar ten times
    def whole(name: str) -> Values:
        return lake.keys(model.STAR[name], lake.latest(model.STAR[name], [batch_id]))

    def there(column: Column, asked: Values) -> Values:
        table = model.STAR[column.referenced_table]
        if not table.large:
            return whole(table.name) & asked
        of_batch = surveys.get(table.name)
        written = of_batch.values[table.key] & asked if of_batch is not None and of_batch.is_certain else Values()
        return written | lake.keys(table, lake.latest(table, [batch_id]), asked - written)

    return there


def _sums(
    job: Job,
    zone: RawZone,
    lake: Lake,
    batch_id: int,
    table: StarTable,
    let_through: dict[str, str],
    counts: Counts,
) -> Sums:
    """What was let through must be there: as a version of this batch, or as the one that is current and its equal.
    `counts`: of what the batch wrote of the table.
    """
    here = {name: counts.totals.get(name, Decimal(0)) for name in ("rows", *table.additive_columns)}
    if here["rows"] != int(let_through["rows"]):
        written = counts.values.get(table.key, Values())
        here = gates.plus(here, _unchanged(job, zone, lake, batch_id, table, written))
    return {name: (Decimal(let_through[name]), total) for name, total in here.items()}


def _unchanged(
    job: Job, zone: RawZone, lake: Lake, batch_id: int, table: StarTable, written: Values
) -> dict[str, Decimal]:
    """The sums of the current versions of rows that the batch read again and that were as they are."""
    source, extract = model.SOURCE[table.sources[0]], zone.expect_manifest(batch_id, "extract")
    again = gates.accepted_keys(job, zone, source, extract) - written
    reference = lake.latest(table, [batch_id])
    if is_for_few(job.spark):
        return few_rows.sums(table, lake.few_of_keys(table, reference, again))
    return gates.sums(table, lake.of_keys(table, reference, again))


def _accounted(name: str, sums: Sums) -> Outcome:
    """The same for a table that the batch wrote nothing of."""
    wrong = [
        f"{what}: {quality.difference(through, here)}" for what, (through, here) in sums.items() if through != here
    ]
    rows = int(sums["rows"][0])
    return Outcome(name, Expectation("accounted"), not wrong, rows, 0.0, len(wrong), note="; ".join(wrong))
