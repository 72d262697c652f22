"""COPY of a frame, or of what batches wrote into the lake, to a PostgreSQL table, in PostgreSQL's binary format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from retail_etl import spark
from retail_etl.data_files import Part, Slice, rows_of_batches
from retail_etl.postgres import FAILURES, Database, close

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_BYTES_PER_CONNECTION = 16 << 20


def copy(rows: DataFrame | Slice, database: Database, target: str, times: Iterable[str] = ()) -> int:
    """COPY a frame, or what batches wrote, into a table with the same columns. By a connection and a transaction for
    each partition or share of the files; or one for all of them, where a frame has few rows, or files few bytes.

    `times`: the columns whose text is a time of day for PostgreSQL. Arrow's columns become COPY's binary rows outside
    of Python, and the server has no text to read: a third of what CSV costs it. Gives the number of rows.
    """
    of_day = frozenset(times)
    if isinstance(rows, Slice):
        return _copy_slice(rows, database, target, of_day)
    return _copy_frame(rows, database, target, of_day)


def _copy_frame(rows: DataFrame, database: Database, target: str, of_day: frozenset[str]) -> int:
    if spark.is_for_few(rows.sparkSession):
        # A Python worker takes longer to start than these take to come here.
        found: Iterable[RecordBatch] = rows._collect_as_arrow()
        return send(found, database, target, of_day)

    def send_partition(batches: "Iterable[RecordBatch]") -> "Iterator[RecordBatch]":
        import pyarrow as pa

        sent = send(batches, database, target, of_day)
        yield pa.RecordBatch.from_pydict({"rows": [sent]}, schema=pa.schema([("rows", pa.int64())]))

    counts = rows.mapInArrow(send_partition, "rows bigint").collect()
    return sum(count.rows for count in counts)


def _copy_slice(of: Slice, database: Database, target: str, of_day: frozenset[str]) -> int:
    """By whoever reads the files: no row passes through the JVM."""
    schema, after, until = of.schema, of.after, of.until  # all that a worker needs of it

    def send_files(parts: Iterable[Part]) -> int:
        batches = (batch for part in parts for batch in rows_of_batches(part, schema, after, until))
        return send(batches, database, target, of_day)

    if not of.is_large:
        return send_files(of.parts)
    shares = _shares(of.parts)
    return sum(of.session.sparkContext.parallelize(shares, len(shares)).map(send_files).collect())


def _shares(parts: Sequence[Part]) -> list[list[Part]]:
    """The files, the largest first, dealt out to as many connections as their bytes deserve."""
    size = sum(part.size for part in parts)
    shares: list[list[Part]] = [[] for _ in range(min(len(parts), -(-size // _BYTES_PER_CONNECTION)))]
    for place, part in enumerate(sorted(parts, key=lambda part: -part.size)):
        shares[place % len(shares)].append(part)
    return shares


def send(batches: "Iterable[RecordBatch]", database: Database, target: str, times: frozenset[str]) -> int:
    """COPY batches by one connection, in one transaction; none is opened where there is no batch. Gives the rows."""
    sent = 0
    rest = iter(batches)

    def counted(first: "RecordBatch") -> "Iterator[RecordBatch]":
        nonlocal sent
        for batch in chain((first,), rest):
            sent += batch.num_rows
            yield with_times(batch, times)

    for first in rest:  # once: the COPY takes the others
        connection = database.connect()
        try:
            connection.run(f"COPY {target} FROM STDIN WITH (FORMAT binary)", stream=encoded(counted(first)))
        except FAILURES as error:
            raise database.explain(error) from error
        finally:
            close(connection)
    return sent


def encoded(batches: "Iterable[RecordBatch]") -> Iterator[bytes]:
    """What COPY's binary format makes of them, a piece for each; nothing where there is no batch."""
    from pgpq import ArrowToPostgresBinaryEncoder

    encoder = None
    for batch in batches:
        if encoder is None:
            encoder = ArrowToPostgresBinaryEncoder(batch.schema)
            yield encoder.write_header()
        yield encoder.write_batch(batch)
    if encoder is not None:
        yield encoder.finish()


def with_times(batch: "RecordBatch", columns: Iterable[str]) -> "RecordBatch":
    """The batch with these columns, texts `HH:MM:SS[.ffffff]`, as times of day; ArrowInvalid where one is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in columns:
        # Arrow reads no time of day from text, but a moment, and fast.
        moments = pc.binary_join_element_wise("1970-01-01", batch[name], " ").cast(pa.timestamp("us"))
        batch = batch.set_column(batch.schema.get_field_index(name), name, moments.cast(pa.time64("us")))
    return batch
