"""The lake: Iceberg tables made from the model, written on a branch per batch, published by moving `main` to it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import few_rows, frames, model
from retail_etl.counting import keys_in, settled
from retail_etl.errors import StateError
from retail_etl.history import without_equals
from retail_etl.lake_rows import MAIN, NAMESPACE, LakeRows, branch_of, each, heads_of
from retail_etl.runtime import Job
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.spark import CATALOG, is_for_few
from retail_etl.values import Values, is_among, values_of

__all__ = ["MAIN", "NAMESPACE", "REBUILD", "Lake", "Written", "branch_of"]

REBUILD = "rebuild"

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


class Lake(LakeRows):
    """The star tables of one lake. Readers see `main`; a batch is written and audited on a branch of its own."""

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

    # ------------------------------------------------------------------ writing on the branch of a batch

    def merge_dimension(self, table: StarTable, frame: DataFrame, batch_id: int, parent: str) -> Written | None:
        """Insert the dimension rows that are new and update those that differ; None, and no branch, where none does.

        `parent`: the reference that shows the rows as they were before this batch.
        """
        since = time.monotonic()
        if parent not in self.heads(table):
            return self._append(table, frame, batch_id, parent, since)
        if table.large and not is_for_few(self._spark):
            return self._merge_many(table, frame, batch_id, parent, since)
        rows = few_rows.of_frame(table, frame)
        # Small ones are read whole.
        keys = values_of(rows[table.key])
        there = self.few_of_keys(table, parent, keys) if table.large else self.all_of_few(table, parent)
        changed = few_rows.without_equals(table, rows, there)
        if not changed.num_rows:
            return None
        branch = branch_of(batch_id)
        self._open_branch(table, branch, parent)
        others = there.filter(pc.invert(is_among(there[table.key], values_of(changed[table.key]))))
        if others.num_rows == there.num_rows:
            few_rows.to_frame(self._spark, table, changed).writeTo(self._name(table, branch)).append()
        elif table.large:
            self._merge(table, few_rows.to_frame(self._spark, table, changed), branch)
        else:  # sooner than Spark merges
            whole = few_rows.to_frame(self._spark, table, pa.concat_tables([others, changed]))
            whole.writeTo(self._name(table, branch)).overwrite(F.lit(True))
        return Written(changed.num_rows, self.heads(table)[branch], _since(since))

    def _merge_many(
        self, table: StarTable, frame: DataFrame, batch_id: int, parent: str, since: float
    ) -> Written | None:
        there = self.of_keys(table, parent, keys_in(frame, table.key))
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
        self, table: StarTable, frame: DataFrame, batch_id: int, parent: str, seen_before: Callable[[], Values]
    ) -> Written | None:
        """Append the fact rows that differ from their key's current version; None, and no branch, where none does.

        `seen_before` gives the keys that an earlier batch may have seen in this very version. All others are new.
        """
        since = time.monotonic()
        if parent in self.heads(table) and (seen := seen_before()):
            if is_for_few(self._spark):
                current = self.few_of_keys(table, parent, seen)
                new = few_rows.without_equals(table, few_rows.of_frame(table, frame), current)
                frame = few_rows.to_frame(self._spark, table, new)
            else:
                frame = without_equals(table, frame, self.of_keys(table, parent, seen))
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
        iceberg = self.drop_branch(table, branch)
        head, opened = heads_of(iceberg).get(parent), iceberg.manageSnapshots()
        (opened.createBranch(branch) if head is None else opened.createBranch(branch, head)).commit()

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
        heads = heads_of(iceberg)
        main, is_as_audited = heads.get(MAIN), heads.get(branch) == snapshot_id
        parents = {known.snapshotId(): known.parentId() for known in each(iceberg.snapshots())}
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

    def drop_branch(self, table: StarTable, branch: str) -> Any:
        """Drop the branch of the table where it has one of that name. Gives Iceberg's object for the table."""
        iceberg = self._metadata(table)
        if branch in heads_of(iceberg):
            iceberg.manageSnapshots().removeBranch(branch).commit()
        return iceberg

    def discard(self, batch_ids: Sequence[int]) -> None:
        """Drop all that these batches wrote and did not publish."""
        for table in model.STAR.values():
            for batch_id in batch_ids:
                self.drop_branch(table, branch_of(batch_id))


def _lineage(snapshot_id: int | None, parents: Mapping[int, int | None]) -> Iterator[int]:
    """The snapshot and those that it came from, while they are kept."""
    while snapshot_id is not None:
        yield snapshot_id
        snapshot_id = parents.get(snapshot_id)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
