"""Quarantine: source rows that were set aside, with the reason, until they are mended, redriven or deleted.

It is told as events, one row of `model.QUARANTINE` each: a row was set aside (again, in another state), or left. The
last event of a row says what holds. Unchanged rows that are read again and are still bad make no event.
"""

from collections.abc import Sequence
from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl import model
from retail_etl.deletions import CompleteRange, within
from retail_etl.schema import BATCH_ID, KeyRange

SHARE = 0.01
ROWS = 10
RANGES = 500

CAME_IN = "came in"
DELETED = "deleted in the source"

_ONE_ROW = ("table_name", "record_id")


def limit(rows: int) -> int:
    """How many of so many rows of a batch may be set aside before the whole batch is refused."""
    return max(ROWS, int(rows * SHARE))


def active(events: DataFrame) -> DataFrame:
    """What is in quarantine after these events: the last one of each row, where that set it aside."""
    last = events.groupBy(*_ONE_ROW).agg(F.max_by(F.struct(*events.columns), BATCH_ID).alias("last"))
    return last.select("last.*").where("is_held")


def of_table(held: DataFrame, table: str) -> DataFrame:
    """Those of one source table."""
    return held.where(F.col("table_name") == table)


def without(rows: DataFrame, held: DataFrame, key: str) -> DataFrame:
    """The rows whose key is not among the held ones of that table (`record_id`)."""
    keys = held.select(F.col("record_id").alias(key))
    return rows.join(F.broadcast(keys), on=key, how="left_anti")


def set_aside(table: str, now: DataFrame, held: DataFrame | None) -> DataFrame:
    """An event for each row that is bad now and was not held, or in another state or for other reasons.

    `now`: `record_id`, `reasons`, `waits`, `row`. `held`: what was in quarantine of the table; None where nothing was.
    """
    events = now.select(
        F.lit(table).alias("table_name"), "record_id", F.lit(True).alias("is_held"), "waits", "reasons", "row"
    )
    if held is None:
        return events
    same = [F.col(f"n.{name}").eqNullSafe(F.col(f"h.{name}")) for name in ("record_id", "row", "reasons")]
    return events.alias("n").join(held.alias("h"), on=same, how="left_anti")


def left(
    table: str, held: DataFrame, now: DataFrame | None, present: DataFrame, ranges: Sequence[CompleteRange]
) -> DataFrame:
    """An event for each held row that was read and is good now, or that is gone from the source.

    `now`: the keys that are bad; None where none is. `present`: the keys that the batch holds, which is complete in
    `ranges`. All keys are `record_id`.
    """
    keys = held.select("record_id")
    came_in = keys.join(present, on="record_id", how="left_semi")
    if now is not None:
        came_in = came_in.join(now.select("record_id"), on="record_id", how="left_anti")
    gone = keys.where(within("record_id", ranges)).join(present, on="record_id", how="left_anti")
    both = came_in.withColumn("reason", F.lit(CAME_IN)).unionByName(gone.withColumn("reason", F.lit(DELETED)))
    return both.select(
        F.lit(table).alias("table_name"),
        "record_id",
        F.lit(False).alias("is_held"),
        F.lit(False).alias("waits"),
        F.array("reason").alias("reasons"),
        F.lit(None).cast("string").alias("row"),
    )


def spans(events: DataFrame, table: str) -> DataFrame:
    """`record_id`, `held_from`, `held_until`: the batches during which a row of the table was in quarantine, the last
    one not included; NULL where it still is.
    """
    following = F.lead(BATCH_ID).over(Window.partitionBy("record_id").orderBy(BATCH_ID))
    of_one = of_table(events, table).withColumn("held_until", following).where("is_held")
    return of_one.select("record_id", F.col(BATCH_ID).alias("held_from"), "held_until")


def without_spans(rows: DataFrame, held: DataFrame, key: str) -> DataFrame:
    """The rows (with `batch_id`) that were not in quarantine when their batch was taken. `held`: see `spans`."""
    during = (F.col(BATCH_ID) >= F.col("held_from")) & (
        F.col("held_until").isNull() | (F.col(BATCH_ID) < F.col("held_until"))
    )
    return rows.join(F.broadcast(held), on=(F.col(key) == F.col("record_id")) & during, how="left_anti")


def key_ranges(keys: Sequence[int]) -> list[KeyRange]:
    """At most 500 ranges that hold all the keys, cut where the gaps are widest. Other keys may lie in them."""
    ordered = sorted(set(keys))
    gaps = sorted(range(1, len(ordered)), key=lambda place: ordered[place - 1] - ordered[place])
    widest = [place for place in gaps[: RANGES - 1] if ordered[place] - ordered[place - 1] > 1]
    return [
        (ordered[low], ordered[high - 1]) for low, high in pairwise([0, *sorted(widest), len(ordered)]) if high > low
    ]


def describe(set_aside: dict[str, int], batch_id: int) -> tuple[str, ...]:
    """What people read of rows that a batch set aside. `set_aside`: source table → how many."""
    return tuple(
        f"{table}: of batch {batch_id}, {count:,} row{'s' if count > 1 else ''} went to quarantine, all else went on: "
        f"etl.py quarantine list --table {table}"
        for table, count in set_aside.items()
        if count and table in model.SOURCE
    )
