"""The rows of totesys at the moment of the snapshot: over JDBC, by Spark's partitions side by side; or, where they are
few, over one connection and without Spark.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from pyspark.sql import DataFrame, SparkSession

from retail_etl import spark
from retail_etl.contract import SourceColumn
from retail_etl.errors import DatabaseError
from retail_etl.postgres import APPLICATION, is_refusal, quoted, reason
from retail_etl.source import Reading, Snapshot
from retail_etl.source_sql import exact

FEW = 5_000
"""So many rows, and no more, are here before Spark has planned how to read them."""

ROWS_PER_PARTITION = 250_000
FETCH_SIZE = 10_000

_JDBC_ERROR = "org.postgresql.util.PSQLException"


def read(session: SparkSession, snapshot: Snapshot, reading: Reading, columns: list[SourceColumn]) -> DataFrame:
    """The rows as one string column, each a JSON object that PostgreSQL itself makes.

    Numerics are text in it, so that no reader rounds them. Every partition adopts the snapshot.
    """
    frame = session.read.jdbc(
        snapshot.database.jdbc_url,
        f"(SELECT r.{quoted(reading.table.key)} AS partition_key, {_lines(reading, columns)}) q",
        predicates=_partitions(snapshot, reading),
        properties={
            "user": snapshot.database.user,
            "password": snapshot.database.password,
            "driver": "org.postgresql.Driver",
            "fetchsize": str(FETCH_SIZE),
            "ApplicationName": APPLICATION,
            "sessionInitStatement": (
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET TRANSACTION SNAPSHOT '{snapshot.id}'; "
                f"{snapshot.without_limits}; {snapshot.session}"
            ),
        },
    )
    return frame.select("value")


def read_few(snapshot: Snapshot, reading: Reading, columns: list[SourceColumn]) -> bytes:
    """The same as lines of text."""
    return "".join(f"{line}\n" for (line,) in snapshot.query(f"SELECT {_lines(reading, columns)}")).encode()


def _lines(reading: Reading, columns: list[SourceColumn]) -> str:
    """Of a SELECT: the rows (`r`) as one column, `value`."""
    return f"row_to_json(r)::text AS value FROM (SELECT {exact(columns)} FROM {reading.rows_in_source}) r"


@contextmanager
def being_read(snapshot: Snapshot) -> Iterator[None]:
    """Within the block, what the JDBC driver fails with in Spark, or a query fails with here, is a DatabaseError that
    names the source.

    Most often its connections were cut, or the one that holds the snapshot was, and nobody can adopt it any more.
    """
    try:
        yield
    except DatabaseError as error:
        if is_refusal(error) and "snapshot" not in reason(error):
            raise
        raise _broke_off(snapshot, reason(error)) from error
    except spark.FAILURES as error:
        if said := spark.said_by(_JDBC_ERROR, error):
            raise _broke_off(snapshot, said) from error
        raise


def _broke_off(snapshot: Snapshot, said: str) -> DatabaseError:
    return DatabaseError(f"Reading the {snapshot.database} broke off ({said}). Nothing is half done: run again.")


def _partitions(snapshot: Snapshot, reading: Reading) -> list[str]:
    """Predicates that cut the rows into ranges of the key, of about as many rows each."""
    parts = -(-(reading.rows or 0) // ROWS_PER_PARTITION)
    if parts <= 1:
        return ["true"]
    cuts = snapshot.percentiles(reading, [part / parts for part in range(1, parts)])
    inner = [f"partition_key > {low} AND partition_key <= {high}" for low, high in pairwise(cuts)]
    return [f"partition_key <= {cuts[0]}", *inner, f"partition_key > {cuts[-1]}"]
