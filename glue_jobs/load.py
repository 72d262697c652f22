"""Load: all published batches that the warehouse does not hold yet, by parallel COPY, in one transaction.

`--rebuild true`: all of the lake instead, in the place of all that the warehouse holds.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import metrics, model, reconcile, runtime
from retail_etl.data_files import Slice
from retail_etl.errors import StateError
from retail_etl.lake import Lake
from retail_etl.raw import RawZone
from retail_etl.reconcile import Sides
from retail_etl.runtime import NOTHING_TO_DO, Job, Result
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.warehouse import IN_ORDER, Warehouse, open_warehouse


def run(job: Job) -> Result:
    """Bring the warehouse to the last published batch. The ledger in it says what it holds, whatever crashed."""
    zone = RawZone(job.option("lake"))
    anew = job.options.get("rebuild") == "true"
    since = time.monotonic()
    with open_warehouse(job.database("warehouse"), zone.lake_id()) as warehouse:
        loaded = 0 if anew else warehouse.loaded_until()
        batches = zone.published_after(loaded)
        tables = _written_by(zone, batches) if loaded else set(model.WAREHOUSE)
        rows = _load(job, warehouse, loaded, batches, tables, anew) if batches else {}
        seconds = round(time.monotonic() - since, 3)
        for batch_id in zone.waiting("load"):
            zone.finish(batch_id, "load", {"seconds": seconds, "tables": rows if batch_id in batches else {}})
    if not batches:
        return NOTHING_TO_DO
    metrics.tell_freshness(job.options.get("metrics_namespace"), zone.age_seconds(batches[-1]))
    return Result("succeeded", sum(rows.values()), tuple(batches))


def _written_by(zone: RawZone, batches: list[int]) -> set[str]:
    """The tables in which the batches wrote something: most batches leave most tables alone."""
    return {name for batch_id in batches for name in zone.expect_manifest(batch_id, "transform")["tables"]}


def _load(
    job: Job, warehouse: Warehouse, loaded: int, batches: list[int], tables: set[str], anew: bool
) -> dict[str, int]:
    lake = Lake.of(job)
    job.expect(lake.rows_to_look_at())

    def stage(table: StarTable) -> int:
        since = time.monotonic()
        job.progress.start(table.name)
        staged = warehouse.stage(table, _between(lake, table, loaded, batches[-1]))
        job.progress.finish(table.name, staged, time.monotonic() - since)
        return staged

    tasks = {table.name: partial(stage, table) for table in IN_ORDER if table.name in tables}
    with runtime.started(tasks) as staged:
        if anew:
            return warehouse.rebuild(batches, staged, partial(_audit, lake))
        return warehouse.commit(batches, staged)


def _between(lake: Lake, table: StarTable, after: int, until: int) -> Slice | DataFrame:
    """What batches after the one until the other published."""
    number = F.col(BATCH_ID)
    return lake.slice(table, after, until) or lake.rows(table).where((number > after) & (number <= until))


def _audit(lake: Lake, query: Callable[[str], Any]) -> None:
    sides = Sides(query, query, lake.current)
    if wrong := [table.name for table in reconcile.compared_tables() if reconcile.warehouse_ranges(table, sides)]:
        raise StateError(f"Built anew, {', '.join(wrong)} would not be as the lake is: nothing was changed.")


if __name__ == "__main__":
    runtime.main(run, ("lake",), warehouse_secret="", rebuild="", metrics_namespace="")
