"""The lake: Iceberg tables made from the model, written on a branch per batch, published by moving `main` to it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from retail_etl import data_files, frames, model
from retail_etl.counting import frame_of, keys_in, settled
from retail_etl.data_files import Part, Slice
from retail_etl.errors import StateError
from retail_etl.history import latest, without_equals
from retail_etl.runtime import Job
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.spark import CATALOG
from retail_etl.values import Values, bounds, unsigned

NAMESPACE = "star"
MAIN = "main"
REBUILD = "rebuild"

_PASSED_BY = 200
"""So many rows that are only passed by cost what one does that is new."""

_FEW_KEYS = 20_000

_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    # A batch brings few rows of a large dimension: marking them costs less than writing its files anew.
    "write.merge.mode": "merge-on-read",
    "write.distribution-mode": "none",
}


@dataclass(frozen=True)
class Written:
    """What a batch wrote into one table: new versions, or rows of a dimension that are new or changed."""

    rows: int
    snapshot_id: int
    seconds: float


class Lake:
    """The star tables of one lake. Readers see `main`; a batch is written and audited on a branch of its own."""

    def __init__(self, spark: SparkSession, namespace: str = NAMESPACE) -> None:
        self._spark = spark
        self.namespace = namespace

    @classmethod
    def of(cls, job: Job) -> "Lake":
        """The lake that the job works on; its option `lake_database` names the database of the tables."""
        return cls(job.spark, job.options.get("lake_database") or NAMESPACE)

    # ------------------------------------------------------------------ tables

    def create_missing(self, *, filled: bool = False) -> None:
        """Make the namespace and the tables that are not there yet. `filled`: whether a batch was published, so that
        some must be there; StateError where none is.
        """
        there = self._tables()
        if filled and not there & model.STAR.keys():
            raise StateError(
                f"Batches were published, and {self.namespace} has no table. If make empty-transformed was cut off, "
                "run it again; else etl.py rebuild lake brings them back."
            )
        properties = ", ".join(f"'{name}' = '{value}'" for name, value in _PROPERTIES.items())
        for table in (*model.STAR.values(), model.QUALITY_RESULT):
            if table.name not in there:
                self._spark.sql(
                    f"CREATE TABLE {self._name(table)} ({table.spark_schema('lake')}, {BATCH_ID} BIGINT) "
                    f"USING iceberg TBLPROPERTIES ({properties})"
                )

    def _tables(self) -> set[str]:
        """The tables of the namespace, which is made where it is missing. The catalog is asked, without a query."""
        java: Any = self._spark._jsparkSession
        catalog = java.sessionState().catalogManager().catalog(CATALOG)
        context: Any = self._spark.sparkContext
        namespace = context._gateway.new_array(context._jvm.String, 1)
        namespace[0] = self.namespace
        if not catalog.namespaceExists(namespace):
            self._spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.`{self.namespace}`")
        return {identifier.name() for identifier in catalog.listTables(namespace)}

    def rows(self, table: StarTable, reference: str = MAIN) -> DataFrame:
        """All rows of the table, with `batch_id`, as `main` or a batch's branch shows them."""
        return self._spark.table(self._name(table, reference))

    def latest(self, table: StarTable, batch_ids: Sequence[int]) -> str:
        """What the table looks like after these batches: the branch of the last one that wrote it, else `main`."""
        heads = self.heads(table)
        return next((branch_of(batch) for batch in sorted(batch_ids, reverse=True) if branch_of(batch) in heads), MAIN)

    def heads(self, table: StarTable) -> dict[str, int]:
        """Branch → snapshot id; without `main` while nothing was ever published."""
        return _heads(self._metadata(table))

    def rows_to_look_at(self) -> int:
        """What it costs to compare a batch with all versions in the tables that grow, as so many rows of a batch."""
        heads = (
            self._metadata(table).currentSnapshot() for table in model.STAR.values() if table.is_fact or table.large
        )
        return sum(int(head.summary().get("total-records") or 0) for head in heads if head) // _PASSED_BY

    @property
    def _expressions(self) -> Any:
        jvm: Any = self._spark._jvm
        return jvm.Expressions

    def _metadata(self, table: StarTable) -> Any:
        """Iceberg's own object for the table, as it is now: it answers without a query."""
        jvm: Any = self._spark._jvm
        name = f"{CATALOG}.{self.namespace}.{table.name}"
        loaded = jvm.Spark3Util.loadIcebergTable(self._spark._jsparkSession, name)
        loaded.refresh()
        return loaded

    def parts(self, table: StarTable, snapshot_id: int, batch_id: int) -> list[Part]:
        """The files in which readers of the snapshot find the batch's rows, and those of other batches perhaps."""
        return self._planned(table, snapshot_id, self._expressions.equal(BATCH_ID, batch_id), batch_id)

    def slice(self, table: StarTable, after: int, until: int) -> Slice | None:
        """What batches after the one until the other have published in the table, as it lies in data files. None where
        some row in those files is no longer meant: only Spark tells which.
        """
        schema = to_arrow_schema(frames.parsed(f"{table.spark_schema('lake')}, `{BATCH_ID}` bigint"))
        make, head = self._expressions, self.heads(table).get(MAIN)
        wanted = self._both(make.greaterThan(BATCH_ID, after), make.lessThanOrEqual(BATCH_ID, until))
        parts = self._planned(table, head, wanted) if head is not None else []
        if not all(part.has_all_rows for part in parts):
            return None
        return Slice(tuple(parts), after, until, schema, self._spark)

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

    def _in_range(self, table: StarTable, low: int, high: int) -> Any:
        make = self._expressions
        return self._both(make.greaterThanOrEqual(table.key, low), make.lessThanOrEqual(table.key, high))

    def _both(self, one: Any, other: Any) -> Any:
        """Iceberg's `and`, which Python has a use of its own for."""
        return getattr(self._expressions, "and")(one, other)

    def _planned(self, table: StarTable, snapshot_id: int, where: Any, batch_id: int | None = None) -> list[Part]:
        planned = self._metadata(table).newScan().useSnapshot(snapshot_id).filter(where).planFiles()
        try:
            return [_part(table, task, batch_id) for task in _each(planned.iterator())]
        finally:
            planned.close()

    # ------------------------------------------------------------------ writing on the branch of a batch

    def merge_dimension(self, table: StarTable, frame: DataFrame, batch_id: int, parent: str) -> Written | None:
        """Insert the dimension rows that are new and update those that differ; None, and no branch, where none does.

        `parent`: the reference that shows the rows as they were before this batch.
        """
        since = time.monotonic()
        if parent not in self.heads(table):
            return self._append(table, frame, batch_id, parent, since)
        # Small ones are read whole.
        there = self.of_keys(table, parent, keys_in(frame, table.key)) if table.large else self.rows(table, parent)
        changed, count, keys = settled(without_equals(table, frame, there), table.key)
        try:
            if count == 0:
                return None
            branch = branch_of(batch_id)
            self._open_branch(table, branch, parent)
            if self.keys(table, parent, keys):
                self._merge(table, changed, branch)
            else:  # all are new: nobody has to look for them among what is there
                changed.writeTo(self._name(table, branch)).append()
        finally:
            changed.unpersist()
        return Written(count, self.heads(table)[branch], _since(since))

    def _merge(self, table: StarTable, rows: DataFrame, reference: str) -> None:
        rows.createOrReplaceTempView(f"changed_{table.name}")
        self._spark.sql(
            f"MERGE INTO {self._name(table, reference)} AS t USING changed_{table.name} AS s "
            f"ON t.`{table.key}` = s.`{table.key}` "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )

    def append_versions(
        self, table: StarTable, frame: DataFrame, batch_id: int, parent: str, seen_before: DataFrame
    ) -> Written | None:
        """Append the fact rows that differ from their key's current version; None, and no branch, where none does.

        `seen_before`: the keys (one column, the fact's key) that an earlier batch may have seen in this very version.
        All others need no look-up.
        """
        since = time.monotonic()
        if parent in self.heads(table) and (seen := keys_in(seen_before, table.key)):
            frame = without_equals(table, frame, latest(table, self.of_keys(table, parent, seen)))
        return self._append(table, frame, batch_id, parent, since)

    def append(self, table: StarTable, frame: DataFrame, batch_id: int, parent: str) -> Written | None:
        """Append the rows as they are; None, and no branch, where there is none."""
        return self._append(table, frame, batch_id, parent, time.monotonic())

    def _append(self, table: StarTable, rows: DataFrame, batch_id: int, parent: str, since: float) -> Written | None:
        branch = branch_of(batch_id)
        self._open_branch(table, branch, parent)
        rows.writeTo(self._name(table, branch)).append()
        written = self._written(table, branch, since)
        if written.rows == 0:
            self.drop_branch(table, branch)
            return None
        return written

    def _written(self, table: StarTable, branch: str, since: float) -> Written:
        head = self.heads(table)[branch]
        return Written(self._records(table, head, "added-records"), head, _since(since))

    def _open_branch(self, table: StarTable, branch: str, parent: str) -> None:
        """A fresh branch from the head of `parent`; what an earlier try left on it is gone."""
        self.drop_branch(table, branch)
        iceberg = self._metadata(table)
        head, opened = _heads(iceberg).get(parent), iceberg.manageSnapshots()
        (opened.createBranch(branch) if head is None else opened.createBranch(branch, head)).commit()

    def of_keys(self, table: StarTable, reference: str, keys: Values) -> DataFrame:
        """The rows at the reference that have these keys. Files that have none of them are not read; and where few are
        asked for, and little is to be read, Spark does not read it.
        """
        rows, head = self.rows(table, reference), self.heads(table).get(reference)
        if head is None or not keys:
            return rows.limit(0)
        key, (low, high) = F.col(table.key), bounds(keys)
        parts = self._planned(table, head, self._in_range(table, low, high))
        are_few = len(keys) <= _FEW_KEYS and not data_files.is_large(parts)
        if are_few and all(part.has_all_rows for part in parts):
            return frames.of_arrow(
                self._spark, data_files.rows_with(parts, to_arrow_schema(rows.schema), keys), rows.schema
            )
        asked = frame_of(self._spark, keys, table.column(table.key)).withColumnRenamed("target", table.key)
        return rows.where(key.between(low, high)).join(asked, on=table.key, how="left_semi")

    def _records(self, table: StarTable, snapshot_id: int, what: str) -> int:
        """A count of Iceberg's summary of a snapshot: `added-records`, `total-records`."""
        return int(self._metadata(table).snapshot(snapshot_id).summary().get(what) or 0)

    # ------------------------------------------------------------------ all of it anew

    def replace(self, table: StarTable, frame: DataFrame) -> Written | None:
        """Write the frame, on the branch `rebuild`, in the place of all that the table holds. Readers see none of it
        before it is published. None, and no branch, where there is no row and never was.
        """
        since = time.monotonic()
        self._open_branch(table, REBUILD, MAIN)
        frame.writeTo(self._name(table, REBUILD)).overwrite(F.lit(True))
        written = self._written(table, REBUILD, since)
        if written.rows == 0 and MAIN not in self.heads(table):
            self.drop_branch(table, REBUILD)
            return None
        return written

    # ------------------------------------------------------------------ deletions

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

    # ------------------------------------------------------------------ what gates found

    def record(self, results: Sequence[tuple[Any, ...]], layer: str, batch_id: int) -> None:
        """Write what a gate found of a batch into `quality_result`, in the place of what an earlier try wrote. Readers
        see it at once: a batch that is rejected is told of here.
        """
        table = model.QUALITY_RESULT
        schema = f"{table.spark_schema('lake')}, {BATCH_ID} bigint"
        rows = frames.of_rows(self._spark, [(*result, batch_id) for result in results], schema).coalesce(1)
        make, head = self._expressions, self.heads(table).get(MAIN)
        of_batch = self._both(make.equal(BATCH_ID, batch_id), make.equal("layer", layer))
        # Overwriting would take a file of this batch alone.
        if head is not None and self._planned(table, head, of_batch):
            self._spark.sql(f"DELETE FROM {self._name(table)} WHERE {BATCH_ID} = {batch_id} AND layer = '{layer}'")
        rows.writeTo(self._name(table)).append()

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

    def has_days_of(self, span: DataFrame, reference: str) -> bool:
        """Whether the calendar has all days of a date span at the reference, and no hole."""
        ((first, last),) = span.agg(F.min("first_date"), F.max("last_date")).collect()
        days = self.rows(model.DIM_DATE, reference).agg(F.min("date_id"), F.max("date_id"), F.count_distinct("date_id"))
        ((since, until, count),) = days.collect()
        if first is None:
            return True
        return bool(count) and since <= first and last <= until and count == (until - since).days + 1

    # ------------------------------------------------------------------ publishing

    def publish(self, branch: str, snapshots: Mapping[str, int], batch_id: int | None = None) -> None:
        """Move `main` of each table to what the branch holds, dimensions first. `snapshots`: table name → snapshot id.
        Where `main` has moved meanwhile, what the batch wrote on the branch is written upon it, in one commit.

        Doing it again, or going on after a crash, is safe: what `main` contains already counts as done.
        """
        for table in model.STAR.values():
            if table.name in snapshots:
                self._publish_table(table, branch, snapshots[table.name], batch_id)

    def _publish_table(self, table: StarTable, branch: str, snapshot_id: int, batch_id: int | None) -> None:
        iceberg = self._metadata(table)
        heads = _heads(iceberg)
        main, is_as_audited = heads.get(MAIN), heads.get(branch) == snapshot_id
        parents = {known.snapshotId(): known.parentId() for known in iceberg.snapshots()}
        if snapshot_id in _lineage(main, parents):
            pass
        elif is_as_audited and (main is None or main in _lineage(snapshot_id, parents)):
            iceberg.manageSnapshots().fastForwardBranch(MAIN, branch).removeBranch(branch).commit()
            return
        elif batch_id is None or not self.rows(table).where(F.col(BATCH_ID) == batch_id).head(1):
            if batch_id is None or not is_as_audited:
                where = f"{table.name}, branch {branch}, snapshot {snapshot_id}"
                raise StateError(f"Somebody else wrote to what was audited ({where}): no more of it is published.")
            self._write_again(table, branch, batch_id)
        self.drop_branch(table, branch)

    def _write_again(self, table: StarTable, branch: str, batch_id: int) -> None:
        """The batch's rows from its branch, upon `main` as it is now."""
        rows = self.rows(table, branch).where(F.col(BATCH_ID) == batch_id)
        if table.is_fact or table.is_control:
            rows.writeTo(self._name(table)).append()
        else:
            self._merge(table, rows, MAIN)

    def drop_branch(self, table: StarTable, branch: str) -> None:
        """Drop the branch of the table where it has one of that name."""
        iceberg = self._metadata(table)
        if branch in _heads(iceberg):
            iceberg.manageSnapshots().removeBranch(branch).commit()

    def discard(self, batch_ids: Sequence[int]) -> None:
        """Drop all that these batches wrote and did not publish."""
        for table in model.STAR.values():
            for batch_id in batch_ids:
                self.drop_branch(table, branch_of(batch_id))

    def _name(self, table: StarTable, reference: str = MAIN) -> str:
        name = f"{CATALOG}.`{self.namespace}`.`{table.name}`"
        return name if reference == MAIN else f"{name}.`branch_{reference}`"


def branch_of(batch_id: int) -> str:
    """The name of a batch's branch."""
    return f"batch_{batch_id}"


def _heads(iceberg: Any) -> dict[str, int]:
    return {name: ref.snapshotId() for name, ref in iceberg.refs().items()}


def _each(iterator: Any) -> Iterator[Any]:
    """What a Java iterator gives."""
    while iterator.hasNext():
        yield iterator.next()


def _part(table: StarTable, task: Any, batch_id: int | None) -> Part:
    file, deletes = task.file(), tuple(delete.location() for delete in _each(task.deletes().iterator()))
    return Part(table.name, file.location(), file.fileSizeInBytes(), batch_id, deletes)


def _lineage(snapshot_id: int | None, parents: Mapping[int, int | None]) -> Iterator[int]:
    """The snapshot and those that it came from, while they are kept."""
    while snapshot_id is not None:
        yield snapshot_id
        snapshot_id = parents.get(snapshot_id)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
