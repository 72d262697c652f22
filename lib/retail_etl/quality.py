"""Quality gates: which rules of the model the rows of a batch break, how many rows, which of them, and why.

A table's rows are gone over once and counted; Great Expectations decides on the counts. Only what is broken is looked
at again, row by row.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl import counting, spark
from retail_etl.audit import USUAL_TIMES, Audit, broken
from retail_etl.data_files import Part
from retail_etl.errors import QualityError
from retail_etl.expectations import Expectation, requirement
from retail_etl.runtime import Job, Progress, side_by_side
from retail_etl.survey import Survey, survey
from retail_etl.validation import Counted, Validation, prepare, stumbled, validate
from retail_etl.values import Values

SAMPLES = 5
_CHANGES = "mend the rows in the source, and the next run reads them again; or change the rule in model.py"
_RULES = "__rules"


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation: how many of how many rows break it, and the keys of some."""

    table: str
    expectation: Expectation
    success: bool
    evaluated: int
    seconds: float
    unexpected: int = 0
    keys: tuple[Any, ...] = ()
    key: str = ""
    note: str = ""

    @property
    def rejects(self) -> bool:
        """Whether the batch may not go on."""
        return not self.success and self.expectation.severity == "critical"

    def __str__(self) -> str:
        where = f"{self.table}.{self.expectation.about}" if self.expectation.columns else self.table
        must = f"{where} {requirement(self.expectation)}"
        if self.note:
            return f"{must}: {self.note}"
        found = f"{self.unexpected:,} of {self.evaluated:,} rows"
        sample = f", for example {self.key} {', '.join(map(str, self.keys))}" if self.keys else ""
        return f"{must} ({self.expectation.kind}): {found} break it{sample}"


@dataclass
class Evaluation:
    """What a gate found of one table. `values`: column → what it holds, of the key and of what refers to other tables.
    Until `close`, Spark keeps `rows_at_fault`: those that break something.
    """

    audit: Audit
    outcomes: list[Outcome]
    values: Mapping[str, Values]
    document: dict[str, Any] = field(default_factory=dict)
    rows_at_fault: DataFrame | None = None
    seconds: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        """The expectations that do not hold."""
        return [outcome for outcome in self.outcomes if not outcome.success]

    def set_aside(self) -> DataFrame | None:
        """The rows that break a rule of severity `warning`: `record_id`, `rules` (of them, as numbers in
        `audit.expectations()`), and the columns that refer to other tables. None where there is none.
        """
        numbers = [n for n, rule in enumerate(self.audit.expectations()) if rule.severity == "warning"]
        if self.rows_at_fault is None or not any(one.expectation.severity == "warning" for one in self.failures):
            return None
        rules = F.array_intersect(_RULES, F.array(*(F.lit(number) for number in numbers)))
        return self.rows_at_fault.withColumn("rules", rules).where(F.size("rules") > 0).drop(_RULES)

    def close(self) -> None:
        """Give the memory of kept rows back."""
        if self.rows_at_fault is not None:
            self.rows_at_fault.unpersist()


def report(rejection: str, failures: Sequence[Outcome]) -> QualityError:
    """What a gate says when it rejects something. `rejection`: what, as the beginning of the sentence."""
    shown = "; ".join(str(failure) for failure in failures)
    return QualityError(f"{rejection}, and nothing of it is shown: {shown}. To go on, {_CHANGES}.")


# ---------------------------------------------------------------------------- evaluation


@contextmanager
def _judging(table: str) -> Iterator[None]:
    """Within the block, Spark's failures say what was judged: StateError where an object is damaged, QualityError where
    a rule cannot be evaluated on a row.
    """
    try:
        yield
    except spark.FAILURES as error:
        raise stumbled(spark.full_text(error), f"The rows of {table} could not be judged") from error


def survey_all(parts: Mapping[str, Sequence[Part]], job: Job, rows: int) -> dict[str, Survey]:
    """Go over the parts of each table, of so many rows in all: where they are many, on Spark's workers. Great
    Expectations, which takes seconds, gets ready meanwhile.
    """
    with ThreadPoolExecutor(1) as pool:
        ready = pool.submit(prepare)
        surveys = survey(parts, job.spark, rows)
        ready.result()
    return surveys


def evaluate_all(audits: Mapping[str, Audit], progress: Progress) -> dict[str, Evaluation]:
    """Evaluate what the model expects of the tables.

    QualityError where Great Expectations evaluated fewer than the model declares, or stumbled over one; StateError
    where an object is damaged.
    """
    return decide(count_all(audits), progress)


@dataclass(frozen=True)
class Known:
    """What is known of a table before Great Expectations is asked. `values`: see `Evaluation`; `dangling`: see
    `counting.dangling`.
    """

    counted: Counted
    values: Mapping[str, Values]
    dangling: Mapping[int, Values]
    seconds: float

    @property
    def may_lose_rows(self) -> bool:
        """Whether rows may be set aside: they break a rule of severity `warning`."""
        rules = enumerate(self.counted.audit.expectations())
        return any(self.counted.broken[number] for number, rule in rules if rule.severity == "warning")


def count_all(audits: Mapping[str, Audit]) -> dict[str, Known]:
    """Count how many rows of each table break its rules, of tables that need not wait for one another."""
    return side_by_side({name: partial(_count, audit) for name, audit in audits.items()})


def decide(tables: Mapping[str, Known], progress: Progress) -> dict[str, Evaluation]:
    """Let Great Expectations say what holds, and look at what is broken row by row."""
    validations = validate({name: known.counted for name, known in tables.items()})

    def decide_one(name: str) -> Evaluation:
        evaluation = _evaluate(tables[name], validations[name])
        progress.finish(name, tables[name].counted.audit.rows, evaluation.seconds)
        return evaluation

    return side_by_side({name: partial(decide_one, name) for name in tables})


def _count(audit: Audit) -> Known:
    since = time.monotonic()
    with _judging(audit.table.name):
        counts = counting.count(audit)
        audit = audit if audit.add_up is None else replace(audit, sums=audit.add_up(counts))
        dangling = counting.dangling(audit, counts)
        broken = dict.fromkeys(range(len(audit.expectations())), 0) | dict(counts.broken) | audit.told_by_table()
    broken |= {number: len(values) for number, values in dangling.items()}
    seconds = time.monotonic() - since + (audit.survey.seconds if audit.survey else 0)
    return Known(Counted(audit, counts.rows, broken), counts.values, dangling, seconds)


def _evaluate(known: Known, validation: Validation) -> Evaluation:
    since, audit = time.monotonic(), known.counted.audit
    rules = audit.expectations()
    failed = [rule for rule in rules if not validation.holds[rule]]
    of_rows = [rule for rule in failed if rule.is_about_rows]
    at_fault, found, samples = None, {}, {}
    if of_rows:
        at_fault = _rows_at_fault(audit, of_rows, known.dangling).cache()
        try:
            with _judging(audit.table.name):
                found, samples = _counts(at_fault), _samples(at_fault)
        except BaseException:
            at_fault.unpersist()
            raise
    seconds = round(known.seconds + time.monotonic() - since, 3)
    outcomes = []
    for number, rule in enumerate(rules):
        outcome = Outcome(audit.table.name, rule, validation.holds[rule], known.counted.rows, seconds, key=audit.key)
        if rule in of_rows:
            outcome = _with_details(outcome, found.get(number, 0), samples.get(number, ()))
        elif rule in failed:
            outcome = _of_table(outcome, audit)
        outcomes.append(outcome)
    return Evaluation(audit, outcomes, known.values, _enriched(validation, outcomes), at_fault, seconds)


def _rows_at_fault(audit: Audit, failed: Sequence[Expectation], dangling: Mapping[int, Values]) -> DataFrame:
    rules, session = audit.expectations(), audit.frame.sparkSession
    absent = {rules[n]: counting.frame_of(session, values, rules[n].column) for n, values in dangling.items()}
    frame = audit.flagged(failed, absent)
    numbers = [F.when(broken(audit, rule), F.lit(rules.index(rule))) for rule in failed]
    rows = frame.withColumn(_RULES, F.array_compact(F.array(*numbers))).where(F.size(_RULES) > 0)
    return rows.select(F.col(audit.key).alias("record_id"), _RULES, *(column.name for column in audit.table.columns))


def _counts(at_fault: DataFrame) -> dict[int, int]:
    groups = at_fault.select(F.explode(_RULES).alias("rule")).groupBy("rule").count()
    return dict(groups.collect())


def _samples(at_fault: DataFrame) -> dict[int, tuple[Any, ...]]:
    """Rule → the least keys of rows that break it."""
    keys = at_fault.select(F.explode(_RULES).alias("rule"), "record_id").distinct()
    place = F.row_number().over(Window.partitionBy("rule").orderBy("record_id"))
    least = keys.withColumn("place", place).where(F.col("place") <= SAMPLES).sort("rule", "place")
    found: dict[int, tuple[Any, ...]] = {}
    for rule, key, _ in least.collect():
        found[rule] = (*found.get(rule, ()), key)
    return found


def _with_details(outcome: Outcome, count: int, keys: tuple[Any, ...]) -> Outcome:
    if count == 0:
        raise QualityError(
            f"Great Expectations says that {outcome.table}.{outcome.expectation} is broken, and no row breaks it: "
            "the rule and its predicate in audit.py differ."
        )
    return replace(outcome, unexpected=count, keys=keys)


def _of_table(outcome: Outcome, audit: Audit) -> Outcome:
    kind, there = outcome.expectation.kind, outcome.evaluated
    if kind == "row_count":
        return replace(outcome, unexpected=abs(there - audit.rows), note=f"{there:,} are there, {audit.rows:,} were")
    if kind == "volume":
        most = USUAL_TIMES * (audit.usual_rows or 0)
        usual = f"{there:,} rows, and the last ones had {audit.usual_rows or 0:,} at most; more than {most:,} are not "
        return replace(
            outcome, unexpected=there, note=usual + f"believed (etl.py run --accept-volume {audit.table.name})"
        )
    if kind == "freshness":
        return replace(outcome, note=f"its newest one is {audit.hours_old:,.1f} hours old")
    let_through, here = audit.sums[outcome.expectation.column.name if outcome.expectation.columns else "rows"]
    return replace(outcome, note=difference(let_through, here))


def difference(let_through: Decimal, here: Decimal) -> str:
    """Two sums that should be one, without the zeros that a decimal's type adds."""
    return f"{let_through.normalize():,f} let through, {here.normalize():,f} here"


def _enriched(validation: Validation, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Great Expectations' document with our counts and keys where something does not hold."""
    by_name = {str(outcome.expectation): outcome for outcome in outcomes if not outcome.success}
    for entry in validation.document["results"]:
        if outcome := by_name.get(entry["expectation_config"]["meta"]["expectation"]):
            entry["expectation_config"]["meta"]["found"] = str(outcome)
            if outcome.note and outcome.expectation.kind != "row_count":
                entry["result"] = {"observed_value": outcome.note}
                continue
            share = 100 * outcome.unexpected / outcome.evaluated if outcome.evaluated else 0.0
            entry["result"] |= {
                "element_count": outcome.evaluated,
                "unexpected_count": outcome.unexpected,
                "unexpected_percent": round(share, 3),
                "partial_unexpected_list": [str(key) for key in outcome.keys],
            }
    return validation.document


# ---------------------------------------------------------------------------- reasons


def reasons(audit: Audit, rows: DataFrame, held: Callable[[str], DataFrame | None]) -> DataFrame:
    """`record_id`, `reasons` (as people read them) and `waits` of rows that are set aside: `rows` of
    `Evaluation.set_aside`. `held`: the keys (`record_id`) in quarantine of a source table; None where there are none.
    `waits`: whether they break nothing but references.
    """
    rules = audit.expectations()
    texts = []
    for number, rule in enumerate(rules):
        if rule.severity != "warning":
            continue
        if rule.kind == "reference" and (keys := held(rule.column.referenced_table)) is not None:
            target = f"__held__{rule.column.name}"
            keys = keys.select(F.col("record_id").alias(target)).distinct()
            rows = rows.join(keys, on=F.col(rule.column.name) == F.col(target), how="left")
            text = _reason(rule, F.col(target).isNotNull())
        else:
            text = _reason(rule, F.lit(False))
        texts.append(F.when(F.array_contains("rules", number), text))
    about_references = [F.lit(n) for n, rule in enumerate(rules) if rule.kind == "reference"]
    waits = F.size(F.array_except("rules", F.array(*about_references))) == 0 if about_references else F.lit(False)
    return rows.select("record_id", F.array_compact(F.array(*texts)).alias("reasons"), waits.alias("waits"))


def _reason(rule: Expectation, is_held: SparkColumn) -> SparkColumn:
    said = f"{rule.subject} {requirement(rule)}"
    value = F.col(rule.column.name).cast("string")
    if rule.kind == "reference":
        return F.concat(
            F.lit(f"{said}: "), value, F.when(is_held, F.lit(" is in quarantine")).otherwise(F.lit(" is not there"))
        )
    if rule.kind == "not_null":
        return F.lit(said)
    return F.concat(F.lit(f"{said}: found '"), F.substring(value, 1, 60), F.lit("'"))
