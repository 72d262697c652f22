#!/usr/bin/env python
"""What small batches cost those who read, and what maintenance gives back: on a lake of its own, without a source.

A large first batch, then small ones, each of which adds rows and changes rows of before: versions of payments, and
transactions that are marked as deleted and written anew. Before and after maintenance: files, and seconds.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from pyspark.sql import Column, DataFrame, SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

from retail_etl import model, spark  # noqa: E402
from retail_etl.lake import MAIN, Lake, branch_of  # noqa: E402
from retail_etl.maintenance import Keep, Maintenance  # noqa: E402
from retail_etl.raw import RawZone  # noqa: E402
from retail_etl.schema import BATCH_ID, StarTable  # noqa: E402
from retail_etl.values import Values  # noqa: E402
from scripts import lake_query  # noqa: E402
from scripts.display import console, output  # noqa: E402

_TABLES = (model.DIM_TRANSACTION, model.FACT_PAYMENT)
_REPEATED = 5


def main(
    rows: Annotated[int, typer.Option(help="Rows of each table in the first batch.")] = 1_000_000,
    batches: Annotated[int, typer.Option(help="Small batches after it.")] = 30,
    changes: Annotated[int, typer.Option(help="Rows of each table in a small one, half of them new.")] = 2_000,
) -> None:
    """Print what the same questions take before and after."""
    with tempfile.TemporaryDirectory() as folder:
        session = spark.session(folder)
        lake = Lake(session)
        lake.create_missing()
        _write(session, lake, 1, 0, rows, edits=0)
        for batch_id in range(2, batches + 2):
            _write(session, lake, batch_id, rows, changes // 2, edits=changes // 2)
            rows += changes // 2
            console.print(f"batch {batch_id}")
        before = _measure(folder, rows, batches + 1)
        since = time.monotonic()
        upkeep = Maintenance(session, lake, RawZone(folder), Keep(0, 1), dry_run=False)
        done = {table.name: upkeep.maintain(table) for table in _TABLES}
        seconds = time.monotonic() - since
        after = _measure(folder, rows, batches + 1)
    for name, found in done.items():
        output.print(f"{name}: {found.before} → {found.after}")
    shown = Table("", "before", "after", box=None, pad_edge=False)
    for what, value in before.items():
        shown.add_row(what, f"{value:.2f}", f"{after[what]:.2f}")
    output.print(shown)
    output.print(f"maintenance of both tables: {seconds:.1f} s")


def _write(session: SparkSession, lake: Lake, batch_id: int, there: int, new: int, edits: int) -> None:
    """Publish a batch: `new` rows behind those that are there, and `edits` of these, spread over all, changed."""
    keys = session.range(there + 1, there + new + 1).withColumnRenamed("id", "key")
    if edits:
        spread = session.range(edits).select((F.col("id") * (there // edits) + batch_id).alias("key"))
        keys = keys.unionByName(spread)
    for table, frame in ((model.DIM_TRANSACTION, _transactions), (model.FACT_PAYMENT, _payments)):
        rows = frame(keys, batch_id).withColumn(BATCH_ID, F.lit(batch_id).cast("bigint"))
        if table.is_fact:
            written = lake.append(table, rows, batch_id, MAIN)
        else:
            written = lake.merge_dimension(table, rows, batch_id, MAIN)
        if written:
            lake.publish(branch_of(batch_id), {table.name: written.snapshot_id}, batch_id)


def _transactions(keys: DataFrame, batch_id: int) -> DataFrame:
    order = F.col("key") * 2 + batch_id
    return _typed(model.DIM_TRANSACTION, keys, {"transaction_type": F.lit("SALE"), "sales_order_id": order})


def _payments(keys: DataFrame, batch_id: int) -> DataFrame:
    day = F.date_add(F.lit("2020-01-01"), (F.col("key") / 700).cast("int"))
    columns = {column.name: day for column in model.FACT_PAYMENT.columns if column.name.endswith("_date")}
    amount = F.abs(F.hash("key", F.lit(batch_id))) / 100
    times = dict.fromkeys(("created_time", "last_updated"), F.lit("12:34:56.789000"))
    return _typed(model.FACT_PAYMENT, keys, {**columns, **times, "payment_amount": amount, "paid": F.lit(True)})


def _typed(table: StarTable, keys: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """The columns of the model: the given ones, the key, and the key by a hundred for what is left."""
    small = (F.col("key") / 100).cast("int")
    given = {table.key: F.col("key"), **columns}
    return keys.select(*(given.get(one.name, small).cast(one.type.lake).alias(one.name) for one in table.columns))


def _measure(folder: str, rows: int, batch_id: int) -> dict[str, float]:
    """Seconds, the median of five: what people ask of the lake, and what a run asks."""
    duck = lake_query.connect(folder)
    session = spark.session(folder)
    lake = Lake(session)

    def ask(sql: str) -> Callable[[], object]:
        return lambda: duck.sql(sql).fetchall()

    def near() -> object:
        """A thousand keys read again in one place: their current versions."""
        keys = Values(range(rows // 2, rows // 2 + 1000))
        return lake.of_keys(model.FACT_PAYMENT, MAIN, keys).count()

    questions: dict[str, Callable[[], object]] = {
        "DuckDB: amount by year": ask("SELECT year(payment_date), sum(payment_amount) FROM fact_payment GROUP BY 1"),
        "DuckDB: all current payments": ask("SELECT count(*), sum(payment_amount) FROM fact_payment_current"),
        "DuckDB: one payment's history": ask(f"SELECT * FROM fact_payment_history WHERE payment_id = {rows // 2}"),
        "DuckDB: all transactions": ask("SELECT count(*), max(sales_order_id) FROM dim_transaction"),
        "Spark: a thousand keys near each other": near,
        "Spark: all transactions": lambda: lake.rows(model.DIM_TRANSACTION).agg(F.max("sales_order_id")).collect(),
        "Spark: rows of the last batch": lambda: (
            lake.rows(model.FACT_PAYMENT).where(F.col(BATCH_ID) == batch_id).agg(F.sum("payment_amount")).collect()
        ),
    }
    return {what: _median(question) for what, question in questions.items()}


def _median(question: Callable[[], object]) -> float:
    seconds = []
    question()  # the first time, files are opened and code is compiled
    for _ in range(_REPEATED):
        since = time.monotonic()
        question()
        seconds.append(time.monotonic() - since)
    return statistics.median(seconds)


if __name__ == "__main__":
    typer.run(main)
