"""Quality gates: the model's expectations as Great Expectations suites on Spark, and what failed, by row.

Great Expectations decides. Each rule has beside its expectation a predicate of our own for rows that break it, which
gives count and sample keys where the decision is no (Spark hands back no such rows), and which must agree with it.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl.errors import QualityError
from retail_etl.runtime import Progress, side_by_side
from retail_etl.schema import (
    BATCH_ID,
    FIRST_DATE,
    LARGEST_INT,
    LAST_DATE,
    SMALLEST_INT,
    Expectation,
    Kind,
    SourceTable,
    StarTable,
)

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations import Expectation as GreatExpectation

SAMPLES = 5
_WIDE = "decimal(38,18)"
_CHANGES = "mend the rows in the source, and the next run reads them again; or change the rule in model.py"


@dataclass(frozen=True)
class Audit:
    """Rows of one table that a gate looks at.

    `rows`: how many there must be. `unreadable`: the column that holds lines that could not be read, if there is one.
    `references`: `table.column` → a frame with that column, for every reference that is to be checked. `whole`: the
    table with the rows that other batches wrote, where an expectation is about all of it. `of_one_batch`: whether all
    rows have the same `batch_id`.
    """

    table: SourceTable | StarTable
    frame: DataFrame
    rows: int
    unreadable: str | None = None
    references: Mapping[str, DataFrame] = field(default_factory=dict)
    whole: DataFrame | None = None
    of_one_batch: bool = True


@dataclass(frozen=True)
class Failure:
    """An expectation that rows break: how many of how many, and the keys of some."""

    table: str
    expectation: Expectation
    unexpected: int
    evaluated: int
    keys: tuple[Any, ...]
    key: str

    def __str__(self) -> str:
        where = f"{self.table}.{self.expectation.subject}" if self.expectation.columns else self.table
        found = f"{self.unexpected:,} of {self.evaluated:,} rows"
        if self.expectation.kind == "row_count":
            return f"{where} {requirement(self.expectation)}: {self.evaluated:,} rows are there, {self.unexpected:+,}"
        sample = f", for example {self.key} {', '.join(map(str, self.keys))}" if self.keys else ""
        return f"{where} {requirement(self.expectation)} ({self.expectation.kind}): {found} break it{sample}"


def requirement(expectation: Expectation) -> str:
    """The rule as people say it: `must not be NULL`."""
    column = expectation.columns[0] if expectation.columns else None
    texts: dict[Kind, Callable[[], str]] = {
        "row_count": lambda: "must have the rows that its manifest names",
        "readable": lambda: "must be JSON objects of the model's schema",
        "not_null": lambda: "must not be NULL",
        "unique": lambda: "must be unique",
        "is_int": lambda: "must fit into four bytes",
        "fits_decimal": lambda: f"must fit into {column and column.type.name} without rounding",
        "is_date": lambda: f"must be a date YYYY-MM-DD from {FIRST_DATE} to {LAST_DATE}",
        "is_timestamp": lambda: f"must be a time from {FIRST_DATE} to {LAST_DATE}",
        "minimum": lambda: f"must be {column and column.minimum} or more",
        "pattern": lambda: f"must match {column and column.pattern}",
        "one_of": lambda: f"must be one of {', '.join(column.one_of) if column else ''}",
        "reference": lambda: f"must be in {column and column.references}",
        "no_holes": lambda: "must have every day between its first and its last",
    }
    return texts[expectation.kind]()


def report(rejection: str, failures: Sequence[Failure]) -> QualityError:
    """What a gate says when it rejects something. `rejection`: what, as the beginning of the sentence."""
    shown = "; ".join(str(failure) for failure in failures)
    return QualityError(f"{rejection}, and nothing of it is shown: {shown}. To go on, {_CHANGES}.")


# ---------------------------------------------------------------------------- evaluation


def evaluate(audit: Audit) -> list[Failure]:
    """The expectations of the table's model that the rows break.

    QualityError where Great Expectations evaluated fewer than the model declares, or stumbled over one.
    """
    expectations = audit.table.expectations()
    frame = _with_flags(audit, expectations)
    verdicts = _verdicts(audit, expectations, frame)
    return [_failure(audit, expectation, frame) for expectation in expectations if not verdicts[expectation]]


def evaluate_all(audits: Mapping[str, Callable[[], Audit]], progress: Progress) -> tuple[int, list[Failure]]:
    """The same for many tables side by side: how many expectations were looked at, and those that rows break."""

    def run(name: str) -> tuple[int, list[Failure]]:
        since = time.monotonic()
        audit = audits[name]()
        progress.start(name, audit.rows)
        failures = evaluate(audit)
        progress.finish(name, audit.rows, time.monotonic() - since)
        return len(audit.table.expectations()), failures

    found = side_by_side({name: partial(run, name) for name in audits}).values()
    return sum(looked_at for looked_at, _ in found), [failure for _, failures in found for failure in failures]


def _verdicts(audit: Audit, expectations: Sequence[Expectation], frame: DataFrame) -> dict[Expectation, bool]:
    import great_expectations as gx

    context = _context()
    suite = gx.ExpectationSuite(
        name=f"{audit.table.name}-{uuid4()}",
        expectations=[_RULES[rule.kind].expect(audit, rule, number) for number, rule in enumerate(expectations)],
    )
    with _lock:
        source = context.data_sources.add_or_update_spark(name=suite.name, persist=False)
        definition = source.add_dataframe_asset(name=audit.table.name).add_batch_definition_whole_dataframe("rows")
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
    result = batch.validate(suite, result_format="BOOLEAN_ONLY")
    verdicts: dict[Expectation, bool] = {}
    for outcome in result.results:
        config = outcome.expectation_config
        rule = expectations[((config and config.meta) or {})["number"]]
        if raised := _exception(outcome.exception_info or {}):
            raise QualityError(f"Great Expectations could not evaluate {audit.table.name}.{rule}: {raised}")
        verdicts[rule] = bool(outcome.success)
    missing = [str(rule) for rule in expectations if rule not in verdicts]
    if missing:
        raise QualityError(
            f"Great Expectations evaluated {len(verdicts)} of the {len(expectations)} expectations of "
            f"{audit.table.name}; left out: {', '.join(missing)}. A rule that was not looked at counts as broken."
        )
    return verdicts


def _exception(info: Mapping[str, Any]) -> str | None:
    """What an evaluation raised. It is told flat, or below the id of the metric that failed."""
    told = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, Mapping)]
    return next((str(one.get("exception_message")) for one in told if one.get("raised_exception")), None)


_lock = Lock()
_contexts: list["EphemeralDataContext"] = []


def _context() -> "EphemeralDataContext":
    """The process's one context: it keeps nothing on disk and calls nobody."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    with _lock:
        if not _contexts:
            # It would tell everybody where its temporary folder is.
            logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = ProgressBarsConfig(globally=False)
            _contexts.append(context)
    return _contexts[0]


def _failure(audit: Audit, expectation: Expectation, frame: DataFrame) -> Failure:
    evaluated = frame.count()
    if expectation.kind == "row_count":
        return Failure(audit.table.name, expectation, evaluated - audit.rows, evaluated, (), audit.table.key)
    key = audit.table.key
    broken = frame.withColumn("__broken", _RULES[expectation.kind].broken(audit, expectation)).where("__broken")
    groups = broken.groupBy(key).count()
    (total,) = groups.agg(F.sum("count")).collect()
    count = total[0] or 0
    if count == 0:
        raise QualityError(
            f"Great Expectations says that {audit.table.name}.{expectation} is broken, and no row breaks it: "
            "the rule and its predicate in quality.py differ."
        )
    keys = tuple(row[0] for row in groups.sort(key).head(SAMPLES))
    return Failure(audit.table.name, expectation, count, evaluated, keys, audit.table.key)


# ---------------------------------------------------------------------------- rules


@dataclass(frozen=True)
class _Rule:
    """A kind of expectation: what Great Expectations is asked, and which rows break it."""

    expect: Callable[[Audit, Expectation, int], "GreatExpectation"]
    broken: Callable[[Audit, Expectation], SparkColumn]


def _flag(expectation: Expectation) -> str:
    return f"__{expectation.kind}__{expectation.column.name}"


def _with_flags(audit: Audit, expectations: Sequence[Expectation]) -> DataFrame:
    """The frame with a column `true where broken` for each rule that Great Expectations has no words for."""
    frame = audit.frame
    for rule in expectations:
        if rule.kind == "reference":
            frame = _flag_reference(frame, rule, audit.references)
        elif rule.kind in _FLAGGED:
            value = F.col(rule.column.name)
            broken = _FLAGGED[rule.kind](audit, rule)
            frame = frame.withColumn(_flag(rule), value.isNotNull() & F.coalesce(broken, F.lit(True)))
    return frame


def _flag_reference(frame: DataFrame, rule: Expectation, references: Mapping[str, DataFrame]) -> DataFrame:
    column = rule.column
    found = f"__found__{column.name}"
    targets = references[column.references or ""].select(
        F.col(column.referenced_column).cast(column.type.lake).alias(f"__target__{column.name}")
    )
    targets = targets.distinct().withColumn(found, F.lit(True))
    joined = frame.join(targets, on=F.col(column.name) == targets[f"__target__{column.name}"], how="left")
    missing = F.col(column.name).isNotNull() & F.col(found).isNull()
    return joined.withColumn(_flag(rule), missing).drop(found, f"__target__{column.name}")


def _try_cast(name: str, spark_type: str) -> SparkColumn:
    return F.expr(f"try_cast(`{name}` AS {spark_type})")


def _not_a_date(audit: Audit, rule: Expectation) -> SparkColumn:
    text = F.col(rule.column.name)
    day = _try_cast(rule.column.name, "date")
    return ~(text.rlike(r"^\d{4}-\d{2}-\d{2}$") & day.between(F.lit(FIRST_DATE), F.lit(LAST_DATE)))


def _not_a_time(audit: Audit, rule: Expectation) -> SparkColumn:
    moment = _try_cast(rule.column.name, "timestamp_ntz")
    return ~moment.cast("date").between(F.lit(FIRST_DATE), F.lit(LAST_DATE))


def _does_not_fit(audit: Audit, rule: Expectation) -> SparkColumn:
    fitting = _try_cast(rule.column.name, rule.column.type.lake)
    return ~(fitting.cast(_WIDE) == _try_cast(rule.column.name, _WIDE))


def _below_minimum(audit: Audit, rule: Expectation) -> SparkColumn:
    return _try_cast(rule.column.name, _WIDE) < F.lit(rule.column.minimum)


def _has_holes(audit: Audit, rule: Expectation) -> SparkColumn:
    whole = audit.whole if audit.whole is not None else audit.frame
    day = F.col(rule.column.name)
    days, holes = whole.agg(F.count(day), F.datediff(F.max(day), F.min(day)) + 1 - F.count(day)).first() or (0, 0)
    return F.lit(bool(days and holes))


_FLAGGED: dict[Kind, Callable[[Audit, Expectation], SparkColumn]] = {
    "fits_decimal": _does_not_fit,
    "is_date": _not_a_date,
    "is_timestamp": _not_a_time,
    "minimum": _below_minimum,
    "no_holes": _has_holes,
}


def _expect(name: str, **fixed: Callable[[Audit, Expectation], Any]) -> Callable[..., "GreatExpectation"]:
    """Make Great Expectations' expectation of that class; its arguments follow from the audit and the rule."""

    def make(audit: Audit, rule: Expectation, number: int) -> "GreatExpectation":
        import great_expectations.expectations as gxe

        arguments = {key: value(audit, rule) for key, value in fixed.items()}
        made: GreatExpectation = getattr(gxe, name)(**arguments, meta={"number": number})
        return made

    return make


def _unique_columns(audit: Audit, rule: Expectation) -> list[str]:
    """The columns of a `unique` rule; without batch_id where that is the same in all rows."""
    return [column.name for column in rule.columns if not (audit.of_one_batch and column.name == BATCH_ID)]


def _expect_unique(audit: Audit, rule: Expectation, number: int) -> "GreatExpectation":
    import great_expectations.expectations as gxe

    columns, meta = _unique_columns(audit, rule), {"number": number}
    if len(columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=columns[0], meta=meta)
    return gxe.ExpectCompoundColumnsToBeUnique(column_list=columns, meta=meta)


def _name(audit: Audit, rule: Expectation) -> str:
    return rule.column.name


def _value(audit: Audit, rule: Expectation) -> SparkColumn:
    return F.col(rule.column.name)


_no_flag = _Rule(
    expect=_expect(
        "ExpectColumnValuesToBeInSet", column=lambda audit, rule: _flag(rule), value_set=lambda audit, rule: [False]
    ),
    broken=lambda audit, rule: F.col(_flag(rule)),
)

_RULES: dict[Kind, _Rule] = {
    "row_count": _Rule(
        expect=_expect("ExpectTableRowCountToEqual", value=lambda audit, rule: audit.rows),
        broken=lambda audit, rule: F.lit(False),
    ),
    "readable": _Rule(
        expect=_expect("ExpectColumnValuesToBeNull", column=lambda audit, rule: audit.unreadable),
        broken=lambda audit, rule: F.col(audit.unreadable or "").isNotNull(),
    ),
    "not_null": _Rule(
        expect=_expect("ExpectColumnValuesToNotBeNull", column=_name),
        broken=lambda audit, rule: _value(audit, rule).isNull(),
    ),
    "unique": _Rule(
        expect=_expect_unique,
        broken=lambda audit, rule: F.count(F.lit(1)).over(Window.partitionBy(*_unique_columns(audit, rule))) > 1,
    ),
    "is_int": _Rule(
        expect=_expect(
            "ExpectColumnValuesToBeBetween",
            column=_name,
            min_value=lambda audit, rule: SMALLEST_INT,
            max_value=lambda audit, rule: LARGEST_INT,
        ),
        broken=lambda audit, rule: ~_value(audit, rule).between(SMALLEST_INT, LARGEST_INT),
    ),
    "pattern": _Rule(
        expect=_expect("ExpectColumnValuesToMatchRegex", column=_name, regex=lambda audit, rule: rule.column.pattern),
        broken=lambda audit, rule: ~_value(audit, rule).rlike(rule.column.pattern or ""),
    ),
    "one_of": _Rule(
        expect=_expect(
            "ExpectColumnValuesToBeInSet", column=_name, value_set=lambda audit, rule: list(rule.column.one_of)
        ),
        broken=lambda audit, rule: ~_value(audit, rule).isin(*rule.column.one_of),
    ),
    "fits_decimal": _no_flag,
    "is_date": _no_flag,
    "is_timestamp": _no_flag,
    "minimum": _no_flag,
    "reference": _no_flag,
    "no_holes": _no_flag,
}
