"""Versions of rows over all batches at once: what the lake holds after taking batch by batch, made in one pass."""

from functools import reduce
from operator import and_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl.schema import BATCH_ID, StarTable


def versions(table: StarTable, rows: DataFrame) -> DataFrame:
    """The rows that differ from what an earlier batch showed last of their key, NULLs being equal.

    `rows`: the table's columns and `batch_id`, one row at most for each key and batch.
    """
    one_key = Window.partitionBy(table.key).orderBy(BATCH_ID)
    is_first = F.lag(BATCH_ID).over(one_key).isNull()
    is_equal = reduce(and_, (F.col(name).eqNullSafe(F.lag(name).over(one_key)) for name in table.column_names))
    # By ranges of the key, so that whoever looks keys up finds them in few files.
    in_ranges = rows.repartitionByRange(F.col(table.key))
    return in_ranges.withColumn("is_new", is_first | ~is_equal).where("is_new").drop("is_new")


def latest(table: StarTable, rows: DataFrame) -> DataFrame:
    """The last version of each key, and the batch that brought it."""
    version = F.struct(*rows.columns)
    return rows.groupBy(table.key).agg(F.max_by(version, BATCH_ID).alias("version")).select("version.*")


def without_equals(table: StarTable, rows: DataFrame, current: DataFrame | None) -> DataFrame:
    """The rows that have no equal in `current`, over all columns of the model, NULLs being equal."""
    if current is None:
        return rows
    others = current.select(*(F.col(name).alias(f"current_{name}") for name in table.column_names))
    equal = [rows[name].eqNullSafe(others[f"current_{name}"]) for name in table.column_names]
    return rows.join(others, on=equal, how="left_anti")
