"""What a gate counts of a table's rows: how many break each rule, and which values they hold that others must have."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructType

from retail_etl import frames, spark
from retail_etl.audit import BROKEN, ROWS, Audit, Counts
from retail_etl.expectations import Expectation
from retail_etl.schema import DATE, Column
from retail_etl.survey import Survey, surveyed_columns
from retail_etl.values import Values, numbers_of, values_of

if TYPE_CHECKING:
    from pyarrow import RecordBatch


def count(audit: Audit) -> Counts:
    """Take what the survey tells; where it does not tell all, go over the rows with Spark."""
    if audit.survey is not None and audit.is_surveyed:
        return _of_survey(audit, audit.survey)
    return _by_spark(audit)


def _of_survey(audit: Audit, survey: Survey) -> Counts:
    broken = {number: 0 for number, _ in audit.told_by_rows()}
    for number, _ in _unique(audit):
        broken[number] = survey.rows - len(survey.values[audit.key])
    totals = {ROWS: Decimal(survey.rows), **survey.sums}
    return Counts(survey.rows, broken, survey.values, totals)


def _by_spark(audit: Audit) -> Counts:
    kept = audit.kept().cache()
    try:
        found = kept.agg(*_aggregates(audit)).collect()[0].asDict()
        values = values_in(kept, surveyed_columns(audit.table))
    finally:
        kept.unpersist()
    broken = {number: found[f"broken_{number}"] for number, _ in audit.told_by_rows()}
    broken |= {number: found[f"there_{number}"] - found[f"distinct_{number}"] for number, _ in _unique(audit)}
    additive = [column.name for column in _additive(audit)]
    totals = {ROWS: Decimal(found[ROWS]), **{name: Decimal(found[f"total_{name}"] or 0) for name in additive}}
    return Counts(found[ROWS], broken, values, totals)


def _aggregates(audit: Audit) -> Iterator[SparkColumn]:
    yield F.count(F.lit(1)).alias(ROWS)
    for number, _ in audit.told_by_rows():
        bit = F.lit(1 << number).cast("bigint")
        yield F.count_if(F.col(BROKEN).bitwiseAND(bit) != 0).alias(f"broken_{number}")
    for number, rule in _unique(audit):
        columns = audit.unique_columns(rule)
        yield F.count_if(reduce(and_, (F.col(name).isNotNull() for name in columns))).alias(f"there_{number}")
        yield F.countDistinct(*columns).alias(f"distinct_{number}")
    for column in _additive(audit):
        yield F.sum(F.col(column.name).cast("decimal(38,4)")).alias(f"total_{column.name}")


def _unique(audit: Audit) -> list[tuple[int, Expectation]]:
    return [(number, rule) for number, rule in enumerate(audit.expectations()) if rule.kind == "unique"]


def _additive(audit: Audit) -> list[Column]:
    return [rule.column for rule in audit.expectations() if rule.kind == "sum"]


# ---------------------------------------------------------------------------- values


def values_in(rows: DataFrame, columns: Sequence[str]) -> dict[str, Values]:
    """What the columns hold, without NULL."""
    needed = rows.select(*columns)
    if spark.is_for_few(rows.sparkSession):
        pieces: Iterable[RecordBatch] = needed._collect_as_arrow()
        return _union(columns, (_values(batch) for batch in pieces))
    schema = ", ".join(f"`{name}` binary" for name in columns)
    told = needed.mapInArrow(_serialized, schema).collect()
    return _union(columns, ({name: Values.deserialize(row[name]) for name in columns} for row in told))


def keys_in(rows: DataFrame, column: str) -> Values:
    """What one column holds, without NULL."""
    return values_in(rows, [column])[column]


def settled(rows: DataFrame, key: str) -> tuple[DataFrame, int, Values]:
    """The same rows, computed once (see `frames.settled`), how many they are, and their keys."""
    kept = frames.settled(rows)
    count = kept.count()
    return kept, count, keys_in(kept, key) if count else Values()


def _values(batch: "RecordBatch") -> dict[str, Values]:
    return {name: values_of(batch.column(name)) for name in batch.schema.names}


def _serialized(batches: "Iterable[RecordBatch]") -> "Iterator[RecordBatch]":
    found: dict[str, Values] = {}
    for batch in batches:
        found = _union(batch.schema.names, (found, _values(batch)))
    if found:
        yield pa.RecordBatch.from_pydict({name: [values.serialize()] for name, values in found.items()})


def _union(columns: Iterable[str], found: Iterable[Mapping[str, Values]]) -> dict[str, Values]:
    union = {name: Values() for name in columns}
    for one in found:
        for name, values in one.items():
            union[name] |= values
    return union


def frame_of(session: SparkSession, values: Values, column: Column) -> DataFrame:
    """A frame of the values (`target`), in the type that a column of its table has."""
    numbers = pa.RecordBatch.from_pydict({"number": numbers_of(values)})
    rows = frames.of_arrow(session, [numbers], StructType().add("number", LongType()))
    number = F.col("number")
    return rows.select((F.date_from_unix_date(number.cast("int")) if column.type is DATE else number).alias("target"))


# ---------------------------------------------------------------------------- references


def dangling(audit: Audit, counts: Counts) -> dict[int, Values]:
    """Number of a rule on references → the values that its column holds and the table it refers to does not; without
    the rules where there is none.
    """
    found: dict[int, Values] = {}
    for number, rule in enumerate(audit.expectations()):
        if rule.kind != "reference":
            continue
        if audit.there is None:
            raise AssertionError(f"{audit.table.name} refers to {rule.column.references}, and nobody says what it has")
        held = counts.values[rule.column.name]
        if absent := held - audit.there(rule.column, held):
            found[number] = absent
    return found
