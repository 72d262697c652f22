"""The warehouse's tables and views, made from the model; and whether tables that somebody else made fit it."""

from collections.abc import Callable, Iterator
from typing import Any

from retail_etl import model
from retail_etl.ledger import CONTROL, LEDGER
from retail_etl.postgres import names, quoted
from retail_etl.schema import BATCH_ID, StarTable

SCHEMA = "public"

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE 'nextval' END
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE n.nspname = :schema AND c.relname = ANY(:tables)
 ORDER BY c.relname, a.attnum
"""

_UNIQUE = """
SELECT c.relname, a.attname
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
 WHERE n.nspname = :schema AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL
"""

# What PostgreSQL calls the types, and wider ones that hold the same.
_FITTING = {
    "varchar": ("character varying", "text"),
    "time": ("time without time zone",),
    "integer": ("integer", "bigint"),
    "numeric(10,2)": ("numeric(10,2)", "numeric"),
}


def ddl() -> Iterator[str]:
    """Statements that make what is missing of the warehouse, in an order that works; doing them again is harmless."""
    yield f"CREATE SCHEMA IF NOT EXISTS {quoted(CONTROL)}"
    yield (
        f"CREATE TABLE IF NOT EXISTS {LEDGER} ("
        "batch_id bigint PRIMARY KEY, lake_id text NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now())"
    )
    yield _create_table(model.DELETED_RECORD)
    yield _missing_view()
    for table in model.WAREHOUSE.values():
        if table.is_control:
            continue
        yield _create_table(table)
        if table.is_fact:
            yield (
                f"CREATE INDEX IF NOT EXISTS {quoted(f'{table.name}_versions')} ON {quoted(SCHEMA, table.name)} "
                f"({quoted(table.key)}, {quoted(table.serial or '')} DESC)"
            )
            yield _history_view(table)
        yield _current_view(table)


def qualified(table: StarTable) -> str:
    """The table's quoted name with its schema."""
    return quoted(CONTROL if table.is_control else SCHEMA, table.name)


def _create_table(table: StarTable) -> str:
    lines = [f"{quoted(table.serial)} serial PRIMARY KEY"] if table.serial else []
    for column in table.columns:
        line = f"{quoted(column.name)} {column.type.warehouse}"
        if table.identity == (column.name,):
            line += " PRIMARY KEY"
        elif not column.nullable:
            line += " NOT NULL"
        if table.enforced(column):
            line += f" REFERENCES {quoted(SCHEMA, column.referenced_table)} ({quoted(column.referenced_column)})"
        lines.append(line)
    if table.is_control:
        lines += [f"{quoted(BATCH_ID)} bigint NOT NULL", f"PRIMARY KEY ({names(table.identity)})"]
    return f"CREATE TABLE IF NOT EXISTS {qualified(table)} ({', '.join(lines)})"


def _missing_view() -> str:
    return (
        f"CREATE OR REPLACE VIEW {quoted(CONTROL, 'missing')} AS SELECT table_name, record_id, found_at FROM ("
        "SELECT DISTINCT ON (table_name, record_id) table_name, record_id, is_deleted, found_at"
        f" FROM {qualified(model.DELETED_RECORD)} ORDER BY table_name, record_id, batch_id DESC) last WHERE is_deleted"
    )


def _missing(table: StarTable, alias: str) -> str:
    """The condition that joins `etl.missing m` to a row of the table."""
    source = table.sources[0].replace("'", "''")
    return f"m.table_name = '{source}' AND m.record_id = {alias}.{quoted(table.key)}"


def _current_view(table: StarTable) -> str:
    view, rows = quoted(SCHEMA, f"{table.name}_current"), quoted(SCHEMA, table.name)
    if table.is_fact:
        key, serial = quoted(table.key), quoted(table.serial or "")
        rows = f"(SELECT DISTINCT ON ({key}) * FROM {rows} ORDER BY {key}, {serial} DESC)"
    there = f" WHERE NOT EXISTS (SELECT FROM etl.missing m WHERE {_missing(table, 't')})" if table.sources else ""
    return f"CREATE OR REPLACE VIEW {view} AS SELECT t.* FROM {rows} t{there}"


def _history_view(table: StarTable) -> str:
    key, serial = quoted(table.key), quoted(table.serial or "")
    # By name: a column that somebody adds to the table would move those behind, which a view cannot follow.
    columns = names((table.serial or "", *table.column_names), "f.")
    updated = f"({quoted('last_updated_date')} + {quoted(table.last_updated_time)})"
    following = f"OVER (PARTITION BY {key} ORDER BY {serial})"
    return (
        f"CREATE OR REPLACE VIEW {quoted(SCHEMA, f'{table.name}_history')} AS "
        "SELECT h.*, m.found_at AS deleted_at FROM ("
        f"SELECT {columns}, row_number() {following} AS version, {updated} AS valid_from, lead({updated}) {following} "
        f"AS valid_to, lead({serial}) {following} IS NULL AS is_current FROM {quoted(SCHEMA, table.name)} f) h "
        f"LEFT JOIN etl.missing m ON h.is_current AND {_missing(table, 'h')}"
    )


# ---------------------------------------------------------------------------- tables that somebody else made


def check(run: Callable[..., Any]) -> list[str]:
    """What keeps the star's tables, as they are in the database, from holding what the model says; a sentence each.

    `run` runs SQL with parameters and gives the rows.
    """
    tables = [table for table in model.WAREHOUSE.values() if not table.is_control]
    found: dict[str, dict[str, tuple[str, bool, str | None]]] = {table.name: {} for table in tables}
    for name, column, kind, not_null, default in run(_COLUMNS, schema=SCHEMA, tables=list(found)):
        found[name][column] = (kind, not_null, default)
    unique = {(name, column) for name, column in run(_UNIQUE, schema=SCHEMA)}
    there = [table for table in tables if found[table.name]]
    return [difference for table in there for difference in _differences(table, found[table.name], unique)]


def _differences(
    table: StarTable, found: dict[str, tuple[str, bool, str | None]], unique: set[tuple[str, str]]
) -> Iterator[str]:
    expected = {column.name: column for column in table.columns}
    where = f"{SCHEMA}.{table.name}"
    for column in table.columns:
        fitting = _FITTING.get(column.type.warehouse, (column.type.warehouse,))
        if column.name not in found:
            yield f"{where}.{column.name}: expected {fitting[0]}, but missing."
        elif (actual := found[column.name])[0] not in fitting:
            yield f"{where}.{column.name}: expected {fitting[0]}, found {actual[0]}."
        elif actual[1] and column.nullable:
            yield (
                f"{where}.{column.name}: expected a column that takes NULL, found NOT NULL. "
                f"ALTER TABLE {where} ALTER COLUMN {column.name} DROP NOT NULL."
            )
    for name, (_, not_null, default) in found.items():
        if name == table.serial:
            if "nextval" not in (default or ""):
                yield f"{where}.{name}: expected serial, found a column that does not count by itself."
        elif name not in expected and not_null and default is None:
            yield (
                f"{where}.{name}: unknown, and must not be NULL: nobody would fill it. Give it a default, or "
                f"ALTER TABLE {where} ALTER COLUMN {name} DROP NOT NULL."
            )
    if table.serial and table.serial not in found:
        yield f"{where}.{table.serial}: expected serial, but missing."
    if not table.is_fact and (table.name, table.key) not in unique:
        yield f"{where}.{table.key}: must be unique (a primary key)."
