"""Objects of the raw zone and data files of the lake, read by Arrow where they lie."""

import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache, reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from retail_etl import model
from retail_etl.errors import StateError, StorageError
from retail_etl.schema import BATCH_ID, SourceTable, StarTable
from retail_etl.storage import Bucket, Folder, Storage
from retail_etl.values import Values, is_among, values_of

_LARGE = 100 << 20
"""Bytes that Spark's workers read rather than this process."""

_CURE = "Restore it from a backup, or have the lake made anew from the raw zone: etl.py rebuild lake."


@dataclass(frozen=True)
class Part:
    """An object that holds rows of a table: JSON of the raw zone, or a data file of the lake, of which only the rows of
    `batch_id` are meant. `size`: its bytes. `deletes`: the files that may say of its rows that they are gone. `copy`:
    where who parses the JSON leaves the rows as Parquet. `last_batch`: the last one that has rows in a data file, where
    that is known.
    """

    table: str
    uri: str
    size: int
    batch_id: int | None = None
    deletes: tuple[str, ...] = ()
    copy: str = ""
    last_batch: int | None = None

    @property
    def of(self) -> SourceTable | StarTable:
        """Its table, in the model."""
        return model.SOURCE[self.table] if self.table in model.SOURCE else model.STAR[self.table]

    @property
    def has_all_rows(self) -> bool:
        """Whether no file of deletes speaks of it."""
        return not any(_speaks_of(self.uri, delete) for delete in self.deletes)


@dataclass(frozen=True)
class Slice:
    """What batches wrote into a table, those after `after` until `until`, where it lies: in these data files, between
    rows of other batches perhaps. `schema`: its columns. `session`: whose workers read it where it is large.
    """

    parts: tuple[Part, ...]
    after: int
    until: int
    schema: pa.Schema
    session: SparkSession

    @property
    def is_large(self) -> bool:
        """Whether it is worth the time that workers take to start."""
        return is_large(self.parts)


def is_large(parts: Iterable[Part]) -> bool:
    """Whether Spark's workers should read the objects rather than this process."""
    return sum(part.size for part in parts) > _LARGE


def read(uri: str) -> bytes:
    """The object's bytes; StateError where it is gone."""
    storage, name = _at(uri)
    data = storage.read(name)
    if data is None:
        raise StateError(f"{uri} is gone. The next run reads the source again; or restore it.")
    return data


def create(uri: str, data: bytes) -> bool:
    """Write a new object; False, and nothing written, where one of that name exists."""
    storage, name = _at(uri)
    return storage.create(name, data)


@contextmanager
def parquet(uri: str) -> Iterator[pq.ParquetFile]:
    """The data file of the lake, of which only what is asked for is read; StorageError where it is gone or damaged."""
    storage, name = _at(uri)
    try:
        file = storage.open(name)
        if file is None:
            raise StorageError(f"{uri} of the lake is gone. {_CURE}")
        with file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{uri} of the lake cannot be read ({error}). {_CURE}") from error


def keys(parts: Sequence[Part], session: SparkSession | None = None) -> Values:
    """The keys of all rows in data files of the lake, those of rows that were replaced or deleted since among them. On
    the session's workers, or here, where it is None.
    """
    if session is None or not parts:
        found: Iterable[Values] = map(_keys, parts)
    else:
        found = session.sparkContext.parallelize(parts, len(parts)).map(_keys).collect()
    return reduce(operator.or_, found, Values())


def _keys(part: Part) -> Values:
    key = part.of.key
    with parquet(part.uri) as file:
        batches = file.iter_batches(columns=[key], use_threads=False)
        return reduce(operator.or_, (values_of(batch.column(key)) for batch in batches), Values())


def all_rows(parts: Iterable[Part], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of data files, with the columns of the schema."""
    for part in parts:
        with parquet(part.uri) as file:
            for rows in file.iter_batches(columns=schema.names, use_threads=False):
                yield _as(schema, rows)


def rows_with(parts: Iterable[Part], schema: pa.Schema, keys: Values) -> Iterator[pa.RecordBatch]:
    """The rows of data files that have one of the keys, with the columns of the schema; without versions of a row that
    a later batch has replaced, where no more is read for it.
    """
    wanted = keys
    newest_first = sorted(parts, key=_last_batch, reverse=True)
    for part, others in zip(newest_first, [*map(_last_batch, newest_first[1:]), -math.inf], strict=False):
        found = Values()
        with parquet(part.uri) as file:
            for rows in _with_keys(file, part.of.key, schema.names, wanted):
                yield _as(schema, rows)
                # What lies in the other files is of earlier batches than these.
                found |= values_of(rows.filter(pc.greater_equal(rows[BATCH_ID], others))[part.of.key])
        wanted = wanted - found
        if not wanted:
            return


def _last_batch(part: Part) -> float:
    return math.inf if part.last_batch is None else part.last_batch


def _with_keys(file: pq.ParquetFile, key: str, columns: list[str], keys: Values) -> Iterator[pa.RecordBatch]:
    for group in range(file.num_row_groups):
        are_wanted = is_among(file.read_row_group(group, columns=[key]).column(key), keys)
        if pc.any(are_wanted).as_py():
            yield from file.read_row_group(group, columns=columns).filter(are_wanted).to_batches()


def span(parts: Iterable[Part], columns: Sequence[str]) -> tuple[date, date] | None:
    """The first and the last day that data files have in these columns; None where their ends do not tell."""
    found = [_ends(part, columns) for part in parts]
    if not all(found):
        return None
    days = [day for ends in found for day in ends or ()]
    return (min(days), max(days)) if days else None


def _ends(part: Part, columns: Sequence[str]) -> list[Any] | None:
    """The least and the greatest values in the columns of a data file, group by group, as Parquet notes them at its
    end; None where it does not of all.
    """
    with parquet(part.uri) as file:
        places = [file.schema_arrow.get_field_index(column) for column in columns]
        if -1 in places:
            return None
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        told = [group.column(place).statistics for group in groups for place in places]
    if not all(one is not None and one.has_min_max for one in told):
        return None
    return [end for one in told for end in (one.min, one.max)]


def rows_of_batches(part: Part, schema: pa.Schema, after: int, until: int) -> Iterator[pa.RecordBatch]:
    """The rows of a data file that batches after the one until the other wrote, with the columns of the schema."""
    with parquet(part.uri) as file:
        for batch in file.iter_batches(columns=list({*schema.names, BATCH_ID}), use_threads=False):
            number = batch.column(BATCH_ID)
            meant = pc.and_(pc.greater(number, after), pc.less_equal(number, until))
            rows = batch if pc.all(meant, skip_nulls=False).as_py() else batch.filter(meant)
            if rows.num_rows:
                yield _as(schema, rows)


def _as(schema: pa.Schema, rows: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of the schema; NULL in one that the table did not have yet when the file was written."""
    there = set(rows.schema.names)
    columns = [
        rows.column(field.name).cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


# ---------------------------------------------------------------------------- objects


def _at(uri: str) -> tuple[Storage, str]:
    """The storage of an object, and its name there."""
    if uri.startswith("s3://"):
        bucket, _, name = uri.removeprefix("s3://").partition("/")
        return _bucket(bucket, os.environ.get("AWS_ENDPOINT_URL")), name
    path = Path(uri.removeprefix("file:"))
    return Folder(path.parent), path.name


@cache
def _bucket(name: str, endpoint: str | None) -> Bucket:
    """One client for all of a bucket's objects, as long as its server is the same."""
    return Bucket(name, "")


def _speaks_of(uri: str, deletes: str) -> bool:
    """Whether a file of Iceberg's deletes by position names the data file. Deletes of another kind may mean any."""
    named = _named_by(deletes)
    return named is None or uri in named


@lru_cache(maxsize=256)
def _named_by(deletes: str) -> frozenset[str] | None:
    """The data files of which a file of deletes by position speaks, for it never changes; None for another kind."""
    with parquet(deletes) as file:
        if "file_path" not in file.schema_arrow.names:
            return None
        return frozenset(pc.unique(file.read(columns=["file_path"])["file_path"]).to_pylist())
