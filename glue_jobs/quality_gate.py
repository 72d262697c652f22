"""Quality gate: the model's expectations on each waiting batch. `--layer raw` before the transform, `--layer star`
after it; the star gate publishes what it lets through.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

from retail_etl import model, quality, runtime
from retail_etl.errors import ConfigurationError, StateError
from retail_etl.lake import Lake
from retail_etl.quality import Audit, Failure
from retail_etl.raw import UNREADABLE, Manifest, RawZone
from retail_etl.runtime import NOTHING_TO_DO, Job, Result
from retail_etl.schema import BATCH_ID

STAGE = {"raw": "quality_raw", "star": "publish"}


def run(job: Job) -> Result:
    """Take the layer's waiting batches in order; the first that breaks a rule is rejected, with all after it."""
    layer = job.option("layer")
    if layer not in STAGE:
        raise ConfigurationError(f"--layer {layer} is not one of {', '.join(STAGE)}.")
    zone = RawZone(job.option("lake"))
    waiting = zone.waiting(STAGE[layer])
    if not waiting:
        return NOTHING_TO_DO
    gate = _pass_raw if layer == "raw" else _pass_star
    rows = sum(gate(job, zone, batch_id) for batch_id in waiting)
    return Result("succeeded", rows, tuple(waiting))


def _pass_raw(job: Job, zone: RawZone, batch_id: int) -> int:
    extract = zone.expect_manifest(batch_id, "extract")
    rows = {name: entry["rows"] for name, entry in extract["tables"].items() if entry["rows"] is not None}
    audits = {name: partial(_raw_audit, job, zone, extract, name) for name in rows}
    seconds = _audit(job, zone, batch_id, "raw", audits)
    zone.finish(batch_id, "quality_raw", {"seconds": seconds, "tables": rows})
    return sum(rows.values())


def _pass_star(job: Job, zone: RawZone, batch_id: int) -> int:
    lake = Lake(job.spark)
    written = zone.expect_manifest(batch_id, "transform")["tables"]
    seconds = 0.0
    if not zone.manifest(batch_id, "publish_intent"):  # else an earlier run audited it and was cut off
        audits = {name: partial(_star_audit, lake, batch_id, name, written) for name in written}
        seconds = _audit(job, zone, batch_id, "star", audits)
    snapshots = {name: entry["snapshot_id"] for name, entry in written.items()}
    intent = zone.note(batch_id, "publish_intent", {"batch_id": batch_id, "snapshots": snapshots})
    lake.publish(batch_id, intent["snapshots"])
    zone.finish(batch_id, "publish", {"seconds": seconds, "tables": snapshots})
    return sum(entry["rows"] for entry in written.values())


def _audit(job: Job, zone: RawZone, batch_id: int, layer: str, audits: Mapping[str, Callable[[], Audit]]) -> float:
    """Evaluate all tables side by side; reject the batch where one fails. Gives the seconds that it took."""

    def evaluate(name: str) -> list[Failure]:
        since = time.monotonic()
        audit = audits[name]()
        job.progress.start(name, audit.rows)
        failures = quality.evaluate(audit)
        job.progress.finish(name, audit.rows, time.monotonic() - since)
        return failures

    since = time.monotonic()
    try:
        found = runtime.side_by_side({name: partial(evaluate, name) for name in audits})
    except StateError as error:  # an object of the batch is damaged: read it again
        zone.reject(batch_id, str(error))
        raise
    failures = [failure for name in audits for failure in found[name]]
    if failures:
        rejection = quality.report(batch_id, layer, failures)
        zone.reject(batch_id, str(rejection))
        if layer == "star":
            Lake(job.spark).discard(range(batch_id, zone.latest() + 1))
        raise rejection
    return round(time.monotonic() - since, 3)


def _raw_audit(job: Job, zone: RawZone, extract: Manifest, name: str) -> Audit:
    table = model.SOURCE[name]
    references = {
        rule.column.references or "": zone.full_copy(job.spark, model.SOURCE[rule.column.referenced_table], extract)
        for rule in table.expectations()
        if rule.kind == "reference"
    }
    rows = zone.read(job.spark, table, extract)
    return Audit(table, rows, extract["tables"][name]["rows"], unreadable=UNREADABLE, references=references)


def _star_audit(lake: Lake, batch_id: int, name: str, written: Manifest) -> Audit:
    table = model.STAR[name]
    whole = lake.rows(table, lake.latest(table, [batch_id]))
    references = {
        column.references: lake.rows(target, lake.latest(target, [batch_id]))
        for column in table.columns
        if column.references
        for target in (model.STAR[column.referenced_table],)
    }
    rows = whole.where(whole[BATCH_ID] == batch_id)
    return Audit(table, rows, written[name]["rows"], references=references, whole=whole)


if __name__ == "__main__":
    runtime.main(run, ("lake", "layer"))
