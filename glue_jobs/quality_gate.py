"""Quality gate: the model's expectations on each waiting batch. `--layer raw` before the transform, `--layer star`
after it; the star gate publishes what it lets through.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

from retail_etl import model, quality, runtime
from retail_etl.errors import ConfigurationError, RetailEtlError, StateError
from retail_etl.lake import Lake, branch_of
from retail_etl.quality import Audit
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
    passed = _audit(job, zone, batch_id, "raw", audits)
    zone.finish(batch_id, "quality_raw", {**passed, "tables": rows})
    return sum(rows.values())


def _pass_star(job: Job, zone: RawZone, batch_id: int) -> int:
    lake = Lake(job.spark)
    written = zone.expect_manifest(batch_id, "transform")["tables"]
    intent = zone.manifest(batch_id, "publish_intent")
    if intent is None:  # else an earlier run audited it and was cut off
        audits = {name: partial(_star_audit, lake, batch_id, name, written) for name in written}
        passed = _audit(job, zone, batch_id, "star", audits)
        snapshots = {name: entry["snapshot_id"] for name, entry in written.items()}
        intent = zone.note(batch_id, "publish_intent", {"batch_id": batch_id, **passed, "snapshots": snapshots})
    lake.publish(branch_of(batch_id), intent["snapshots"])
    done = {name: intent[name] for name in ("seconds", "expectations")}
    zone.finish(batch_id, "publish", {**done, "tables": intent["snapshots"]})
    return sum(entry["rows"] for entry in written.values())


def _audit(job: Job, zone: RawZone, batch_id: int, layer: str, audits: Mapping[str, Callable[[], Audit]]) -> Manifest:
    """Evaluate all tables side by side; reject the batch where one fails. Gives what its manifest says of quality."""
    since = time.monotonic()
    try:
        expectations, failures = quality.evaluate_all(audits, job.progress)
    except StateError as error:  # an object of the batch is damaged: read it again
        _reject(job, zone, batch_id, layer, error)
        raise
    if failures:
        rejection = quality.report(f"The {layer} gate rejected batch {batch_id}", failures)
        _reject(job, zone, batch_id, layer, rejection)
        raise rejection
    return {"seconds": round(time.monotonic() - since, 3), "expectations": expectations}


def _reject(job: Job, zone: RawZone, batch_id: int, layer: str, reason: RetailEtlError) -> None:
    zone.reject(batch_id, str(reason))
    if layer == "star":
        Lake(job.spark).discard(range(batch_id, zone.latest() + 1))


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
    references = lake.references(table, lambda target: lake.latest(target, [batch_id]))
    rows = whole.where(whole[BATCH_ID] == batch_id)
    return Audit(table, rows, written[name]["rows"], references=references, whole=whole)


if __name__ == "__main__":
    runtime.main(run, ("lake", "layer"))
