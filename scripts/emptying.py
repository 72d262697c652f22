"""Empty the raw zone, the lake or the warehouse, so that the next run is right or refuses with the reason.

warehouse   The star's tables, deletions and ledger become empty; tables and rights stay. The next run loads all
            published batches again.
lake        Tables and files go, and with them the manifests that say that they hold something. The next run takes all
            batches from the raw zone again; the warehouse, whose ledger knows the batches, stays as it is. What the
            raw gate measured stands in the raw zone's `validation_raw.json` alone afterwards.
raw         The history itself: only where the lake is empty, for its rows would be of batches that nobody knows. The
            next run reads the source whole, as another lake, which a warehouse of the old one refuses until it is
            rebuilt or emptied.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

import boto3

from retail_etl import lease, model
from retail_etl.errors import StateError, StorageError
from retail_etl.lake import NAMESPACE
from retail_etl.ledger import CONTROL
from retail_etl.postgres import FAILURES, Database, close, quoted
from retail_etl.warehouse import LOCK
from retail_etl.warehouse_ddl import SCHEMA
from scripts import deployment
from scripts.deployment import Deployment

_T = TypeVar("_T")

_LAST = (lease.NAME, f".{lease.NAME}.lock")  # held while all else goes
_TABLES = (f"{NAMESPACE}/", f"{NAMESPACE}.db/")  # as Iceberg's catalogs of files and of Glue put them
_OF_THE_LAKE = ("transform.json", "publish_intent.json", "publish.json")


@dataclass(frozen=True)
class Objects:
    """The objects below a folder or an `s3://bucket/prefix` whose name, from there, is wanted."""

    location: str
    is_wanted: Callable[[str], bool]

    def sizes(self) -> dict[str, int]:
        """Name → bytes, of all versions in a bucket that keeps them."""
        sizes: dict[str, int] = {}
        for name, size, _ in self._found():
            sizes[name] = sizes.get(name, 0) + size
        return sizes

    def remove(self) -> None:
        """Remove them, with all their versions. StorageError where one cannot be removed."""
        parts = urlparse(self.location)
        if parts.scheme == "s3":
            self._remove_versions(parts.netloc)
            return
        for name, _, _ in self._found():
            (_folder(self.location) / name).unlink()
        for folder in sorted(_folder(self.location).rglob("*/"), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _remove_versions(self, bucket: str) -> None:
        s3: Any = boto3.client("s3")
        try:
            # All are listed before the first goes: a listing that shrinks may skip some.
            for some in _portions([version for _, _, version in self._found()], 1000):
                answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
                for refused in answer.get("Errors", []):
                    raise StorageError(f"s3://{bucket}/{refused['Key']} cannot be removed: {refused['Message']}.")
        except deployment.FAILURES as error:
            raise StorageError(f"s3://{bucket} cannot be emptied: {error}.") from error

    def _found(self) -> Iterator[tuple[str, int, dict[str, str]]]:
        parts = urlparse(self.location)
        found = _versions(parts.netloc, parts.path) if parts.scheme == "s3" else _files(_folder(self.location))
        return (one for one in found if self.is_wanted(one[0]))


def _folder(location: str) -> Path:
    parts = urlparse(location)
    return Path(parts.path if parts.scheme else location)


def _files(folder: Path) -> Iterator[tuple[str, int, dict[str, str]]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return ((path.relative_to(folder).as_posix(), path.stat().st_size, {}) for path in paths)


def _versions(bucket: str, path: str) -> Iterator[tuple[str, int, dict[str, str]]]:
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    try:
        for page in boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for found in chain(page.get("Versions", []), page.get("DeleteMarkers", [])):
                version = {"Key": str(found["Key"]), "VersionId": str(found["VersionId"])}
                yield version["Key"].removeprefix(prefix), int(str(found.get("Size", 0))), version
    except deployment.FAILURES as error:
        raise StorageError(f"s3://{bucket} cannot be listed: {error}.") from error


@dataclass(frozen=True)
class Raw:
    """The raw zone at a location, with its manifests; `lake` is what was made from it."""

    location: str
    lake: "Lake"

    @property
    def _objects(self) -> Objects:
        return Objects(self.location, lambda name: name not in _LAST and not self.lake.holds(name))

    def describe(self) -> str:
        """What will go."""
        return f"raw zone {self.location}: {_summary(self._objects.sizes())}"

    def empty(self) -> None:
        """Remove it. StateError where the lake is not empty, or somebody works on it."""
        if self.lake.is_filled():
            raise StateError(
                f"The lake made from {self.location} is not empty: without the raw zone its rows would be of batches "
                "that nobody knows. Empty the lake first (make empty-transformed), or all at once (make empty-all)."
            )
        with lease.hold(self.location, "empty the raw zone"):
            self._objects.remove()


@dataclass(frozen=True)
class Lake:
    """The star's tables, made from the raw zone at a location: below it, or in the deployment's bucket. Those on S3 are
    in the Glue Data Catalog besides.
    """

    raw: str
    deployed: Deployment | None = None

    @property
    def _objects(self) -> Objects:
        where = f"s3://{self.deployed.buckets['lake']}" if self.deployed else self.raw
        return Objects(where, lambda name: bool(self.deployed) or self.holds(name))

    def holds(self, name: str) -> bool:
        """Whether a name at the raw zone's location is of the lake's tables."""
        return not self.deployed and name.startswith(_TABLES)

    def tables(self) -> list[str]:
        """The names of its tables."""
        if urlparse(self.raw).scheme != "s3":
            return sorted({name.split("/")[1] for name in self._objects.sizes()})
        glue = self._catalog()
        try:
            found = [
                page["TableList"] for page in glue.get_paginator("get_tables").paginate(DatabaseName=self._database)
            ]
        except glue.exceptions.EntityNotFoundException:
            return []
        except deployment.FAILURES as error:
            raise StateError(f"The catalog's {self._database} cannot be read: {error}.") from error
        return sorted(table["Name"] for table in chain.from_iterable(found) if self._is_ours(table))

    def is_filled(self) -> bool:
        """Whether there is any table or file of it."""
        return bool(self.tables() or self._objects.sizes())

    def describe(self) -> str:
        """What will go."""
        return f"lake {self._objects.location}: {len(self.tables())} tables, {_summary(self._objects.sizes())}"

    def empty(self) -> None:
        """Remove tables and files, then what says in the raw zone that the batches are in them. StateError where
        somebody works on it. Where it ends early, the next run refuses and says that it has to be run again.
        """
        with lease.hold(self.raw, "empty the lake"):
            if urlparse(self.raw).scheme == "s3":
                self._drop(self.tables())
            self._objects.remove()
            Objects(
                self.raw, lambda name: name.startswith("batches/") and name.rpartition("/")[2] in _OF_THE_LAKE
            ).remove()

    @property
    def _database(self) -> str:
        return self.deployed.lake_database if self.deployed else NAMESPACE

    def _catalog(self) -> Any:
        return self.deployed.client("glue") if self.deployed else boto3.client("glue")

    def _is_ours(self, table: Any) -> bool:
        """The deployment's database is its own; another one may have tables of other lakes."""
        place = table.get("StorageDescriptor", {}).get("Location", "")
        return bool(self.deployed) or place.startswith(f"{self.raw.rstrip('/')}/")

    def _drop(self, tables: list[str]) -> None:
        glue = self._catalog()
        try:
            for some in _portions(tables, 100):
                answer = glue.batch_delete_table(DatabaseName=self._database, TablesToDelete=some)
                for refused in answer.get("Errors", []):
                    raise StateError(f"The table {refused['TableName']} cannot be dropped: {refused['ErrorDetail']}.")
        except deployment.FAILURES as error:
            raise StateError(f"The tables of {self._database} cannot be dropped: {error}.") from error


@dataclass(frozen=True)
class Warehouse:
    """The star in the warehouse, with deletions and ledger."""

    database: Database

    def rows(self) -> dict[str, int]:
        """Table that is there → its rows."""
        return self._with(lambda run: {name: run(f"SELECT count(*) FROM {name}")[0][0] for name in _there(run)})

    def describe(self) -> str:
        """What will go."""
        rows = self.rows()
        return f"{self.database}: {sum(rows.values()):,} rows in {len(rows)} tables, the ledger among them"

    def empty(self) -> None:
        """Empty the tables, in one transaction. StateError where a load works on it."""

        def truncate(run: Callable[..., Any]) -> None:
            if not run("SELECT pg_try_advisory_lock(:lock)", lock=LOCK)[0][0]:
                raise StateError(f"A load works on the {self.database}: wait until it is done.")
            if tables := _there(run):
                run(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")

        self._with(truncate)

    def _with(self, work: Callable[[Callable[..., Any]], Any]) -> Any:
        connection = self.database.connect()
        try:
            return work(connection.run)
        except FAILURES as error:
            raise self.database.explain(error) from error
        finally:
            close(connection)


def _there(run: Callable[..., Any]) -> list[str]:
    """The quoted names of the star's tables, `deleted_record`, the ledger and what a load left of its staging."""
    star = [table.name for table in model.WAREHOUSE.values() if not table.is_control]
    found = run(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
        "AND (table_schema = :public AND table_name = ANY(:star) OR table_schema = :control) ORDER BY 1, 2",
        public=SCHEMA,
        star=star,
        control=CONTROL,
    )
    return [quoted(schema, name) for schema, name in found]


def _portions(everything: Sequence[_T], size: int) -> Iterator[list[_T]]:
    """As many at a time as AWS takes in one call."""
    return (list(everything[start : start + size]) for start in range(0, len(everything), size))


def _summary(sizes: Mapping[str, int]) -> str:
    return f"{len(sizes):,} objects, {sum(sizes.values()):,} bytes"
