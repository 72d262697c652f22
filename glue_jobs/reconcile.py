"""Reconcile: compare source, lake and warehouse, and heal what differs. `--phase compare` extracts the ranges in which
the lake differs into an ordinary batch; after the stages have taken it, `--phase certify` mends the warehouse and
writes the certificate.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import (
    deletions,
    detection,
    extraction,
    gates,
    mass_deletions,
    metrics,
    model,
    quarantine,
    reconcile,
    runtime,
)
from retail_etl.contract import SourceColumn
from retail_etl.errors import ConfigurationError, StateError
from retail_etl.lake import Lake
from retail_etl.metrics import Metric
from retail_etl.raw import Manifest, RawZone
from retail_etl.reconcile import Comparison, Sides
from retail_etl.runtime import NOTHING_TO_DO, Job, Result
from retail_etl.schema import StarTable
from retail_etl.source import Snapshot, open_snapshot
from retail_etl.warehouse import Warehouse, open_warehouse


def run(job: Job) -> Result:
    """Do one phase."""
    phases = {"compare": _compare, "certify": _certify}
    phase = job.option("phase")
    if phase not in phases:
        raise ConfigurationError(f"--phase {phase} is not one of {', '.join(phases)}.")
    return phases[phase](job, RawZone(job.option("lake")))


def _compare(job: Job, zone: RawZone) -> Result:
    accepted = extraction.accepted_deletions(job)
    lake = Lake.of(job)
    lake.create_missing(filled=zone.has_published())
    database = job.database("warehouse")
    with (
        open_snapshot(job.database("source"), job.options.get("source_time_zone")) as snapshot,
        open_warehouse(database, zone.lake_id()),
    ):
        detection.check_source(zone, snapshot, job)
        columns = snapshot.check_contract(model.SOURCE)
        held = gates.held(job, zone, zone.latest())
        keys = gates.keys_by_table(held)
        left_out = reconcile.held_keys(snapshot.query, keys)
        found = _compare_all(job, Sides(snapshot.query, database.query, lake.current, left_out))
        if held is not None:
            _compare_quarantine(snapshot, columns, held, found)
        differences = [comparison for comparison in found.values() if not comparison.agrees]
        _measure(job, len(differences))
        rows = sum(comparison.rows for comparison in found.values())
        if job.options.get("heal") != "true":
            zone.certify(_certificate(snapshot, found, keys, left_out))
            return Result("succeeded", rows, warnings=tuple(map(str, differences)), differs=bool(differences))
        _add_unpublished(job, zone, found)
        planned = extraction.plan(zone, snapshot, accepted, reconcile.ranges_to_read(found))
        batches = () if planned.is_empty else (extraction.extract(job, zone, snapshot, planned),)
        zone.expect_verification(_certificate(snapshot, found, keys, left_out))
        return Result("succeeded", rows, batches, tuple(snapshot.warnings))


def _measure(job: Job, differing: int) -> None:
    """Tell CloudWatch how many tables differ, where the option `metrics_namespace` names where."""
    if namespace := job.options.get("metrics_namespace"):
        phase = {"Phase": job.option("phase")}
        metrics.publish(namespace, [Metric("DifferingTables", differing, "Count", phase)])


def _compare_quarantine(
    snapshot: Snapshot,
    columns: Mapping[str, list[SourceColumn]],
    held: DataFrame,
    found: Mapping[str, Comparison],
) -> None:
    """Rows in quarantine must be there as the source has them now; those that are not are to be read again."""
    rows: dict[str, dict[int, str]] = {}
    for name, key, row in held.select("table_name", "record_id", "row").collect():
        rows.setdefault(name, {})[key] = row
    for name, in_quarantine in rows.items():
        in_source = snapshot.lines(model.SOURCE[name], columns[name], list(in_quarantine))
        changed = [key for key, row in in_quarantine.items() if in_source.get(key) != row]
        shown_by = model.SHOWN_BY.get(name) or model.DIM_STAFF  # who shows departments
        comparison = found[shown_by.name]
        comparison.quarantined += len(in_source)
        comparison.stale[name] = quarantine.key_ranges(changed)


def _compare_all(job: Job, sides: Sides) -> dict[str, Comparison]:
    def compare(name: str) -> Comparison:
        since = time.monotonic()
        job.progress.start(name)
        found = reconcile.compare(model.STAR[name], sides)
        job.progress.finish(name, found.rows, time.monotonic() - since)
        return found

    return runtime.side_by_side({table.name: partial(compare, table.name) for table in reconcile.compared_tables()})


def _add_unpublished(job: Job, zone: RawZone, found: Mapping[str, Comparison]) -> None:
    """What a failed run left waiting comes into the lake after the comparison, and may be older than the source is by
    now: its keys are read again, behind it. Snapshot tables need that not, for a batch holds all of their rows.
    """
    for batch_id in zone.unfinished("publish"):
        extract = zone.expect_manifest(batch_id, "extract")
        for name, comparison in found.items():
            table = model.SOURCE[model.STAR[name].sources[0]]
            if table.extract == "incremental" and extract["tables"][table.name]["rows"]:
                keys = zone.read(job.spark, table, extract).agg(F.min(table.key), F.max(table.key)).collect()[0]
                comparison.lake_ranges += [(keys[0], keys[1])] if keys[0] is not None else []


def _certificate(
    snapshot: Snapshot,
    found: Mapping[str, Comparison],
    quarantined: Mapping[str, list[int]],
    left_out: Mapping[str, list[int]],
) -> dict[str, Any]:
    return {
        "verified_through": snapshot.clock,
        "quarantine": quarantined,
        "time_zone": snapshot.zone,
        "tables": {
            name: {
                "rows": one.rows,
                "quarantined": one.quarantined,
                "left_out": left_out.get(name, []),
                "checksum": str(one.checksum),
                "agrees": one.agrees,
                "lake_ranges": one.lake_ranges,
                "warehouse_ranges": one.warehouse_ranges,
            }
            for name, one in found.items()
        },
    }


def _certify(job: Job, zone: RawZone) -> Result:
    expected = zone.expected_verification()
    if expected is None:
        return NOTHING_TO_DO
    withheld = zone.withheld_deletions()
    database = job.database("warehouse")
    with open_warehouse(database, zone.lake_id()) as warehouse:
        # On AWS another workflow's jobs may come in between: what is mended from its batch, its load would add again.
        if unloaded := zone.published_after(warehouse.loaded_until()):
            raise StateError(
                f"Batch {unloaded[0]} is published and not loaded: another run is at work, or its load failed. "
                "Nothing was mended: when that batch is loaded, run reconcile again."
            )
        lake = Lake.of(job)
        left_out = {name: entry.get("left_out", []) for name, entry in expected["tables"].items()}
        sides = Sides(database.query, database.query, lake.current, left_out)
        for name, entry in expected["tables"].items():
            if not entry["agrees"]:
                _mend_warehouse(lake, warehouse, name, sides)
                rows, checksum = reconcile.total(model.STAR[name], sides)
                entry["agrees"] = (rows, str(checksum)) == (entry["rows"], entry["checksum"])
    zone.certify(expected)
    broken = [name for name, entry in expected["tables"].items() if not entry["agrees"]]
    _measure(job, len(broken))
    set_aside = [name for name in broken if _went_to_quarantine(job, zone, model.STAR[name], expected)]
    if unexplained := [
        name for name in broken if name not in set_aside and model.STAR[name].sources[0] not in withheld
    ]:
        raise StateError(
            f"{', '.join(unexplained)}: still not as the source was at {expected['verified_through']}, after healing. "
            "Run reconcile again; if it stays so, rebuild the lake."
        )
    rows = sum(entry["rows"] for entry in expected["tables"].values())
    warnings = mass_deletions.describe(withheld)
    if set_aside:
        warnings += (f"{', '.join(set_aside)}: what was read again went to quarantine (etl.py quarantine list).",)
    return Result("succeeded", rows, warnings=warnings, needs_attention=len(broken) > len(set_aside))


def _went_to_quarantine(job: Job, zone: RawZone, table: StarTable, expected: Manifest) -> bool:
    """Whether rows that the table shows were set aside since the comparison, which counted them."""
    now = gates.keys_by_table(gates.held(job, zone, zone.latest()))
    then = expected.get("quarantine", {})
    return any(set(now.get(source, ())) - set(then.get(source, ())) for source in table.sources)


def _mend_warehouse(lake: Lake, warehouse: Warehouse, name: str, sides: Sides) -> None:
    table = model.STAR[name]
    if ranges := reconcile.warehouse_ranges(table, sides):
        records = lake.rows(model.DELETED_RECORD).where(F.col("table_name") == table.sources[0])
        warehouse.repair(
            table,
            ranges,
            lake.rows(table).where(deletions.within(table.key, ranges)),
            records.where(deletions.within(model.DELETED_RECORD.key, ranges)),
        )
        if reconcile.warehouse_ranges(table, sides):
            raise StateError(f"{name}: the warehouse is not as the lake is, even after its ranges were written anew.")


if __name__ == "__main__":
    runtime.main(
        run,
        ("lake", "phase"),
        source_secret="",
        warehouse_secret="",
        source_time_zone="",
        heal="",
        accept_deletions="",
        accept_source="",
        accept_contract="",
        metrics_namespace="",
    )
