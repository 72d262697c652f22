"""What a gate looks at, and what each kind of rule means there: which rows break it, and what Great Expectations is
asked of their counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl.errors import QualityError
from retail_etl.expectations import Expectation, Kind, declared, requirement
from retail_etl.schema import (
    BATCH_ID,
    FIRST_DATE,
    LARGEST_INT,
    LAST_DATE,
    SMALLEST_INT,
    Column,
    SourceTable,
    StarTable,
)
from retail_etl.survey import Survey, is_surveyed, iso_4217
from retail_etl.values import Values

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation as GreatExpectation

SMALL_BATCH = 10_000
USUAL_TIMES = 20
_WIDE = "decimal(38,18)"
_BITS = 63


ROWS = "rows"
BROKEN = "__broken"
"""The column of kept rows that says which rules a row breaks: the bit of each, by its number."""

Sums = Mapping[str, tuple[Decimal, Decimal]]
"""`rows` or a column → what the layer before let through, and what is here."""


@dataclass(frozen=True)
class Counts:
    """What was counted. `broken`: number of a rule among `audit.expectations()` → rows that break it, of the rules that
    rows tell by themselves, and of `unique`, where a row counts for each time that it is there too often. `values`:
    column → what it holds; the key, and what refers to other tables. `totals`: `rows`, and additive column → total.
    """

    rows: int
    broken: Mapping[int, int]
    values: Mapping[str, Values]
    totals: Mapping[str, Decimal]


@dataclass(frozen=True)
class Audit:
    """Rows of one table that a gate looks at.

    `read`: makes the frame of them, where somebody has to see them. `rows`: how many there must be. `survey`: what is
    known of them already. `unreadable`: the column that holds lines that could not be read, if there is one.
    `there`: for a column that refers to another table, those of the values that it holds that are there.
    `whole`: the table with the rows that other batches wrote, where an expectation is about all of it.
    `of_one_batch`: whether all rows have the same `batch_id`. `usual_rows`: the most rows that its last batches had,
    where there were enough. `hours_old`: the age of the table's newest row. `add_up`: given what was counted, gives
    `sums`: what the layer before let through, and what is here.
    Rules whose measure is not given are left out.
    """

    table: SourceTable | StarTable
    read: Callable[[], DataFrame]
    rows: int
    survey: Survey | None = None
    unreadable: str | None = None
    there: Callable[[Column, Values], Values] | None = None
    whole: Callable[[], DataFrame] | None = None
    of_one_batch: bool = True
    usual_rows: int | None = None
    hours_old: float | None = None
    add_up: Callable[[Counts], Sums] | None = None
    sums: Sums = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the frame once, however often it is asked for."""
        object.__setattr__(self, "read", cache(self.read))

    @property
    def frame(self) -> DataFrame:
        """The rows."""
        return self.read()

    @property
    def key(self) -> str:
        """The column that names a row."""
        return self.table.key

    def expectations(self) -> list[Expectation]:
        """Those of the model that are to be evaluated here. A small batch may have any size: that is only reported."""
        measured = {
            "volume": self.usual_rows is not None,
            "freshness": self.hours_old is not None,
            "accounted": self.add_up is not None,
            "sum": self.add_up is not None,
        }
        is_small = self.rows <= SMALL_BATCH
        return [
            replace(rule, severity="info") if rule.kind == "volume" and is_small else rule
            for rule in declared(self.table)
            if measured.get(rule.kind, True)
        ]

    @property
    def is_surveyed(self) -> bool:
        """Whether the survey tells all that is to be counted: nothing that it does not understand, or only suspects."""
        return self.survey is not None and self.survey.is_certain and not self.survey.doubts and is_surveyed(self.table)

    def kept(self) -> DataFrame:
        """Of each row what is counted: its key, what is to be unique, what refers to other tables, what is to be added
        up, and `BROKEN`, with the rules that the row itself tells. One pass, and no shuffle.
        """
        rules = self.expectations()
        if len(rules) > _BITS:
            raise QualityError(
                f"{self.table.name} has {len(rules)} rules, and a gate has room for {_BITS}: merge some."
            )
        bits = [_bit(number, _FLAGGED[rule.kind](self, rule)) for number, rule in self.told_by_rows()]
        unique = [name for rule in rules if rule.kind == "unique" for name in self.unique_columns(rule)]
        others = [rule.column.name for rule in rules if rule.kind in ("reference", "sum")]
        broken = reduce(SparkColumn.bitwiseOR, bits, F.lit(0).cast("bigint"))
        return self.frame.select(*dict.fromkeys((self.key, *unique, *others)), broken.alias(BROKEN))

    def told_by_rows(self) -> list[tuple[int, Expectation]]:
        """The rules that each row tells by itself, with their numbers among the expectations."""
        return [(number, rule) for number, rule in enumerate(self.expectations()) if rule.kind in _FLAGGED]

    def told_by_table(self) -> dict[int, bool]:
        """The numbers of the rules that neither rows nor values tell: whether the table as a whole breaks them."""
        rules = enumerate(self.expectations())
        return {number: _TOLD[rule.kind](self, rule) for number, rule in rules if rule.kind in _TOLD}

    def unique_columns(self, rule: Expectation) -> list[str]:
        """The columns of a `unique` rule; without batch_id where that is the same in all rows."""
        return [column.name for column in rule.columns if not (self.of_one_batch and column.name == BATCH_ID)]

    def flagged(self, rules: Sequence[Expectation], dangling: Mapping[Expectation, DataFrame]) -> DataFrame:
        """The frame with a column `true where broken` for each of these rules on rows but `unique`. `dangling`: for the
        rules on references, the values (`target`) that are not there.
        """
        flags = {flag(rule): _FLAGGED[rule.kind](self, rule) for rule in rules if rule.kind in _FLAGGED}
        flags |= {flag(rule): F.lit(_TOLD[rule.kind](self, rule)) for rule in rules if rule.kind in _TOLD}
        frame = self.frame.withColumns({name: F.coalesce(broken, F.lit(False)) for name, broken in flags.items()})
        # Joined last: what is shuffled then are the flags, and not the columns that they are made of.
        for rule in rules:
            if rule.kind == "reference":
                frame = _flag_reference(frame, rule, dangling[rule])
        return frame


def expect(audit: Audit, rule: Expectation, number: int) -> "GreatExpectation":
    """The rule as Great Expectations evaluates it on a row of counts: how many rows there are, and how many of them
    break the rule, or 1 where the table does. Its meta says what people read.
    """
    from great_expectations.expectations import ExpectColumnSumToBeBetween
    from great_expectations.expectations.metadata_types import FailureSeverity

    meta = {
        "number": number,
        "table": audit.table.name,
        "expectation": str(rule),
        "severity": rule.severity,
        "requirement": requirement(rule),
    }
    column, least, most = counted_as(audit, number), 0, 0
    if rule.kind == "row_count":
        column, least, most = rows_of(audit), audit.rows, audit.rows
    elif rule.kind == "volume":
        column, most = rows_of(audit), USUAL_TIMES * (audit.usual_rows or 0)
    severity = FailureSeverity(rule.severity)
    return ExpectColumnSumToBeBetween(column=column, min_value=least, max_value=most, severity=severity, meta=meta)


def rows_of(audit: Audit) -> str:
    """The column of counts that says how many rows there are."""
    return f"{audit.table.name}__rows"


def counted_as(audit: Audit, number: int) -> str:
    """The column of counts that says how many rows break the rule of that number."""
    return f"{audit.table.name}__{number}"


def broken(audit: Audit, rule: Expectation) -> SparkColumn:
    """Whether a row of `audit.flagged()` breaks the rule."""
    if rule.kind == "unique":
        return F.count(F.lit(1)).over(Window.partitionBy(*audit.unique_columns(rule))) > 1
    return F.col(flag(rule))


def flag(rule: Expectation) -> str:
    """The name of the rule's column in `audit.flagged()`."""
    return "__".join(("", rule.kind, *(column.name for column in rule.columns)))


# ---------------------------------------------------------------------------- references

_FOUND = "__found"


def _flag_reference(frame: DataFrame, rule: Expectation, dangling: DataFrame) -> DataFrame:
    name = rule.column.name
    joined = frame.join(dangling.select(F.col("target").alias(_FOUND)), on=F.col(name) == F.col(_FOUND), how="left")
    return joined.withColumn(flag(rule), F.col(_FOUND).isNotNull()).drop(_FOUND)


# ---------------------------------------------------------------------------- flags


def _bit(number: int, broken: SparkColumn) -> SparkColumn:
    return F.when(broken, F.lit(1 << number).cast("bigint")).otherwise(F.lit(0).cast("bigint"))


def _try_cast(name: str, spark_type: str) -> SparkColumn:
    return F.expr(f"try_cast(`{name}` AS {spark_type})")


def _unless_null(rule: Expectation, is_right: SparkColumn) -> SparkColumn:
    return F.col(rule.column.name).isNotNull() & ~F.coalesce(is_right, F.lit(False))


def _not_a_date(audit: Audit, rule: Expectation) -> SparkColumn:
    name = rule.column.name
    # Spark takes "2024-01-1 " for a day as well.
    is_long = (F.length(name) == 10) & F.substring(name, 10, 1).between("0", "9")
    return _unless_null(rule, is_long & _is_day_first(name) & _try_cast(name, "date").between(*_span("date")))


def _not_a_time(audit: Audit, rule: Expectation) -> SparkColumn:
    name = rule.column.name
    moment = _try_cast(name, "timestamp_ntz").between(*_span("timestamp_ntz"))
    is_right = _is_day_first(name) & (F.instr(name, "T") == 11) & moment
    return _unless_null(rule, is_right)


def _is_day_first(name: str) -> SparkColumn:
    """That what Spark takes for a day is written `YYYY-MM-DD`. Searching is several times faster than a pattern."""
    return (F.instr(name, "-") == 5) & (F.locate("-", name, 6) == 8)


def _span(spark_type: str) -> tuple[SparkColumn, SparkColumn]:
    end = LAST_DATE if spark_type == "date" else f"{LAST_DATE}T23:59:59.999999"
    return F.lit(FIRST_DATE).cast(spark_type), F.lit(end).cast(spark_type)


def _does_not_fit(audit: Audit, rule: Expectation) -> SparkColumn:
    # By its text: no decimal type of Spark's is wide enough for all that PostgreSQL's numeric holds.
    return _unless_null(rule, F.col(rule.column.name).rlike(rule.column.type.fitting))


def _below_minimum(audit: Audit, rule: Expectation) -> SparkColumn:
    if rule.column.type.raw != "string":
        return F.col(rule.column.name) < F.lit(rule.column.minimum)
    # What is no number, or none of that size, breaks another rule.
    is_below = _try_cast(rule.column.name, _WIDE) < F.lit(rule.column.minimum)
    if (rule.column.minimum or 0) > 0:
        return is_below
    return F.col(rule.column.name).startswith("-") & is_below  # few do, and all others need no number made of them


def _is_before(audit: Audit, rule: Expectation) -> SparkColumn:
    day, moment = (column.name for column in rule.columns)
    return _try_cast(day, "date") < _try_cast(moment, "timestamp_ntz").cast("date")


def _not_just_the_one(audit: Audit, rule: Expectation) -> SparkColumn:
    kind, *others = (F.col(column.name) for column in rule.columns)
    filled = sum((other.isNotNull().cast("int") for other in others), F.lit(0))
    fitting = reduce(or_, ((kind == value) & o.isNotNull() for value, o in zip(rule.values, others, strict=True)))
    is_known = F.coalesce(kind.isin(*rule.values), F.lit(False))
    return (filled != 1) | (is_known & ~fitting)


def _has_holes(audit: Audit, rule: Expectation) -> bool:
    whole = audit.frame if audit.whole is None else audit.whole()
    day = F.col(rule.column.name)
    days, holes = whole.agg(F.count(day), F.datediff(F.max(day), F.min(day)) + 1 - F.count(day)).first() or (0, 0)
    return bool(days and holes)


def _is_old(audit: Audit, rule: Expectation) -> bool:
    return (audit.hours_old or 0) > float(rule.values[0])


def _does_not_add_up(audit: Audit, rule: Expectation) -> bool:
    let_through, here = audit.sums[rule.column.name if rule.columns else "rows"]
    return let_through != here


_FLAGGED: dict[Kind, Callable[[Audit, Expectation], SparkColumn]] = {
    "readable": lambda audit, rule: F.col(audit.unreadable or "").isNotNull(),
    "not_null": lambda audit, rule: F.col(rule.column.name).isNull(),
    "is_int": lambda audit, rule: ~F.col(rule.column.name).between(SMALLEST_INT, LARGEST_INT),
    # Java's $ lets a line break follow; what is meant is the end.
    "pattern": lambda audit, rule: ~F.col(rule.column.name).rlike((rule.column.pattern or "").replace("$", r"\z")),
    "one_of": lambda audit, rule: ~F.col(rule.column.name).isin(*rule.column.one_of),
    "iso_4217": lambda audit, rule: ~F.col(rule.column.name).isin(*iso_4217()),
    "fits_decimal": _does_not_fit,
    "is_date": _not_a_date,
    "is_timestamp": _not_a_time,
    "minimum": _below_minimum,
    "not_before": _is_before,
    "one_by_type": _not_just_the_one,
}

_TOLD: dict[Kind, Callable[[Audit, Expectation], bool]] = {
    "no_holes": _has_holes,
    "freshness": _is_old,
    "accounted": _does_not_add_up,
    "sum": _does_not_add_up,
}
"""What is said of a table as a whole: all of its rows are flagged, or none is."""
