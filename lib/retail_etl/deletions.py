"""What became of source rows that a batch did not find, or found again; and when that is too much to believe."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_etl import model

MASS_SHARE = 0.1
MASS_ROWS = 100

CompleteRange = Sequence[int | None]
"""`[low, high]`, both included; None where it is open. A batch holds every row of the source in its key ranges."""


def events(
    source: str, known: DataFrame, missing: DataFrame, present: DataFrame, ranges: Sequence[CompleteRange]
) -> DataFrame:
    """One row (`table_name`, `record_id`, `is_deleted`) per source row that went missing, or is back.

    All frames have one column, `record_id`. `known`: every row that was ever seen. `missing`: those of them that
    were missing before. `present`: those that the batch holds, which is complete within `ranges`.
    """
    expected = known.where(within("record_id", ranges)) if ranges else known.limit(0)
    missed = expected.join(missing, "record_id", "left_anti").join(present, "record_id", "left_anti")
    back = missing.join(present, "record_id", "left_semi")
    both = (
        missed.distinct().withColumn("is_deleted", F.lit(True)).unionByName(back.withColumn("is_deleted", F.lit(False)))
    )
    return both.select(F.lit(source).alias("table_name"), F.col("record_id").cast("int"), "is_deleted")


def within(key: str, ranges: Sequence[CompleteRange]) -> Column:
    """Whether the key lies in one of the ranges."""
    condition = F.lit(False)
    for low, high in ranges:
        above = F.lit(True) if low is None else F.col(key) >= low
        below = F.lit(True) if high is None else F.col(key) <= high
        condition = condition | (above & below)
    return condition


def is_mass_deletion(missed: int, alive: int) -> bool:
    """Whether so many of the rows that were alive are gone that somebody must confirm it: all of them, or at least
    100 that are more than a tenth.
    """
    return missed > 0 and (missed >= alive or (missed >= MASS_ROWS and missed > MASS_SHARE * alive))


def _command(table: str) -> str:
    return "run" if model.SOURCE[table].extract == "snapshot" else "reconcile --heal"


def describe(withheld: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What people read of withheld deletions. `withheld`: source table → `missed`, `alive`, `batch_id`."""
    return tuple(
        f"{table}: {found['missed']:,} of {found['alive']:,} rows are gone from the source, found by batch "
        f"{found['batch_id']}: too much to be believed unasked. They stay in lake and warehouse, and all else went on. "
        f"If they are really deleted: etl.py {_command(table)} --accept-deletions {table}. If not, restore the source."
        for table, found in withheld.items()
    )
