"""Athena's SQL on a local lake: DuckDB reads the Iceberg tables, without Spark."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extensions
import pyarrow as pa
import sqlglot
from sqlglot import exp

from retail_etl.errors import ConfigurationError
from retail_etl.lake import NAMESPACE
from retail_etl.postgres import quoted
from retail_etl.schema import BATCH_ID, StarTable
from scripts import lake_views
from scripts.moments import Moment
from scripts.statements import explained, parse

NO_VALUES: Sequence[Any] = ()


def connect(lake: str, moment: Moment | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that sees the lake's published tables, and `*_current` and `*_history` views of them; at a moment:
    as they were then. A dimension of which no snapshot is so old is not there.
    """
    if is_remote(lake):
        raise ConfigurationError(f"{lake} is queried by Athena; this command reads lakes in folders.")
    folder = Path(lake.removeprefix("file://"))
    if not (folder / NAMESPACE).is_dir():
        raise ConfigurationError(f"There is no lake in {folder} yet: run the workflow first (etl.py run).")
    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        duckdb_extensions.import_extension(extension, con=connection)
        connection.load_extension(extension)
    connection.execute("SET TimeZone = 'UTC'")
    create_views(connection, lambda table: _rows(table, folder / NAMESPACE / table.name, moment))
    return connection


def create_views(connection: duckdb.DuckDBPyConnection, rows: Callable[[StarTable], str | None]) -> None:
    """Make the lake's tables and views in a database. `rows`: what a table is there, None where it is not."""
    gone = set()
    for name, table in lake_views.TABLES.items():
        if (source := rows(table)) is None:
            gone.add(f"{name}_current")
        else:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")
    for name, sql in lake_views.views().items():
        if name not in gone:
            connection.execute(f"CREATE VIEW {name} AS {translated(sqlglot.parse_one(sql, read='athena'))}")


def query(
    lake: str, sql: str, values: Sequence[Any] = NO_VALUES, moment: Moment | None = None
) -> duckdb.DuckDBPyRelation:
    """The result of one query in Athena's SQL, `values` in the place of its `?`; QueryError says what is wrong."""
    return run(connect(lake, moment), parse(sql), values, moment)


def read(lake: str, sql: str, values: Sequence[Any] = NO_VALUES, moment: Moment | None = None) -> pa.RecordBatchReader:
    """The same as a stream of Arrow batches. The values are computed as it is read."""
    statement = parse(sql)
    found = run(connect(lake, moment), statement, values, moment)
    try:
        return found.to_arrow_reader()
    except duckdb.Error as error:
        raise explained(str(error), statement, moment) from error


def run(
    connection: duckdb.DuckDBPyConnection,
    statement: exp.Expr,
    values: Sequence[Any] = NO_VALUES,
    moment: Moment | None = None,
) -> duckdb.DuckDBPyRelation:
    """The same on a connection that is open."""
    try:
        found = connection.sql(translated(statement), params=list(values) or None)
        types = dict(zip(map(quoted, found.columns), found.types, strict=True))
        if len(types) < len(found.columns):  # two columns have the same name
            return found
        # Athena's sums and counts of integers are bigint.
        cast = (f"CAST({name} AS bigint) AS {name}" if kind == "HUGEINT" else name for name, kind in types.items())
        return found.project(", ".join(cast))
    except duckdb.Error as error:
        raise explained(str(error), statement, moment) from error


def translated(statement: exp.Expr) -> str:
    """A statement for DuckDB."""
    return statement.sql("duckdb")


def is_remote(lake: str) -> bool:
    """Whether the lake is no folder of this machine."""
    return "://" in lake and not lake.startswith("file://")


def empty(table: StarTable) -> str:
    """The table without a row, for DuckDB."""
    typed = ((column.name, _duckdb_type(column.type.lake)) for column in table.columns)
    columns = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in typed)
    return f"(SELECT {columns}, CAST(NULL AS bigint) AS {BATCH_ID} WHERE false)"


def _rows(table: StarTable, folder: Path, moment: Moment | None) -> str | None:
    if not any((folder / "data").glob("**/*.parquet")):
        return empty(table)
    place = str(folder).replace("'", "''")
    if moment is None:
        return f"iceberg_scan('{place}')"
    if moment.reads_batches(table):
        return f"iceberg_scan('{place}') WHERE {BATCH_ID} <= {moment.batch_id}"
    snapshots = [snapshot for at, snapshot in _published(folder) if at <= moment.milliseconds]
    return f"iceberg_scan('{place}', snapshot_from_id => {snapshots[-1]})" if snapshots else None


def _published(folder: Path) -> Iterator[tuple[int, int]]:
    """When `main` was moved (milliseconds since 1970), and to which snapshot, in order."""
    version = (folder / "metadata" / "version-hint.text").read_text(encoding="utf-8").strip()
    metadata = json.loads((folder / "metadata" / f"v{version}.metadata.json").read_text(encoding="utf-8"))
    for entry in metadata["snapshot-log"]:
        yield entry["timestamp-ms"], entry["snapshot-id"]


def _duckdb_type(lake_type: str) -> str:
    names = {"string": "varchar", "timestamp_ntz": "timestamp", "array<string>": "varchar[]"}
    return names.get(lake_type, lake_type)
