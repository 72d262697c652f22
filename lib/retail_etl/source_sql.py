"""What is asked of a source table, as SQL: which rows are read, how a row is told, and whether anything changed."""

from __future__ import annotations

from collections.abc import Sequence

from retail_etl.contract import SCHEMA, SourceColumn
from retail_etl.postgres import quoted
from retail_etl.schema import KeyRange, SourceTable

# A row's text must be the same for everybody who hashes it.
SESSION = "SET DateStyle TO ISO; SET IntervalStyle TO iso_8601; SET bytea_output TO hex; SET extra_float_digits TO 1"


def without_limits(server_version_number: int) -> str:
    """What lets the transaction that it stands in last as long as the reading does, whatever the role is allowed.

    `server_version_number`: as PostgreSQL has it, 170000 for 17.0, the first that ends a transaction for its age.
    """
    limits = ["idle_in_transaction_session_timeout", "statement_timeout"]
    if server_version_number >= 170000:
        limits.append("transaction_timeout")
    return "; ".join(f"SET LOCAL {limit} = 0" for limit in limits)


def rows_of(table: SourceTable, fence: str | None, ranges: Sequence[KeyRange] = ()) -> str:
    """FROM and WHERE: the rows from the fence on, and those of the key ranges; all where there is no fence."""
    name = f"{quoted(SCHEMA, table.name)} AS t"
    if fence is None:
        return name
    # JDBC takes a query without parameters. The fence comes from PostgreSQL by way of our manifest.
    literal = "TIMESTAMP '" + fence.replace("'", "''") + "'"
    keys = [f"{quoted(table.key)} BETWEEN {low:d} AND {high:d}" for low, high in ranges]
    return f"{name} WHERE " + " OR ".join([f"last_updated >= {literal}", "last_updated IS NULL", *keys])


def fingerprint(table: SourceTable, fence: str | None) -> str:
    """Rows and a sum over hashes of whole rows: the same where nothing changed, whatever the order."""
    return (
        f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {rows_of(table, fence)}"
    )


def exact(columns: Sequence[SourceColumn]) -> str:
    """The columns, numerics as text, so that no reader rounds them."""
    return ", ".join(_exact(column) for column in columns)


def _exact(column: SourceColumn) -> str:
    name = quoted(column.name)
    return f"t.{name}::text AS {name}" if column.kind == "numeric" else f"t.{name}"
