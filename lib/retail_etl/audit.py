"""What a gate looks at, and what each kind of rule means there: which rows break it, and what Great Expectations is
asked. It counts the rows that are flagged so; Spark hands back no rows, but the flags stay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import pycountry
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl.expectations import Expectation, Kind, declared, requirement
from retail_etl.schema import (
    BATCH_ID,
    FIRST_DATE,
    INT,
    LARGEST_INT,
    LAST_DATE,
    SMALLEST_INT,
    SourceTable,
    StarTable,
)

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation as GreatExpectation

SMALL_BATCH = 10_000
USUAL_TIMES = 20
_WIDE = "decimal(38,18)"


@dataclass(frozen=True)
class Audit:
    """Rows of one table that a gate looks at.

    `rows`: how many there must be. `unreadable`: the column that holds lines that could not be read, if there is one.
    `references`: `table.column` → a frame of its values, each once, for every reference that is to be checked.
    `whole`: the table with the rows that other batches wrote, where an expectation is about all of it.
    `of_one_batch`: whether all rows have the same `batch_id`. `usual_rows`: the most rows that its last batches had,
    where there were enough. `hours_old`: the age of the table's newest row. `sums`: what the layer before let
    through, and what is here: of `rows`, and of each additive column. Rules whose measure is not given are left out.
    """

    table: SourceTable | StarTable
    frame: DataFrame
    rows: int
    unreadable: str | None = None
    references: Mapping[str, DataFrame] = field(default_factory=dict)
    whole: DataFrame | None = None
    of_one_batch: bool = True
    usual_rows: int | None = None
    hours_old: float | None = None
    sums: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The column that names a row."""
        return self.table.key

    def expectations(self) -> list[Expectation]:
        """Those of the model that are to be evaluated here. A small batch may have any size: that is only reported."""
        measured = {
            "volume": self.usual_rows is not None,
            "freshness": self.hours_old is not None,
            "accounted": bool(self.sums),
            "sum": bool(self.sums),
        }
        is_small = self.rows <= SMALL_BATCH
        return [
            replace(rule, severity="info") if rule.kind == "volume" and is_small else rule
            for rule in declared(self.table)
            if measured.get(rule.kind, True)
        ]

    def flagged(self) -> DataFrame:
        """The frame with a column `true where broken` for each rule on rows but `unique`."""
        rules = self.expectations()
        flags = {flag(rule): _FLAGGED[rule.kind](self, rule) for rule in rules if rule.kind in _FLAGGED}
        frame = self.frame.withColumns({name: F.coalesce(broken, F.lit(False)) for name, broken in flags.items()})
        # Joined last: what is shuffled then are the flags, and not the columns that they are made of.
        for rule in rules:
            if rule.kind == "reference":
                frame = _flag_reference(frame, rule, self.references)
        return frame

    def looked_at(self) -> list[str]:
        """The columns of `flagged()` that the expectations are evaluated on: the flags, and what is to be unique."""
        rules = self.expectations()
        unique = [name for rule in rules if rule.kind == "unique" for name in _unique_columns(self, rule)]
        flags = [flag(rule) for rule in rules if rule.kind in _FLAGGED or rule.kind == "reference"]
        return list(dict.fromkeys((self.key, *unique, *flags)))


def expect(audit: Audit, rule: Expectation, number: int) -> "GreatExpectation":
    """The rule as Great Expectations evaluates it on `audit.flagged()`. Its meta says what people read."""
    import great_expectations.expectations as gxe

    from retail_etl.broken_rows import ExpectNoRowToBeFlagged

    meta = {
        "number": number,
        "table": audit.table.name,
        "expectation": str(rule),
        "severity": rule.severity,
        "requirement": requirement(rule),
    }
    common: dict[str, Any] = {"severity": rule.severity, "meta": meta}
    if rule.kind == "row_count":
        return gxe.ExpectTableRowCountToEqual(value=audit.rows, **common)
    if rule.kind == "volume":
        return gxe.ExpectTableRowCountToBeBetween(max_value=USUAL_TIMES * (audit.usual_rows or 0), **common)
    if rule.kind == "unique":
        columns = _unique_columns(audit, rule)
        if len(columns) == 1:
            return gxe.ExpectColumnValuesToBeUnique(column=columns[0], **common)
        return gxe.ExpectCompoundColumnsToBeUnique(column_list=columns, **common)
    return ExpectNoRowToBeFlagged(flag=flag(rule), **common)


def broken(audit: Audit, rule: Expectation) -> SparkColumn:
    """Whether a row of `audit.flagged()` breaks the rule."""
    if rule.kind == "unique":
        return F.count(F.lit(1)).over(Window.partitionBy(*_unique_columns(audit, rule))) > 1
    return F.col(flag(rule))


def flag(rule: Expectation) -> str:
    """The name of the rule's column in `audit.flagged()`."""
    return "__".join(("", rule.kind, *(column.name for column in rule.columns)))


# ---------------------------------------------------------------------------- flags


def _flag_reference(frame: DataFrame, rule: Expectation, references: Mapping[str, DataFrame]) -> DataFrame:
    column = rule.column
    found, target = f"__found__{column.name}", f"__target__{column.name}"
    key = F.col(column.referenced_column)
    # A key may be wider than its column in the star: it is not there then, and no error.
    key = key.cast("bigint") if column.type is INT else key
    targets = references[column.references or ""].select(key.alias(target), F.lit(True).alias(found))
    joined = frame.join(targets, on=F.col(column.name) == F.col(target), how="left")
    missing = F.col(column.name).isNotNull() & F.col(found).isNull()
    return joined.withColumn(flag(rule), missing).drop(found, target)


def _try_cast(name: str, spark_type: str) -> SparkColumn:
    return F.expr(f"try_cast(`{name}` AS {spark_type})")


def _unless_null(rule: Expectation, is_right: SparkColumn) -> SparkColumn:
    return F.col(rule.column.name).isNotNull() & ~F.coalesce(is_right, F.lit(False))


def _not_a_date(audit: Audit, rule: Expectation) -> SparkColumn:
    text = F.col(rule.column.name)
    day = _try_cast(rule.column.name, "date")
    return _unless_null(rule, text.rlike(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\z") & day.between(*_span()))


def _not_a_time(audit: Audit, rule: Expectation) -> SparkColumn:
    text = F.col(rule.column.name)
    day = _try_cast(rule.column.name, "timestamp_ntz").cast("date")
    return _unless_null(rule, text.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}T") & day.between(*_span()))


def _span() -> tuple[SparkColumn, SparkColumn]:
    return F.lit(FIRST_DATE).cast("date"), F.lit(LAST_DATE).cast("date")


def _does_not_fit(audit: Audit, rule: Expectation) -> SparkColumn:
    # By its text: no decimal type of Spark's is wide enough for all that PostgreSQL's numeric holds.
    whole, scale = rule.column.type.precision - rule.column.type.scale, rule.column.type.scale
    fitting = rf"^-?[0-9]{{1,{whole}}}([.][0-9]{{0,{scale}}}0*)?\z"
    return _unless_null(rule, F.col(rule.column.name).rlike(fitting))


def _below_minimum(audit: Audit, rule: Expectation) -> SparkColumn:
    # What is no number, or none of that size, breaks another rule.
    return _try_cast(rule.column.name, _WIDE) < F.lit(rule.column.minimum)


def _is_before(audit: Audit, rule: Expectation) -> SparkColumn:
    day, moment = (column.name for column in rule.columns)
    return _try_cast(day, "date") < _try_cast(moment, "timestamp_ntz").cast("date")


def _not_just_the_one(audit: Audit, rule: Expectation) -> SparkColumn:
    kind, *others = (F.col(column.name) for column in rule.columns)
    filled = sum((other.isNotNull().cast("int") for other in others), F.lit(0))
    fitting = reduce(or_, ((kind == value) & o.isNotNull() for value, o in zip(rule.values, others, strict=True)))
    is_known = F.coalesce(kind.isin(*rule.values), F.lit(False))
    return (filled != 1) | (is_known & ~fitting)


def _has_holes(audit: Audit, rule: Expectation) -> SparkColumn:
    whole = audit.whole if audit.whole is not None else audit.frame
    day = F.col(rule.column.name)
    days, holes = whole.agg(F.count(day), F.datediff(F.max(day), F.min(day)) + 1 - F.count(day)).first() or (0, 0)
    return F.lit(bool(days and holes))


def _is_old(audit: Audit, rule: Expectation) -> SparkColumn:
    return F.lit((audit.hours_old or 0) > float(rule.values[0]))


def _does_not_add_up(audit: Audit, rule: Expectation) -> SparkColumn:
    let_through, here = audit.sums[rule.column.name if rule.columns else "rows"]
    return F.lit(let_through != here)


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
    "no_holes": _has_holes,
    "freshness": _is_old,
    "accounted": _does_not_add_up,
    "sum": _does_not_add_up,
}


def _unique_columns(audit: Audit, rule: Expectation) -> list[str]:
    """The columns of a `unique` rule; without batch_id where that is the same in all rows."""
    return [column.name for column in rule.columns if not (audit.of_one_batch and column.name == BATCH_ID)]


def iso_4217() -> Sequence[str]:
    """The currency codes that ISO 4217 knows."""
    return [currency.alpha_3 for currency in pycountry.currencies]
