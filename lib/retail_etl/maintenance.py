"""Maintenance: small files put together, old snapshots given up, and what crashed runs left behind removed.

Readers see the same rows before and after, and a batch that waits for its gate keeps its branch (see `Lake.publish`).
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pyspark.sql import Row, SparkSession

from retail_etl import model, runtime
from retail_etl.lake import REBUILD, Lake
from retail_etl.raw import STAGES, RawZone
from retail_etl.runtime import Progress
from retail_etl.schema import BATCH_ID, StarTable
from retail_etl.spark import CATALOG
from retail_etl.storage import Storage, Stored, open_storage

TABLES = {table.name: table for table in (*model.STAR.values(), model.QUALITY_RESULT)}

DEBRIS_AGE = timedelta(days=3)
"""What nothing refers to, and is younger, stays: the lease says that nobody is writing it, and may be wrong."""

# Sorted, some 1.5 million facts: who looks a key up opens one file or two (docs/maintenance.md has the figures).
_TARGET_BYTES = 32 * 2**20
_SMALL_BYTES = _TARGET_BYTES * 3 // 4  # Iceberg takes what is smaller for a file to be put together with others
_SMALL_FILES = 5


@dataclass(frozen=True)
class Keep:
    """Which snapshots stay for time travel: those of the last days, and the last so many of each table."""

    days: int
    snapshots: int


@dataclass(frozen=True)
class Files:
    """What a table's `main` consists of. `small`: data files that would rather be one."""

    rows: int
    data: int
    small: int
    deletes: int
    bytes: int
    manifests: int


@dataclass(frozen=True)
class Maintained:
    """What was done to a table, or would be: the files that went into larger ones, the snapshots that were given up,
    the files that no snapshot names, the branches that nobody needs any more.
    """

    before: Files
    after: Files
    compacted: int
    expired: int
    orphans: int
    branches: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.compacted or self.expired or self.orphans or self.branches)


class Maintenance:
    """Of one lake. `dry_run`: everything is found, and nothing is done."""

    def __init__(self, spark: SparkSession, lake: Lake, zone: RawZone, keep: Keep, *, dry_run: bool) -> None:
        self._spark = spark
        self._lake = lake
        self._zone = zone
        self._keep = keep
        self._dry_run = dry_run
        self._now = datetime.now(UTC)

    def tables(self, progress: Progress) -> dict[str, Maintained]:
        """Maintain all tables, side by side."""

        def one(table: StarTable) -> Maintained:
            since = time.monotonic()
            progress.start(table.name)
            done = self.maintain(table)
            progress.finish(table.name, done.after.rows, time.monotonic() - since)
            return done

        return runtime.side_by_side({name: partial(one, table) for name, table in TABLES.items()})

    def maintain(self, table: StarTable) -> Maintained:
        """Maintain one table; what was cut off at any point is safe, and is done by the next time."""
        branches = self._drop_branches(table)
        before = self._files(table)
        compacted = self._compact(table, before)
        expired = self._expire(table)
        orphans = self._remove_orphans(table)
        after = before if self._dry_run else self._files(table)
        return Maintained(before, after, compacted, expired, orphans, branches)

    # ------------------------------------------------------------------ branches

    def _drop_branches(self, table: StarTable) -> tuple[str, ...]:
        """Those of batches that are published or rejected, and of a rebuild: this run has the lease, so it died."""
        done = tuple(sorted(filter(self._is_done, self._lake.heads(table))))
        for branch in () if self._dry_run else done:
            self._lake.drop_branch(table, branch)
        return done

    def _is_done(self, branch: str) -> bool:
        if branch == REBUILD:
            return True
        found = re.fullmatch(r"batch_(\d+)", branch)
        if found is None:
            return False
        batch_id = int(found.group(1))
        return bool(self._zone.rejection(batch_id) or self._zone.manifest(batch_id, "publish"))

    # ------------------------------------------------------------------ files

    def _files(self, table: StarTable) -> Files:
        name = f"{CATALOG}.{self._lake.namespace}.{table.name}"
        found = self._spark.sql(
            "SELECT coalesce(sum(if(content = 0, record_count, -record_count)), 0) AS rows, "
            "count_if(content = 0) AS data, "
            f"count_if(content = 0 AND file_size_in_bytes < {_SMALL_BYTES}) AS small, "
            "count_if(content <> 0) AS deletes, coalesce(sum(file_size_in_bytes), 0) AS bytes, "
            f"(SELECT count(*) FROM {name}.manifests) AS manifests FROM {name}.files"
        ).collect()[0]
        return Files(**found.asDict())

    def _compact(self, table: StarTable, files: Files) -> int:
        """Put small files together, and rewrite those that have rows marked as deleted. Gives how many went in."""
        if not files.deletes and files.small < _SMALL_FILES:
            return 0
        if self._dry_run:
            return files.small
        order = ", ".join(f"{column} ASC" for column in table.identity)
        options = {
            "target-file-size-bytes": _TARGET_BYTES,
            "min-input-files": 2 if files.deletes else _SMALL_FILES,
            "delete-file-threshold": 1,
        }
        given = ", ".join(f"'{name}', '{value}'" for name, value in options.items())
        rewritten = self._call(
            "rewrite_data_files", table, "strategy => 'sort'", f"sort_order => '{order}'", f"options => map({given})"
        )
        self._call("rewrite_position_delete_files", table, "options => map('rewrite-all', 'true')")
        self._call("rewrite_manifests", table)
        return int(rewritten[0].rewritten_data_files_count)

    # ------------------------------------------------------------------ snapshots

    def _expire(self, table: StarTable) -> int:
        """Give up the snapshots that nobody keeps. The heads of branches, and what is tagged, stay."""
        before = self._now - timedelta(days=self._keep.days)
        jvm: Any = self._spark._jvm
        loaded = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(
            self._spark._jsparkSession, f"{CATALOG}.{self._lake.namespace}.{table.name}"
        )
        planned = loaded.expireSnapshots().expireOlderThan(int(before.timestamp() * 1000))
        count: int = planned.retainLast(self._keep.snapshots).apply().size()
        if count and not self._dry_run:
            self._call(
                "expire_snapshots",
                table,
                _older_than(before),
                f"retain_last => {self._keep.snapshots}",
                "stream_results => true",
            )
        return count

    def _remove_orphans(self, table: StarTable) -> int:
        # By prefix: on Glue the files are listed as Iceberg itself reads them, not by Hadoop's client.
        options = ("prefix_listing => true", f"dry_run => {str(self._dry_run).lower()}")
        return len(self._call("remove_orphan_files", table, _older_than(self._now - DEBRIS_AGE), *options))

    def _call(self, procedure: str, table: StarTable, *arguments: str) -> list[Row]:
        given = ", ".join((f"table => '{self._lake.namespace}.{table.name}'", *arguments))
        return self._spark.sql(f"CALL {CATALOG}.system.{procedure}({given})").collect()

    # ------------------------------------------------------------------ the raw zone

    def raw_zone(self) -> dict[str, Stored]:
        """Remove what runs that died left beside the tables; gives name → file."""
        storage = open_storage(self._zone.location)
        found = debris(storage, self._now - DEBRIS_AGE)
        if not self._dry_run:
            storage.remove(list(found))
        return found


def debris(storage: Storage, before: datetime) -> dict[str, Stored]:
    """Rows and verdicts of batches for which no manifest names any, copies of rows that are not needed any more, and
    halves of objects.

    An id is claimed once, and a stage names all objects in a batch's folder: one that it does not name is of a batch
    that has no such manifest at all.
    """
    stages: dict[str, set[str]] = {}
    found: dict[str, Stored] = {}
    for name, file in storage.files("batches/").items():
        folder, _, last = name.rpartition("/")
        if last.startswith(".") and last.endswith(".tmp"):
            found[name] = file
        else:
            stages.setdefault(folder.removeprefix("batches/"), set()).add(last.removesuffix(".json"))
    for batch, done in stages.items():
        if not done.intersection(STAGES):  # with a later manifest, that of the extraction was lost, and may come back
            for table in model.SOURCE:
                found |= storage.files(f"raw/{table}/{BATCH_ID}={batch}/")
        if not done.intersection(STAGES[1:]):
            found |= storage.files(f"verdicts/{BATCH_ID}={batch}/")
    over = {batch for batch, done in stages.items() if done.intersection(("rejected", *STAGES[2:]))}
    for name, file in storage.files("parsed/").items():
        if name.split("/")[1].removeprefix(f"{BATCH_ID}=") in over:
            found[name] = file
    return {name: file for name, file in found.items() if file.changed_at < before}


def _older_than(moment: datetime) -> str:
    return f"older_than => TIMESTAMP '{moment.isoformat(sep=' ', timespec='milliseconds')}'"
