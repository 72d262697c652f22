"""The raw gate: every rule of the source tables on what a batch extracted. Rows that break one are set aside."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial, reduce
from itertools import groupby

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import deletions, frames, gates, model, quality, quarantine, runtime
from retail_etl.audit import Audit
from retail_etl.counting import keys_in
from retail_etl.data_files import Part
from retail_etl.errors import StateError
from retail_etl.expectations import Expectation
from retail_etl.gates import Findings
from retail_etl.lake import Lake
from retail_etl.quality import Evaluation, Known, Outcome
from retail_etl.raw import UNREADABLE, Manifest, RawZone
from retail_etl.runtime import Job
from retail_etl.schema import BATCH_ID, Column, SourceTable
from retail_etl.spark import MANY
from retail_etl.survey import Survey
from retail_etl.values import Values


def run(job: Job, zone: RawZone, batch_id: int) -> tuple[int, tuple[str, ...]]:
    """Let the batch through, some of its rows set aside, or reject it. Gives how many rows were looked at, and what
    people should hear.
    """
    gate = _RawGate(job, zone, batch_id)
    try:
        try:
            findings = gate.evaluate()
        except StateError as error:  # an object of the batch is damaged: read it again
            gates.reject(job, zone, batch_id, error)
            raise
        findings.keep(zone, gate.lake)
        if rejection := findings.rejection():
            gates.reject(job, zone, batch_id, rejection)
            findings.measure(job)
            raise rejection
        held = gate.finish(findings)
    finally:
        gate.close()
    findings.measure(job, dict.fromkeys(model.SOURCE, 0) | held)
    return sum(gate.rows.values()), quarantine.describe(gate.set_aside, batch_id)


class _RawGate:
    """One batch at the gate. Tables are looked at after those that they refer to."""

    def __init__(self, job: Job, zone: RawZone, batch_id: int) -> None:
        self._job, self._zone, self._batch_id = job, zone, batch_id
        self._since = time.monotonic()
        self._accepts = {name: job.tables(name) for name in ("accept_quarantine", "accept_volume")}
        self._extract = zone.expect_manifest(batch_id, "extract")
        self.rows: dict[str, int] = {
            name: entry["rows"] for name, entry in self._extract["tables"].items() if entry["rows"] is not None
        }
        self._in_order = sorted(self.rows, key=_depth)
        self.lake = Lake.of(job)
        # Spark's workers go over the objects while the driver opens the lake.
        self._pool = ThreadPoolExecutor(1)
        self._surveying = self._pool.submit(self._survey)
        try:
            self.lake.create_missing(filled=zone.has_published())
            job.expect(self.lake.rows_to_look_at())
            self._usual = zone.usual_rows(batch_id)
            self._before = zone.held()
            held = gates.held(job, zone, batch_id - 1)
            self._held = None if held is None else frames.settled(held)
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise
        self._surveys: dict[str, Survey] = {}
        self._counted: dict[str, Known] = {}
        self._evaluations: dict[str, Evaluation] = {}
        self._bad: dict[str, DataFrame] = {}  # `record_id`, `reasons`, `waits`, `row`
        self._events: dict[str, DataFrame] = {}  # `model.QUARANTINE`
        self._excluded: dict[str, int] = {}
        self.set_aside: dict[str, int] = {}

    def evaluate(self) -> Findings:
        """What the gate finds."""
        self._surveys = self._surveying.result()
        audits = {name: self._audit(model.SOURCE[name]) for name in self._in_order}
        again = sum(audit.rows for audit in audits.values() if not audit.is_surveyed)
        self._job.expect(again + self.lake.rows_to_look_at())
        self._evaluate(audits)
        too_many = [name for name in self.set_aside if not self._may(name)]
        crowds = [_crowd(self._evaluations[name], self.set_aside[name]) for name in too_many]
        return Findings("raw", self._batch_id, self._evaluations, crowds, self._since)

    def _survey(self) -> dict[str, Survey]:
        parts = {name: self._parts(name) for name in (*self._in_order, *self._referred_copies())}
        for name in self._in_order:
            self._job.progress.start(name, self.rows[name])
        return quality.survey_all(parts, self._job, sum(self.rows.values()))

    def _referred_copies(self) -> list[str]:
        """The snapshot tables that the batch did not read itself: it goes by an earlier full copy."""
        return [
            name
            for name, table in model.SOURCE.items()
            if table.extract == "snapshot" and name not in self.rows and name in self._extract["tables"]
        ]

    def _parts(self, name: str) -> list[Part]:
        table, extract = model.SOURCE[name], self._extract
        if name not in self.rows:
            extract = self._zone.expect_manifest(extract["tables"][name]["full_copy_batch_id"], "extract")
        parts = self._zone.parts(table, extract)
        are_many = name in self.rows and sum(self.rows.values()) > MANY and table.extract == "incremental"
        return self._zone.to_be_copied(parts, self._batch_id) if are_many else parts

    def _may(self, name: str) -> bool:
        return name in self._accepts["accept_quarantine"] or self.set_aside[name] <= quarantine.limit(self.rows[name])

    def _evaluate(self, audits: Mapping[str, Audit]) -> None:
        """Those of all tables at once; but tables whose rows are set aside, or come in, are judged before those that
        refer to them.
        """
        waiting: dict[str, Known] = {}
        for _, level in groupby(audits, key=_depth):
            counted = quality.count_all({name: audits[name] for name in level})
            self._counted |= counted
            waiting |= counted
            if any(known.may_lose_rows or self._before.get(name) for name, known in counted.items()):
                self._decide(waiting)
                waiting = {}
        if waiting:
            self._decide(waiting)

    def _decide(self, counted: Mapping[str, Known]) -> None:
        evaluations = quality.decide(counted, self._job.progress)
        self._evaluations |= evaluations
        sound = {
            name: partial(self._judge, model.SOURCE[name], evaluation)
            for name, evaluation in evaluations.items()
            if not any(outcome.rejects for outcome in evaluation.outcomes)
        }
        runtime.side_by_side(sound)

    def _audit(self, table: SourceTable) -> Audit:
        entry = self._extract["tables"][table.name]
        return Audit(
            table,
            partial(self._zone.read, self._job.spark, table, self._extract),
            self.rows[table.name],
            survey=self._surveys.get(table.name),
            unreadable=UNREADABLE,
            there=partial(self._there, table),
            usual_rows=None if table.name in self._accepts["accept_volume"] else self._usual.get(table.name),
            hours_old=_hours_old(entry.get("greatest_last_updated"), self._extract["snapshot"]["taken_at"]),
        )

    # ------------------------------------------------------------------ references

    def _there(self, table: SourceTable, column: Column, asked: Values) -> Values:
        """Those of the keys that the column may refer to. A snapshot table is joined to the other one's rows as they
        are now; others may refer to what the star shows, or will when it has taken what was let through before.
        """
        target = model.SOURCE[column.referenced_table]
        there = self._of_batch(target) & asked
        if table.extract == "incremental" and (unknown := asked - there):
            there |= self._shown(target, unknown)
        return there

    def _of_batch(self, target: SourceTable) -> Values:
        """The keys that the batch itself let through; of a snapshot table those of the full copy that it goes by."""
        survey, counted = self._surveys.get(target.name), self._counted.get(target.name)
        if counted is not None:
            keys = counted.values[target.key]
        elif target.extract == "incremental":
            return Values()
        elif survey is not None and survey.is_certain:
            keys = survey.values[target.key]
        else:
            keys = keys_in(self._zone.full_copy(self._job.spark, target, self._extract), target.key)
        held = self._held_now(target.name) if target.extract == "snapshot" else self._bad.get(target.name)
        return keys if held is None else keys - keys_in(held, "record_id")

    def _shown(self, target: SourceTable, asked: Values) -> Values:
        """Those of the keys that the star shows, or will when it has taken what was let through before."""
        star = model.SHOWN_BY[target.name]
        waiting = [batch_id for batch_id in self._zone.unfinished("publish") if batch_id < self._batch_id]
        there = self.lake.keys(star, self.lake.latest(star, waiting), asked)
        for batch_id in gates.judged_only(self._zone, self._batch_id - 1):
            extract = self._zone.expect_manifest(batch_id, "extract")
            if extract["tables"][target.name]["rows"] and asked - there:
                rows = gates.accepted(self._job, self._zone, target, extract)
                there |= keys_in(rows, target.key) & asked
        return there

    # ------------------------------------------------------------------ quarantine

    def _held_before(self, name: str) -> DataFrame | None:
        if self._held is None or not self._before.get(name):
            return None
        return quarantine.of_table(self._held, name)

    def _held_now(self, name: str) -> DataFrame | None:
        """What is in quarantine of the table, this batch included."""
        before, events = self._held_before(name), self._events.get(name)
        if events is None:
            return before
        return quarantine.active(events if before is None else before.unionByName(events))

    def _judge(self, table: SourceTable, evaluation: Evaluation) -> None:
        """Which rows are set aside, and which leave quarantine."""
        aside, before = evaluation.set_aside(), self._held_before(table.name)
        found: list[DataFrame] = []
        if aside is not None:
            why = quality.reasons(evaluation.audit, aside, self._held_now)
            lines = self._zone.lines(self._job.spark, table, self._extract)
            bad = frames.settled(lines.join(F.broadcast(why), on="record_id", how="inner"))
            self._excluded[table.name] = bad.count()
            self._bad[table.name] = bad
            found.append(quarantine.set_aside(table.name, bad, before))
        if before is not None:
            entry = self._extract["tables"][table.name]
            present = evaluation.audit.frame.select(F.col(table.key).alias("record_id"))
            found.append(
                quarantine.left(table.name, before, self._bad.get(table.name), present, entry.get("complete", []))
            )
        if found:
            self._keep(table.name, reduce(DataFrame.unionByName, found))

    def _keep(self, name: str, events: DataFrame) -> None:
        moment = F.lit(deletions.found_at(self._extract)).cast("timestamp_ntz")
        of_batch = F.lit(self._batch_id).cast("bigint").alias(BATCH_ID)
        kept = events.select(*events.columns, moment.alias("found_at"), of_batch)
        kept = frames.settled(kept.select(*model.QUARANTINE.column_names, BATCH_ID))
        counts: dict[bool, int] = dict(kept.groupBy("is_held").count().collect())
        if counts:
            self._events[name] = kept
            self.set_aside[name] = counts.get(True, 0)

    # ------------------------------------------------------------------ the manifest

    def finish(self, findings: Findings) -> dict[str, int]:
        """The batch is through. Gives how many rows of each source table are in quarantine now."""
        held = dict(self._before)
        for name in self._events:
            now = self._held_now(name)
            held[name] = 0 if now is None else now.count()
        verdicts = {}
        if self._events:
            verdicts = self._zone.write_verdicts(reduce(DataFrame.unionByName, self._events.values()), self._batch_id)
        totals = {name: self._sums(model.SOURCE[name]) for name in self.rows if model.additive(name)}
        self._zone.finish(
            self._batch_id,
            "quality_raw",
            {
                "seconds": round(time.monotonic() - findings.since, 3),
                **findings.manifest(),
                "tables": self.rows,
                "excluded": self._excluded,
                "set_aside": self.set_aside,
                "held": {name: rows for name, rows in held.items() if rows},
                "verdicts": verdicts,
                "parsed": self._copies(),
                "sums": {name: {column: str(total) for column, total in of.items()} for name, of in totals.items()},
            },
        )
        return held

    def _copies(self) -> dict[str, dict[str, int]]:
        """Source table → object → bytes, of the tables whose rows lie there as they were parsed: all of them."""
        certain = {name: survey for name, survey in self._surveys.items() if survey.is_certain}
        return {name: self._zone.named(survey.copies) for name, survey in certain.items() if survey.copies}

    def close(self) -> None:
        """Give the memory of kept rows back, whatever became of the gate."""
        self._pool.shutdown(cancel_futures=True)
        for evaluation in self._evaluations.values():
            evaluation.close()
        kept = (*self._bad.values(), *self._events.values())
        for frame in (*kept, *(() if self._held is None else (self._held,))):
            frame.unpersist()

    def _sums(self, table: SourceTable) -> dict[str, object]:
        """Of the rows that are let through: as the source added them up, or, where some are not, added up here."""
        of_source: Manifest | None = self._extract["tables"][table.name].get("sums")
        if of_source and table.name not in self._excluded:
            return {"rows": self.rows[table.name], **of_source}
        rows = self._zone.read(self._job.spark, table, self._extract)
        if table.name in self._bad:
            rows = quarantine.without(rows, self._bad[table.name], table.key)
        return dict(gates.sums(model.SHOWN_BY[table.name], rows))


def _referring(table: SourceTable) -> list[Column]:
    return [column for column in table.columns if column.references]


def _depth(name: str) -> int:
    """How many tables a row of this one leads through, reference by reference."""
    return max((1 + _depth(column.referenced_table) for column in _referring(model.SOURCE[name])), default=0)


def _crowd(evaluation: Evaluation, count: int) -> Outcome:
    """That more rows of the table would be set aside than may be."""
    audit = evaluation.audit
    reasons = "; ".join(str(one) for one in evaluation.failures if one.expectation.severity == "warning")
    note = (
        f"{count:,} of {audit.rows:,} would be set aside, and {quarantine.limit(audit.rows):,} may be "
        f"(etl.py run --accept-quarantine {audit.table.name} lets them): {reasons}"
    )
    return Outcome(audit.table.name, Expectation("set_aside"), False, audit.rows, 0.0, count, note=note)


def _hours_old(newest: str | None, taken_at: str) -> float | None:
    if newest is None:
        return None
    try:
        age = datetime.fromisoformat(taken_at) - datetime.fromisoformat(newest)
    except ValueError:  # infinity, or before Christ: its row breaks a rule of its own
        return None
    return age.total_seconds() / 3600
