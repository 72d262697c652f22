"""What `etl.py init` asks somebody's own database, in one read-only snapshot. Nothing is written, and of a table's rows
only estimates, the newest stamp and whether stamps are missing are asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from retail_etl import model
from retail_etl.contract import SCHEMA, FoundTable
from retail_etl.postgres import Database, quoted
from retail_etl.schema import TIMESTAMP
from retail_etl.source import Snapshot, open_snapshot

SMALL_ROWS = 100_000
"""So many rows are looked through in a blink: what is smaller needs no index on its stamps."""

_SERVER = f"""
SELECT current_setting('wal_level'),
       current_setting('hot_standby_feedback')::boolean,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'max_standby_streaming_delay'),
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
       coalesce(has_schema_privilege(to_regnamespace('{SCHEMA}'), 'USAGE'), true),
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)
"""

# A partitioned table has no bytes of its own.
_RELATIONS = f"""
SELECT c.relname, c.relkind::text, c.reltuples::float8,
       CASE c.relkind WHEN 'p' THEN (SELECT sum(pg_table_size(relid)) FROM pg_partition_tree(c.oid))
                      WHEN 'v' THEN 0 ELSE pg_table_size(c.oid) END::bigint,
       row_security_active(c.oid),
       has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = '{SCHEMA}' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# Only what serves a range of the first column for every row of the table.
_INDEXES = f"""
SELECT c.relname, x.relname, a.attname, i.indisunique AND i.indnkeyatts = 1, i.indisvalid, m.amname = 'btree'
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class x ON x.oid = i.indexrelid
  JOIN pg_am m ON m.oid = x.relam AND m.amname IN ('btree', 'brin')
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
 WHERE n.nspname = '{SCHEMA}' AND i.indpred IS NULL
"""


@dataclass(frozen=True)
class Index:
    """An index, by its first column. `is_key`: it is unique, and has no other column. `is_valid`: it is finished.
    `is_sorted`: its end is the greatest value. A BRIN index finds a range as well, but knows no greatest value.
    """

    name: str
    column: str
    is_key: bool
    is_valid: bool
    is_sorted: bool = True


@dataclass(frozen=True)
class TableFacts:
    """One table of the model, as the source has it.

    `rows`: PostgreSQL's estimate; None where it has none, or may not tell. `size_bytes`: on disk, without indexes.
    `stamps_ahead_seconds`: the newest `last_updated` less the database's clock; None where that was not asked.
    """

    name: str
    kind: str
    rows: int | None
    size_bytes: int
    hides_rows: bool
    is_writable: bool
    indexes: tuple[Index, ...]
    stamps_ahead_seconds: float | None = None
    has_rows_without_stamp: bool = False

    def is_indexed(self, column: str) -> bool:
        """Whether a range of the column is found without reading the table."""
        return any(index.is_valid and index.column == column for index in self.indexes)

    def tells_greatest(self, column: str) -> bool:
        """Whether the greatest value of the column, or a NULL, is found without reading a large table."""
        is_small = (self.rows or 0) < SMALL_ROWS
        return is_small or any(i.is_valid and i.is_sorted and i.column == column for i in self.indexes)


@dataclass(frozen=True)
class SourceFacts:
    """A source, as far as it matters to us. `found`: what contract.py compares with the model."""

    database: Database
    server_version: str
    server_version_number: int
    time_zone: str
    clock: str
    is_standby: bool
    sees_all_sessions: bool
    prepared_transactions: int
    oldest_transaction_seconds: float
    wal_level: str
    hot_standby_feedback: bool
    max_standby_delay_ms: int
    replay_behind_seconds: float | None
    may_use_schema: bool
    connection_limit: int
    found: Mapping[str, FoundTable] = field(repr=False)
    tables: Mapping[str, TableFacts] = field(repr=False)


def read_facts(database: Database) -> SourceFacts:
    """Ask for all of it. DatabaseError where the source cannot be reached, or hands out no snapshot."""
    with open_snapshot(database) as snapshot:
        wal, feedback, delay, behind, may_use, limit = snapshot.query(_SERVER)[0]
        found = snapshot.found(model.SOURCE)
        return SourceFacts(
            database=database,
            server_version=snapshot.server_version,
            server_version_number=snapshot.server_version_number,
            time_zone=snapshot.zone,
            clock=snapshot.clock,
            is_standby=snapshot.is_standby,
            sees_all_sessions=snapshot.sees_all,
            prepared_transactions=snapshot.prepared,
            oldest_transaction_seconds=float(snapshot.oldest_age_seconds or 0),
            wal_level=wal,
            hot_standby_feedback=feedback,
            max_standby_delay_ms=delay,
            replay_behind_seconds=behind,
            may_use_schema=may_use,
            connection_limit=limit,
            found=found,
            tables=_tables(snapshot, {name: table for name, table in found.items() if may_use and table.readable}),
        )


def _tables(snapshot: Snapshot, readable: Mapping[str, FoundTable]) -> dict[str, TableFacts]:
    indexes: dict[str, list[Index]] = {}
    for table, *index in snapshot.query(_INDEXES):
        indexes.setdefault(table, []).append(Index(*index))
    tables = {}
    for name, kind, estimate, size, hides_rows, is_writable in snapshot.query(_RELATIONS):
        if name not in model.SOURCE:
            continue
        rows = _planned_rows(snapshot, name) if name in readable else round(estimate) if estimate >= 0 else None
        tables[name] = TableFacts(name, kind, rows, size, hides_rows, is_writable, tuple(indexes.get(name, ())))
        if name in readable and _tells_time(tables[name], readable[name]):
            tables[name] = _with_stamps(snapshot, tables[name])
    return {name: tables[name] for name in model.SOURCE if name in tables}


def _planned_rows(snapshot: Snapshot, name: str) -> int:
    """The planner's estimate: it has one of views, of partitioned tables, and of what was never analyzed."""
    plan = snapshot.query(f"EXPLAIN (FORMAT JSON) SELECT FROM {quoted(SCHEMA, name)}")[0][0]
    return int(plan[0]["Plan"]["Plan Rows"])


def _tells_time(table: TableFacts, found: FoundTable) -> bool:
    """Whether its stamps are read from on, are stamps, and can be asked without reading a large table."""
    has_stamps = any(column.name == "last_updated" and column.kind in TIMESTAMP.source for column in found.columns)
    return has_stamps and table.tells_greatest("last_updated") and model.SOURCE[table.name].extract == "incremental"


def _with_stamps(snapshot: Snapshot, table: TableFacts) -> TableFacts:
    name = quoted(SCHEMA, table.name)
    ahead, without = snapshot.query(
        f"SELECT extract(epoch FROM max(last_updated) - TIMESTAMP '{snapshot.clock}')::float8,"
        f" EXISTS (SELECT FROM {name} WHERE last_updated IS NULL) FROM {name}"
    )[0]
    return replace(table, stamps_ahead_seconds=ahead, has_rows_without_stamp=without)
