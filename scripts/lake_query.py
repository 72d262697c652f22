"""Athena's SQL on a local lake: DuckDB reads the Iceberg tables, without Spark."""

from pathlib import Path

import duckdb
import duckdb_extensions
import sqlglot

from retail_etl import model
from retail_etl.errors import ConfigurationError, RetailEtlError
from retail_etl.lake import NAMESPACE
from retail_etl.schema import BATCH_ID, StarTable


class QueryError(RetailEtlError):
    """The SQL cannot be read, or names something that is not there."""


def connect(lake: str) -> duckdb.DuckDBPyConnection:
    """A connection that sees the lake's published tables, and `*_current` and `*_history` views of them."""
    if "://" in lake and not lake.startswith("file://"):
        raise ConfigurationError(f"{lake} is queried by Athena; this command reads lakes in folders.")
    folder = Path(lake.removeprefix("file://"))
    if not (folder / NAMESPACE).is_dir():
        raise ConfigurationError(f"There is no lake in {folder} yet: run the workflow first (etl.py run).")
    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        duckdb_extensions.import_extension(extension, con=connection)
        connection.load_extension(extension)
    connection.execute("SET TimeZone = 'UTC'")
    control = (model.DELETED_RECORD, model.QUARANTINE, model.QUALITY_RESULT)
    for table in (*control, *(table for table in model.STAR.values() if not table.is_control)):
        for statement in _views(table, folder):
            connection.execute(statement)
    return connection


def query(lake: str, sql: str) -> duckdb.DuckDBPyRelation:
    """The result of one query in Athena's SQL; QueryError says what is wrong with it."""
    try:
        (translated,) = sqlglot.transpile(sql, read="athena", write="duckdb")
        return connect(lake).sql(translated)
    except ValueError as error:
        raise QueryError("One statement at a time, please.") from error
    except (sqlglot.errors.SqlglotError, duckdb.Error) as error:
        raise QueryError(f"The query cannot be run: {error}") from error


def _views(table: StarTable, folder: Path) -> list[str]:
    metadata = folder / NAMESPACE / table.name
    quoted = str(metadata).replace("'", "''")
    source = f"iceberg_scan('{quoted}')" if _has_rows(metadata) else _empty(table)
    statements = [f"CREATE VIEW {table.name} AS SELECT * FROM {source}"]
    if table.is_control:
        return [*statements, *_CONTROL_VIEWS.get(table.name, ())]
    missing = f"SELECT record_id FROM missing WHERE table_name = '{table.sources[0]}'" if table.sources else ""
    there = f"{table.key} NOT IN ({missing})" if missing else "true"
    if not table.is_fact:
        return [*statements, f"CREATE VIEW {table.name}_current AS SELECT * FROM {table.name} WHERE {there}"]
    updated = f"(last_updated_date + CAST({table.last_updated_time} AS time))"
    over = f"OVER (PARTITION BY {table.key} ORDER BY {BATCH_ID})"
    return [
        *statements,
        f"CREATE VIEW {table.name}_history AS SELECT h.*, m.found_at AS deleted_at FROM (SELECT *, row_number() {over} "
        f"AS version, {updated} AS valid_from, lead({updated}) {over} AS valid_to, lead({BATCH_ID}) {over} IS NULL "
        f"AS is_current FROM {table.name}) h LEFT JOIN missing m ON h.is_current AND m.record_id = h.{table.key} "
        f"AND m.table_name = '{table.sources[0]}'",
        f"CREATE VIEW {table.name}_current AS SELECT * EXCLUDE (version, valid_from, valid_to, is_current, deleted_at) "
        f"FROM {table.name}_history WHERE is_current AND deleted_at IS NULL",
    ]


_MISSING = f"""
CREATE VIEW missing AS
SELECT table_name, record_id, max_by(found_at, {BATCH_ID}) AS found_at
  FROM deleted_record
 GROUP BY table_name, record_id
HAVING max_by(is_deleted, {BATCH_ID})
"""
"""The source rows that are deleted, as the last batch found them."""

_HELD = f"""
CREATE VIEW quarantine_current AS
SELECT * FROM quarantine
QUALIFY row_number() OVER (PARTITION BY table_name, record_id ORDER BY {BATCH_ID} DESC) = 1 AND is_held
"""
"""The source rows that are in quarantine, each in the state in which it was set aside last."""

_CONTROL_VIEWS = {"deleted_record": [_MISSING], "quarantine": [_HELD]}


def _has_rows(table: Path) -> bool:
    return any((table / "data").glob("**/*.parquet"))


def _empty(table: StarTable) -> str:
    columns = ", ".join(f"CAST(NULL AS {_duckdb_type(column.type.lake)}) AS {column.name}" for column in table.columns)
    return f"(SELECT {columns}, CAST(NULL AS bigint) AS {BATCH_ID} WHERE false)"


def _duckdb_type(lake_type: str) -> str:
    names = {"string": "varchar", "timestamp_ntz": "timestamp", "array<string>": "varchar[]"}
    return names.get(lake_type, lake_type)
