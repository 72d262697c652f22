"""What became of source rows that a batch did not find, or found again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl import frames
from retail_etl.counting import frame_of
from retail_etl.schema import BATCH_ID, SourceTable
from retail_etl.values import Values, between

CompleteRange = Sequence[int | None]
"""`[low, high]`, both included; None where it is open. A batch holds every row of the source in its key ranges."""


@dataclass(frozen=True)
class Events:
    """The keys of a source table's rows that went missing, and of those that are back."""

    missed: Values
    back: Values

    def rows(self, session: SparkSession, table: SourceTable) -> DataFrame:
        """One row (`table_name`, `record_id`, `is_deleted`) for each."""
        of_each = [
            frame_of(session, keys, table.column(table.key)).withColumn("is_deleted", F.lit(is_deleted))
            for keys, is_deleted in ((self.missed, True), (self.back, False))
        ]
        number = F.col("target").cast("int").alias("record_id")
        return reduce(DataFrame.unionByName, of_each).select(
            F.lit(table.name).alias("table_name"), number, "is_deleted"
        )


def events(known: Values, missing: Values, present: Values, ranges: Sequence[CompleteRange]) -> Events:
    """What became of rows: `known`, the keys of all that were ever seen; `missing`, those that were missing before;
    `present`, those that the batch holds, which is complete within `ranges`.
    """
    return Events(between(known, ranges) - missing - present, missing & present)


def history(
    spark: SparkSession, source: str, present: DataFrame, complete: Mapping[int, Sequence[CompleteRange]]
) -> DataFrame:
    """The same of all batches at once: the rows that `Events` gave batch after batch, with `batch_id`.

    `present` (`record_id`, `batch_id`): what each batch held. `complete`: the batches that held every row of the source
    in key ranges, with those.
    """
    ranges = [(batch_id, low, high) for batch_id, whole in complete.items() for low, high in whole]
    looked_for = frames.of_rows(spark, ranges, f"{BATCH_ID} bigint, low bigint, high bigint")
    known = present.groupBy("record_id").agg(F.min(BATCH_ID).alias("first_seen"))
    expected = known.join(
        F.broadcast(looked_for),
        on=(F.col("first_seen") < F.col(BATCH_ID))
        & F.col("record_id").between(F.coalesce("low", "record_id"), F.coalesce("high", "record_id")),
        how="inner",
    ).select("record_id", BATCH_ID)
    missed = expected.distinct().join(present, ["record_id", BATCH_ID], "left_anti")
    seen = missed.withColumn("is_deleted", F.lit(True)).unionByName(present.withColumn("is_deleted", F.lit(False)))
    before = F.lag("is_deleted", 1, False).over(Window.partitionBy("record_id").orderBy(BATCH_ID))
    changed = seen.withColumn("before", before).where(F.col("is_deleted") != F.col("before"))
    return changed.select(F.lit(source).alias("table_name"), F.col("record_id").cast("int"), "is_deleted", BATCH_ID)


def found_at(extract: Mapping[str, Any]) -> datetime:
    """When the batch of this manifest was taken, in UTC: what its deletions are dated with."""
    return datetime.fromisoformat(extract["started_at"]).replace(tzinfo=None)


def within(key: str, ranges: Sequence[CompleteRange]) -> Column:
    """Whether the key lies in one of the ranges."""
    condition = F.lit(False)
    for low, high in ranges:
        above = F.lit(True) if low is None else F.col(key) >= low
        below = F.lit(True) if high is None else F.col(key) <= high
        condition = condition | (above & below)
    return condition
