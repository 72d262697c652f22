"""Few rows of the lake as Arrow has them in this process: what `history.py` and `gates.sums` tell by Spark, without a
query. tests/unit/test_few_rows.py holds both against each other.
"""

from decimal import Decimal
from functools import cache, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from retail_etl import frames
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.survey import WIDE
from retail_etl.values import numbers_in


@cache
def schema_of(table: StarTable) -> pa.Schema:
    """The columns of the model, and `batch_id`; all of them may be NULL."""
    return to_arrow_schema(_struct_of(table))


def of_frame(table: StarTable, frame: DataFrame) -> pa.Table:
    """The rows of a frame that has these columns, and others perhaps."""
    schema = schema_of(table)
    batches: list[Any] = frame.select(*schema.names)._collect_as_arrow()
    return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()


def to_frame(session: SparkSession, table: StarTable, rows: pa.Table) -> DataFrame:
    """The rows as a frame of one partition."""
    return frames.of_arrow(session, rows.to_batches(), _struct_of(table)).coalesce(1)


@cache  # Java parses it
def _struct_of(table: StarTable) -> StructType:
    return frames.parsed(f"{table.spark_schema('lake')}, `{BATCH_ID}` bigint")


def latest(table: StarTable, rows: pa.Table) -> pa.Table:
    """The last version of each key."""
    newest_first = rows.sort_by([(BATCH_ID, "descending")])
    keys = numbers_in(newest_first[table.key].combine_chunks())
    _, first = np.unique(keys.to_numpy(), return_index=True)
    return newest_first.take(first)


def without_equals(table: StarTable, rows: pa.Table, current: pa.Table) -> pa.Table:
    """The rows that have no equal in `current`, which has one row of a key, over all columns of the model; NULLs are
    equal.
    """
    there = current.take(pc.index_in(rows[table.key], value_set=current[table.key].combine_chunks()))
    same = [_are_equal(rows[name], there[name]) for name in table.column_names]
    return rows.filter(pc.invert(reduce(pc.and_, same)))


def _are_equal(one: Any, other: Any) -> Any:
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), both_null)


def sums(table: StarTable, rows: pa.Table) -> dict[str, Decimal]:
    """How many rows there are (`rows`), and the sum of each additive column."""
    totals = {name: pc.sum(rows[name].cast(WIDE)).as_py() for name in table.additive_columns}
    return {"rows": Decimal(rows.num_rows)} | {name: total or Decimal(0) for name, total in totals.items()}
