"""What the lake holds at a reference, `main` or a batch's branch: its rows, its keys, and the files they lie in."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_etl import data_files, few_rows, model
from retail_etl.counting import frame_of
from retail_etl.data_files import Part, Slice
from retail_etl.history import latest
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.spark import CATALOG
from retail_etl.values import Values, bounds, unsigned

NAMESPACE = "star"
MAIN = "main"

_PASSED_BY = 200
"""So many rows that are only passed by cost what one does that is new."""

_FEW_KEYS = 20_000

_EPOCH = date(1970, 1, 1).toordinal()


class LakeRows:
    """The star tables of one lake, for reading."""

    def __init__(self, spark: SparkSession, namespace: str = NAMESPACE) -> None:
        self._spark = spark
        self.namespace = namespace

    def rows(self, table: StarTable, reference: str = MAIN) -> DataFrame:
        """All rows of the table, with `batch_id`, as `main` or a batch's branch shows them."""
        return self._spark.table(self._name(table, reference))

    def latest(self, table: StarTable, batch_ids: Sequence[int]) -> str:
        """What the table looks like after these batches: the branch of the last one that wrote it, else `main`."""
        heads = self.heads(table)
        return next((branch_of(batch) for batch in sorted(batch_ids, reverse=True) if branch_of(batch) in heads), MAIN)

    def heads(self, table: StarTable) -> dict[str, int]:
        """Branch → snapshot id; without `main` while nothing was ever published."""
        return heads_of(self._metadata(table))

    def rows_to_look_at(self) -> int:
        """What it costs to compare a batch with all versions in the tables that grow, as so many rows of a batch."""
        heads = (
            self._metadata(table).currentSnapshot() for table in model.STAR.values() if table.is_fact or table.large
        )
        return sum(int(head.summary().get("total-records") or 0) for head in heads if head) // _PASSED_BY

    def _metadata(self, table: StarTable) -> Any:
        """Iceberg's own object for the table, as it is now: it answers without a query."""
        jvm: Any = self._spark._jvm
        name = f"{CATALOG}.{self.namespace}.{table.name}"
        loaded = jvm.Spark3Util.loadIcebergTable(self._spark._jsparkSession, name)
        loaded.refresh()
        return loaded

    def _name(self, table: StarTable, reference: str = MAIN) -> str:
        name = f"{CATALOG}.`{self.namespace}`.`{table.name}`"
        return name if reference == MAIN else f"{name}.`branch_{reference}`"

    def _records(self, table: StarTable, snapshot_id: int, what: str) -> int:
        """A count of Iceberg's summary of a snapshot: `added-records`, `total-records`."""
        return int(self._metadata(table).snapshot(snapshot_id).summary().get(what) or 0)

    # ------------------------------------------------------------------ files

    def parts(self, table: StarTable, snapshot_id: int, batch_id: int) -> list[Part]:
        """The files in which readers of the snapshot find the batch's rows, and those of other batches perhaps."""
        return self._planned(table, snapshot_id, self._expressions.equal(BATCH_ID, batch_id), batch_id)

    def slice(self, table: StarTable, after: int, until: int) -> Slice | None:
        """What batches after the one until the other have published in the table, as it lies in data files. None where
        some row in those files is no longer meant: only Spark tells which.
        """
        make, head = self._expressions, self.heads(table).get(MAIN)
        wanted = self._both(make.greaterThan(BATCH_ID, after), make.lessThanOrEqual(BATCH_ID, until))
        parts = self._planned(table, head, wanted) if head is not None else []
        if not all(part.has_all_rows for part in parts):
            return None
        return Slice(tuple(parts), after, until, few_rows.schema_of(table), self._spark)

    @property
    def _expressions(self) -> Any:
        jvm: Any = self._spark._jvm
        return jvm.Expressions

    def _in_range(self, table: StarTable, low: int, high: int) -> Any:
        make = self._expressions
        return self._both(make.greaterThanOrEqual(table.key, low), make.lessThanOrEqual(table.key, high))

    def _both(self, one: Any, other: Any) -> Any:
        """Iceberg's `and`, which Python has a use of its own for."""
        return getattr(self._expressions, "and")(one, other)

    def _planned(self, table: StarTable, snapshot_id: int, where: Any, batch_id: int | None = None) -> list[Part]:
        jvm: Any = self._spark._jvm
        iceberg = self._metadata(table)
        planned = (
            iceberg.newScan()
            .useSnapshot(snapshot_id)
            .filter(where)
            .includeColumnStats(jvm.Collections.singletonList(BATCH_ID))
            .planFiles()
        )
        number = iceberg.schema().findField(BATCH_ID)
        try:
            return [_part(table, task, batch_id, jvm.Conversions, number) for task in each(planned)]
        finally:
            planned.close()

    # ------------------------------------------------------------------ look-ups by key

    def keys(self, table: StarTable, reference: str, asked: Values | None = None) -> Values:
        """The keys that the table has at the reference, in whatever version, or those of them that are asked for: no
        key ever leaves it.
        """
        head = self.heads(table).get(reference)
        if head is None or asked == Values():
            return Values()
        wanted = self._expressions.alwaysTrue() if asked is None else self._in_range(table, *bounds(asked))
        parts = self._planned(table, head, wanted)
        are_many = data_files.is_large(parts)
        found = data_files.keys(parts, self._spark if are_many else None)
        return found if asked is None else found & asked

    def of_keys(self, table: StarTable, reference: str, keys: Values) -> DataFrame:
        """The rows that have these keys at the reference; of a fact their last versions. Files that have none of them
        are not read; and where few are asked for, and little is to be read, Spark does not read it.
        """
        few = self._by_arrow(table, reference, keys)
        if few is not None:
            return few_rows.to_frame(self._spark, table, few)
        asked = frame_of(self._spark, keys, table.column(table.key)).withColumnRenamed("target", table.key)
        in_range = self.rows(table, reference).where(F.col(table.key).between(*bounds(keys)))
        found = in_range.join(asked, on=table.key, how="left_semi")
        return latest(table, found) if table.is_fact else found

    def few_of_keys(self, table: StarTable, reference: str, keys: Values) -> pa.Table:
        """The same in this process, where they are few."""
        few = self._by_arrow(table, reference, keys)
        return few_rows.of_frame(table, self.of_keys(table, reference, keys)) if few is None else few

    def all_of_few(self, table: StarTable, reference: str) -> pa.Table:
        """All rows at the reference, in this process, of a dimension that is not large."""
        few = self._by_arrow(table, reference, None)
        return few_rows.of_frame(table, self.rows(table, reference)) if few is None else few

    def _by_arrow(self, table: StarTable, reference: str, keys: Values | None) -> pa.Table | None:
        """The rows of these keys, or all; None where that is for Spark to read."""
        schema, head = few_rows.schema_of(table), self.heads(table).get(reference)
        if head is None or keys == Values():
            return schema.empty_table()
        wanted = self._expressions.alwaysTrue() if keys is None else self._in_range(table, *bounds(keys))
        parts = self._planned(table, head, wanted)
        are_few = (keys is None or len(keys) <= _FEW_KEYS) and not data_files.is_large(parts)
        if not (are_few and all(part.has_all_rows for part in parts)):
            return None
        if keys is None:
            return pa.Table.from_batches(data_files.all_rows(parts, schema), schema)
        found = pa.Table.from_batches(data_files.rows_with(parts, schema, keys), schema)
        return few_rows.latest(table, found) if table.is_fact else found

    # ------------------------------------------------------------------ what is there now

    def missing(self, source: str, reference: str) -> DataFrame:
        """The keys (`record_id`) of the source table's rows that are deleted, as the last batch found them."""
        return self._missing(reference).where(F.col("table_name") == source).select("record_id")

    def missing_keys(self, reference: str) -> dict[str, Values]:
        """The same of all source tables that have such rows, as keys."""
        head = self.heads(model.DELETED_RECORD).get(reference)
        if head is None or not self._records(model.DELETED_RECORD, head, "total-records"):
            return {}
        found: dict[str, Values] = {}
        for source, key in self._missing(reference).collect():
            found.setdefault(source, Values()).add(unsigned(key))
        return found

    def _missing(self, reference: str) -> DataFrame:
        events = self.rows(model.DELETED_RECORD, reference)
        last = events.groupBy("table_name", "record_id").agg(F.max_by("is_deleted", BATCH_ID).alias("is_deleted"))
        return last.where("is_deleted").select("table_name", "record_id")

    def current(self, table: StarTable) -> DataFrame:
        """What readers take for the present: the latest version of every row that still exists in the source."""
        rows = self.rows(table)
        present = (latest(table, rows) if table.is_fact else rows).select(*table.column_names)
        missing = self.missing(table.sources[0], MAIN).withColumnRenamed("record_id", table.key)
        return present.join(missing, table.key, "left_anti")

    # ------------------------------------------------------------------ the calendar

    def date_span(self, facts: Mapping[str, str], by: Sequence[str] = ()) -> DataFrame:
        """`first_date` and `last_date`, a row for each fact table that has rows. `facts`: name → reference; `by`:
        columns of which each value has a row of its own.
        """
        spans = []
        for name, reference in facts.items():
            table = model.STAR[name]
            first = F.least(*(F.min(column) for column in table.date_columns)).alias("first_date")
            last = F.greatest(*(F.max(column) for column in table.date_columns)).alias("last_date")
            spans.append(self.rows(table, reference).groupBy(*by).agg(first, last))
        return reduce(DataFrame.unionByName, spans).where(F.col("first_date").isNotNull())

    def has_days_of(self, facts: Mapping[str, int], batch_id: int, reference: str) -> bool:
        """Whether the calendar, at the reference, has no hole, and all days between the first and the last one that the
        batch wrote in facts. `facts`: name → snapshot.
        """
        if reference not in self.heads(model.DIM_DATE):
            return False
        ends: list[int] = []
        for table, snapshot_id in ((model.STAR[name], snapshot_id) for name, snapshot_id in facts.items()):
            span = data_files.span(self.parts(table, snapshot_id, batch_id), table.date_columns)
            if span is None:
                return False
            ends += [day.toordinal() - _EPOCH for day in span]
        calendar = self.keys(model.DIM_DATE, reference)
        first, last = bounds(calendar) if calendar else (0, -1)
        return first <= min(ends) and max(ends) <= last and len(calendar) == last - first + 1


def branch_of(batch_id: int) -> str:
    """The name of a batch's branch."""
    return f"batch_{batch_id}"


def heads_of(iceberg: Any) -> dict[str, int]:
    """Branch → snapshot id, of Iceberg's object for a table."""
    return {entry.getKey(): entry.getValue().snapshotId() for entry in each(iceberg.refs().entrySet())}


def each(collection: Any) -> Iterator[Any]:
    """What a Java collection holds. py4j's own way asks until Java raises, which takes it 25 ms."""
    iterator = collection.iterator()
    while iterator.hasNext():
        yield iterator.next()


def _part(table: StarTable, task: Any, batch_id: int | None, conversions: Any, number: Any) -> Part:
    """`number`: Iceberg's field of `batch_id`."""
    file, deletes = task.file(), tuple(delete.location() for delete in each(task.deletes()))
    noted = file.upperBounds()
    # Not `get`, which py4j looks up in Python's way.
    bound = None if noted is None else noted.getOrDefault(number.fieldId(), None)
    last_batch = None if bound is None else conversions.fromByteBuffer(number.type(), bound)
    return Part(table.name, file.location(), file.fileSizeInBytes(), batch_id, deletes, last_batch=last_batch)
