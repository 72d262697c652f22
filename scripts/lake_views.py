"""The lake's views in Athena's SQL, made from the model: `*_current`, what still exists as it is now, and `*_history`,
the validity of each version. Athena and DuckDB (`lake_query`) have the same ones.
"""

from collections.abc import Iterator

from retail_etl import model
from retail_etl.postgres import names, quoted
from retail_etl.schema import BATCH_ID, TIMESTAMP, StarTable

TABLES: dict[str, StarTable] = {**model.STAR, model.QUALITY_RESULT.name: model.QUALITY_RESULT}
"""Every table of the lake by name."""

MICROSECONDS, MILLISECONDS = "timestamp(6)", "timestamp(3)"
"""What the lake's times are, and what a view in the Data Catalog may have: Athena refuses finer ones there."""

_VERSION = ("version", "valid_from", "valid_to", "is_current", "deleted_at")


def views(moment: str = MICROSECONDS) -> dict[str, str]:
    """View → its query, each after those that it reads. `moment`: the type of its times."""
    return dict(_views(moment))


def columns() -> dict[str, tuple[str, ...]]:
    """Table or view → its columns."""
    tables = {name: (*table.column_names, BATCH_ID) for name, table in TABLES.items()}
    found = {**tables, "missing": ("table_name", "record_id", "found_at")}
    for view in views():
        table, _, kind = view.rpartition("_")
        if table in tables:
            found[view] = (*tables[table], *(_VERSION if kind == "history" else ()))
    return found


def _views(moment: str) -> Iterator[tuple[str, str]]:
    yield "missing", _missing(moment)
    yield f"{model.QUARANTINE.name}_current", _held(model.QUARANTINE, moment)
    for table in model.STAR.values():
        if table.is_fact:
            yield f"{table.name}_history", _history(table, moment)
        if not table.is_control:
            yield f"{table.name}_current", _current_version(table) if table.is_fact else _existing(table)


def _columns(table: StarTable) -> str:
    return names((*table.column_names, BATCH_ID))


def _missing(moment: str) -> str:
    """The source rows that are deleted, as the last batch found them."""
    return (
        f"SELECT table_name, record_id, CAST(max_by(found_at, {BATCH_ID}) AS {moment}) AS found_at\n"
        "  FROM deleted_record\n GROUP BY table_name, record_id\n"
        f"HAVING max_by(is_deleted, {BATCH_ID})"
    )


def _held(table: StarTable, moment: str) -> str:
    """The source rows that are in quarantine, each in the state in which it was set aside last."""
    number = f"row_number() OVER (PARTITION BY table_name, record_id ORDER BY {BATCH_ID} DESC)"
    times = {
        quoted(column.name): f"CAST({quoted(column.name)} AS {moment}) AS {quoted(column.name)}"
        for column in table.columns
        if column.type is TIMESTAMP
    }
    shown = ", ".join(times.get(name, name) for name in _columns(table).split(", "))
    return (
        f"SELECT {shown}\n  FROM (SELECT {_columns(table)}, {number} AS recency FROM {table.name})\n"
        " WHERE recency = 1 AND is_held"
    )


def _existing(table: StarTable) -> str:
    """The rows of a dimension that the source still has. The calendar has no source."""
    rows = f"SELECT {_columns(table)}\n  FROM {table.name}"
    if not table.sources:
        return rows
    missing = f"SELECT record_id FROM missing WHERE table_name = '{table.sources[0]}'"
    return f"{rows}\n WHERE {quoted(table.key)} NOT IN ({missing})"


def _history(table: StarTable, moment: str) -> str:
    """All versions: in order of their batches, for that is the order in which they were true."""
    # A date and a time of day have no sum in Athena.
    text = f"concat(CAST(last_updated_date AS varchar), ' ', {quoted(table.last_updated_time)})"
    updated = f"CAST({text} AS {moment})"
    over = f"OVER (PARTITION BY {quoted(table.key)} ORDER BY {BATCH_ID})"
    return (
        f"SELECT h.*, m.found_at AS deleted_at\n  FROM (SELECT {_columns(table)},\n"
        f"               row_number() {over} AS version,\n"
        f"               {updated} AS valid_from,\n"
        f"               lead({updated}) {over} AS valid_to,\n"
        f"               lead({BATCH_ID}) {over} IS NULL AS is_current\n"
        f"          FROM {table.name}) h\n"
        f"  LEFT JOIN missing m\n    ON h.is_current AND m.record_id = h.{quoted(table.key)}"
        f" AND m.table_name = '{table.sources[0]}'"
    )


def _current_version(table: StarTable) -> str:
    return f"SELECT {_columns(table)}\n  FROM {table.name}_history\n WHERE is_current AND deleted_at IS NULL"
