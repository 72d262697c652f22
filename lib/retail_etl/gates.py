"""What both gates share: how their findings are kept, who is told of them, and when a batch is refused."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import metrics, model, quality, quarantine
from retail_etl.counting import keys_in
from retail_etl.errors import RetailEtlError
from retail_etl.lake import Lake
from retail_etl.metrics import Metric
from retail_etl.quality import Evaluation, Outcome
from retail_etl.raw import Manifest, RawZone, now
from retail_etl.runtime import Job
from retail_etl.schema import BATCH_ID, KeyRange, SourceTable, StarTable
from retail_etl.values import Values, values_of

NOTHING: Mapping[str, int] = {}


@dataclass
class Findings:
    """What a gate found of a batch. `others`: findings that no table's audit made."""

    layer: str
    batch_id: int
    evaluations: Mapping[str, Evaluation]
    others: list[Outcome] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    @property
    def outcomes(self) -> list[Outcome]:
        """All of them."""
        return [outcome for one in self.evaluations.values() for outcome in one.outcomes] + self.others

    def keep(self, zone: RawZone, lake: Lake) -> None:
        """Write them down: `quality_result` for queries, and the documents for Data Docs."""
        at = datetime.fromisoformat(now()).replace(tzinfo=None)
        lake.record([_result(outcome, self.layer, at) for outcome in self.outcomes], self.layer, self.batch_id)
        documents = [evaluation.document for evaluation in self.evaluations.values()]
        body = {"batch_id": self.batch_id, "layer": self.layer, "results": documents}
        zone.note(self.batch_id, f"validation_{self.layer}", body)

    def measure(self, job: Job, quarantined: Mapping[str, int] = NOTHING) -> None:
        """Tell CloudWatch, where the option `metrics_namespace` names where. `quarantined`: source table → rows."""
        namespace = job.options.get("metrics_namespace")
        if not namespace:
            return
        failed: dict[tuple[str, str], int] = {}
        for outcome in self.outcomes:
            of = (outcome.table, outcome.expectation.severity)
            failed[of] = failed.get(of, 0) + (not outcome.success)
        layer = {"Layer": self.layer}
        metrics.publish(
            namespace,
            [
                *(Metric("QuarantinedRows", rows, "Count", {"Table": table}) for table, rows in quarantined.items()),
                *(
                    Metric("FailedExpectations", count, "Count", {**layer, "Table": table, "Severity": severity})
                    for (table, severity), count in failed.items()
                ),
                Metric("EvaluatedExpectations", len(self.outcomes), "Count", layer),
                Metric("GateSeconds", time.monotonic() - self.since, "Seconds", layer),
            ],
        )

    def rejection(self) -> RetailEtlError | None:
        """Why the batch may not go on; None where it may."""
        critical = [outcome for outcome in self.outcomes if outcome.rejects]
        if not critical:
            return None
        return quality.report(f"The {self.layer} gate rejected batch {self.batch_id}", critical)

    def manifest(self) -> Manifest:
        """What the batch's manifest says of quality. `reported`: what did not hold, and changed nothing."""
        failed = [outcome for outcome in self.outcomes if not outcome.success]
        return {
            "expectations": len(self.outcomes) - len(failed),
            "reported": [str(outcome) for outcome in failed if outcome.expectation.severity == "info"],
        }

    def close(self) -> None:
        """Give the memory of kept rows back."""
        for evaluation in self.evaluations.values():
            evaluation.close()


def _result(outcome: Outcome, layer: str, at: datetime) -> tuple[Any, ...]:
    rule = outcome.expectation
    keys = [str(key) for key in outcome.keys]
    verdict = (rule.severity, outcome.success, outcome.evaluated, outcome.unexpected, keys)
    return (layer, outcome.table, rule.kind, rule.subject, *verdict, outcome.seconds, at)


def reject(job: Job, zone: RawZone, batch_id: int, reason: RetailEtlError) -> None:
    """Refuse the batch and those after it, and drop what they wrote."""
    zone.reject(batch_id, str(reason))
    Lake.of(job).discard(range(batch_id, zone.latest() + 1))


# ---------------------------------------------------------------------------- what is in quarantine


def held(job: Job, zone: RawZone, until: int) -> DataFrame | None:
    """What is in quarantine after that batch (see `quarantine.active`); None where nothing is known to be."""
    if not zone.held():
        return None
    return quarantine.active(_events(job, zone, until))


def _events(job: Job, zone: RawZone, until: int) -> DataFrame:
    lake = Lake.of(job)
    written = [batch_id for batch_id in zone.unfinished("publish") if batch_id <= until]
    in_lake = lake.rows(model.QUARANTINE, lake.latest(model.QUARANTINE, written))
    return in_lake.unionByName(zone.verdicts(job.spark, judged_only(zone, until)))


def judged_only(zone: RawZone, until: int) -> list[int]:
    """The batches up to that one that the raw gate let through and the transform has not taken."""
    return [batch_id for batch_id in zone.waiting("transform") if batch_id <= until]


def accepted(
    job: Job, zone: RawZone, table: SourceTable, extract: Manifest, *, whole: bool = False, copies: bool = False
) -> DataFrame:
    """The table's rows of a batch that the raw gate let through; `whole`: of a snapshot table all that it went by,
    which an earlier batch may have read. `copies`: see `RawZone.read`.
    """
    batch_id = extract["batch_id"]
    rows = zone.full_copy(job.spark, table, extract) if whole else zone.read(job.spark, table, extract, copies=copies)
    if not zone.expect_manifest(batch_id, "quality_raw").get("held", {}).get(table.name):
        return rows
    of_batch = quarantine.active(_events(job, zone, batch_id).where(F.col(BATCH_ID) <= batch_id))
    return quarantine.without(rows, quarantine.of_table(of_batch, table.name), table.key)


def accepted_keys(job: Job, zone: RawZone, table: SourceTable, extract: Manifest) -> Values:
    """The keys of the same rows."""
    holds_none = not zone.expect_manifest(extract["batch_id"], "quality_raw").get("held", {}).get(table.name)
    if holds_none and (few := zone.few(job.spark, table, extract)) is not None:
        return values_of(few[table.key])
    return keys_in(accepted(job, zone, table, extract), table.key)


def keys_to_read(job: Job, zone: RawZone, redriven: Iterable[str]) -> dict[str, list[KeyRange]]:
    """Source table → ranges of the keys in quarantine that are to be looked at again: all of the tables that are
    redriven, and of the others those that were set aside only because of another row.
    """
    found = held(job, zone, zone.latest())
    if found is None:
        return {}
    again = found.where(F.col("waits") | F.col("table_name").isin(*redriven))
    keys = keys_by_table(again)
    return {name: quarantine.key_ranges(of_table) for name, of_table in keys.items()}


def keys_by_table(rows: DataFrame | None) -> dict[str, list[int]]:
    """Source table → its keys among rows of the quarantine; none where there are no such rows (None)."""
    keys: dict[str, list[int]] = {}
    if rows is None:
        return keys
    for name, key in rows.select("table_name", "record_id").collect():
        keys.setdefault(name, []).append(key)
    return keys


# ---------------------------------------------------------------------------- sums


def sums(star: StarTable, rows: DataFrame) -> dict[str, Decimal]:
    """How many rows there are, and the sum of each additive column, of rows in the raw zone's or the lake's types."""
    totals = [F.sum(F.col(name).cast("decimal(38,4)")).alias(name) for name in star.additive_columns]
    found = rows.agg(F.count(F.lit(1)).alias("rows"), *totals).first()
    return {name: Decimal(value or 0) for name, value in (found.asDict() if found else {}).items()}


def plus(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The sums of both together."""
    return {name: value + other[name] for name, value in one.items()}
