"""totesys: one snapshot for all tables, fences, and what changed since. Without Spark, and for Python 3.9 as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pg8000.native import Connection

from retail_etl import contract, model, source_sql
from retail_etl.contract import SCHEMA, Declared, FoundTable, SourceColumn
from retail_etl.errors import ContractError
from retail_etl.postgres import FAILURES, Database, close, quoted
from retail_etl.schema import KeyRange, SourceTable

OVERLAP = "15 minutes"

_CLOCKS = """
SELECT clock_timestamp() AT TIME ZONE :zone,
       current_setting('server_version'),
       current_setting('server_version_num')::int,
       pg_is_in_recovery(),
       coalesce(pg_has_role(current_user, to_regrole('pg_read_all_stats'), 'USAGE'), false)
"""

# An open transaction may yet write rows that bear an earlier time. A prepared one does not tell when it began.
_OPEN_TRANSACTIONS = """
SELECT (min(xact_start) AT TIME ZONE :zone)::text,
       greatest(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::text,
       (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND pid <> pg_backend_pid()
   AND backend_type IS DISTINCT FROM 'autovacuum worker'
"""

_MAY_IDENTIFY = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL), format_type(a.atttypid, a.atttypmod),
       has_table_privilege(c.oid, 'SELECT')
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND (CAST(:tables AS text[]) IS NULL OR c.relname = ANY(CAST(:tables AS text[])))
 ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class Reading:
    """What is to be read of one table, and the state that its manifest hands to the next batch.

    `rows`: how many rows, counted in the snapshot; None where the table has nothing new and is left alone.
    """

    table: SourceTable
    rows: int | None
    state: dict[str, Any]

    @property
    def rows_in_source(self) -> str:
        """FROM and WHERE of the rows that are to be read."""
        return source_sql.rows_of(self.table, self.state.get("fence"), self.state.get("complete", ()))


class Snapshot:
    """One moment of the source, held open by a transaction of ours until all tables are read."""

    def __init__(self, database: Database, connection: Connection, zone: str | None) -> None:
        self.database = database
        self._connection = connection
        self.warnings: list[str] = []
        connection.run(source_sql.SESSION)
        own_zone = str(self._one("SELECT current_setting('TimeZone')")[0])
        self.zone = zone or own_zone
        quoted_zone = own_zone.replace("'", "''")
        self.session = f"{source_sql.SESSION}; SET TimeZone TO '{quoted_zone}'"  # the JDBC driver would ask for Java's
        # The clock is read first, the open transactions next, the snapshot last: a transaction that begins in
        # between is younger than the clock, and one that ends in between is counted as open.
        clock, self.server_version, number, self.is_standby, self.sees_all = self._one(_CLOCKS, zone=self.zone)
        self.clock = clock.isoformat(sep=" ")
        self.server_version_number = int(number)
        self.oldest_transaction, self.oldest_age_seconds, self.prepared = self._one(_OPEN_TRANSACTIONS, zone=self.zone)
        # Standbys and restored copies have their primary's identifier, other servers have others.
        system = self._one(_SYSTEM)[0] if self._one(_MAY_IDENTIFY)[0] else None
        self.identity = {"database": database.database, "system_identifier": system}
        connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.without_limits = source_sql.without_limits(self.server_version_number)
        connection.run(self.without_limits)
        self.id = str(self._one("SELECT pg_export_snapshot()")[0])
        self._warn_of_blindness()

    def _warn_of_blindness(self) -> None:
        if self.is_standby:
            self.warnings.append(
                f"The {self.database} is a standby, where transactions of other sessions cannot be seen: rows that "
                f"commit more than {OVERLAP} after their last_updated are found by reconcile alone."
            )
        elif not self.sees_all:
            self.warnings.append(
                f"The {self.database} may not see other sessions' transactions: rows that commit more than {OVERLAP} "
                "after their last_updated are found by reconcile alone. What mends it: "
                f'GRANT pg_read_all_stats TO "{self.database.user}".'
            )

    # ------------------------------------------------------------------ contract

    def check_contract(
        self, tables: Mapping[str, SourceTable], seen: Mapping[str, Declared] = MappingProxyType({})
    ) -> dict[str, list[SourceColumn]]:
        """Compare the source with the model, and with what was `seen` of it; ContractError names all that does not fit.

        Gives the columns that each table has, those included that the model does not know.
        """
        found = self.found(tables)
        if problems := list(contract.problems(tables, found, seen, self.database.user)):
            raise ContractError(f"The {self.database} is not as expected, and nothing was read. " + " ".join(problems))
        return {name: found[name].columns for name in tables}

    def found(self, tables: Mapping[str, SourceTable]) -> dict[str, FoundTable]:
        """What the source has of these tables; of all tables where one is missing, for it may have another name."""
        found = self._catalog(list(tables))
        return self._catalog(None) if tables.keys() - found.keys() else found

    def _catalog(self, tables: list[str] | None) -> dict[str, FoundTable]:
        """What the schema has of these tables and views; of all where none are named."""
        found: dict[str, FoundTable] = {}
        for table, column, kind, declared, may_read in self._run(_COLUMNS, schema=SCHEMA, tables=tables):
            found.setdefault(table, FoundTable(may_read, [])).columns.append(SourceColumn(column, kind, declared))
        return found

    # ------------------------------------------------------------------ what changed

    def plan(
        self,
        table: SourceTable,
        columns: list[SourceColumn],
        previous: dict[str, Any] | None,
        ranges: Sequence[KeyRange] = (),
    ) -> Reading:
        """What is to be read of the table. `previous`: its entry in the manifest of the last extraction. `ranges`: keys
        that are to be read in any case, changed or not; a snapshot table is read whole where there are some.
        """
        if table.extract == "incremental":
            rows, state = self._plan_incremental(table, previous, ranges)
        else:
            rows, state = self._plan_snapshot(table, None if ranges else previous)
        return Reading(table, rows, {"mode": table.extract, **contract.noted(table, columns), **state})

    def _plan_snapshot(self, table: SourceTable, previous: dict[str, Any] | None) -> tuple[int | None, dict[str, Any]]:
        fingerprint = self._fingerprint(table, None)
        if previous and previous["fingerprint"] == fingerprint:
            return None, {name: previous[name] for name in ("fingerprint", "full_copy_batch_id")}
        return fingerprint["rows"], {"fingerprint": fingerprint}

    def _plan_incremental(
        self, table: SourceTable, previous: dict[str, Any] | None, ranges: Sequence[KeyRange]
    ) -> tuple[int | None, dict[str, Any]]:
        fence = previous["next_fence"] if previous else None
        seen_until = previous["greatest_last_updated"] if previous else None
        if previous and not ranges and not self.has_changed(table, previous):
            return None, {
                name: previous[name] for name in ("fence", "next_fence", "greatest_last_updated", "fingerprint")
            }
        # What is no number, or too large for any column of ours, goes to quarantine and is not added up.
        additive = model.additive(table.name)
        totals = "".join(f", sum({name}) FILTER (WHERE abs({name}) < 1e30)::text" for name in map(quoted, additive))
        rows, newest, *sums = self._one(
            f"SELECT count(*), max(last_updated)::text{totals} FROM {source_sql.rows_of(table, fence, ranges)}"
        )
        greatest = max(filter(None, (newest, seen_until)), default=None)
        next_fence = self._next_fence(greatest, fence)
        return rows, {
            "fence": fence,
            # Of rows that are read for the sake of their key, any may have been seen before.
            "seen_until": greatest if ranges else seen_until,
            "complete": [list(one) for one in ranges],
            "sums": {name: total or "0" for name, total in zip(additive, sums)},
            "greatest_last_updated": greatest,
            "next_fence": next_fence,
            "fingerprint": self._fingerprint(table, next_fence),
        }

    def _next_fence(self, greatest: str | None, fence: str | None) -> str | None:
        """The data's own clock as it stood when the oldest open transaction began, less the overlap.

        The data's clock is the greatest stamp seen, but no later than the database's clock: a stamp in the future must
        not lift the fence. It ran as long as the database's did, so taking the transaction's age off it needs no
        knowledge of its time zone, nor of how far it is behind. While a prepared transaction waits, the fence stays:
        nobody can say when it began, and the last fence was set with it open, or before it.
        """
        if greatest is None or self.prepared:
            return fence
        return str(
            self._one(
                "SELECT (LEAST(CAST(:greatest AS timestamp), CAST(:clock AS timestamp))"
                "        - make_interval(secs => CAST(:age AS float8)) - CAST(:overlap AS interval))::text",
                greatest=greatest,
                age=self.oldest_age_seconds or "0",
                clock=self.clock,
                overlap=OVERLAP,
            )[0]
        )

    def has_changed(self, table: SourceTable, previous: dict[str, Any] | None) -> bool:
        """Whether the table has anything that the last extraction did not see. `previous`: its entry in that one's
        manifest.
        """
        return previous is None or self._fingerprint(table, previous.get("next_fence")) != previous["fingerprint"]

    def _fingerprint(self, table: SourceTable, fence: str | None) -> dict[str, Any]:
        rows, total = self._one(source_sql.fingerprint(table, fence))
        return {"rows": rows, "sum": total}

    # ------------------------------------------------------------------ asking

    def lines(self, table: SourceTable, columns: list[SourceColumn], keys: Sequence[int]) -> dict[int, str]:
        """Key → the row's JSON as it is extracted, of those of the keys that are there."""
        among = ", ".join(f"{key:d}" for key in keys)
        key, every = quoted(table.key), source_sql.rows_of(table, None)
        found = f"SELECT {source_sql.exact(columns)} FROM {every} WHERE {key} IN ({among})"
        return dict(self.query(f"SELECT r.{key}, row_to_json(r)::text FROM ({found}) r"))

    def percentiles(self, reading: Reading, shares: Sequence[float]) -> list[int]:
        """The keys, each once and in order, below which these shares of the rows that are to be read lie."""
        (bounds,) = self._one(
            f"SELECT percentile_disc(ARRAY[{', '.join(map(str, shares))}]::float8[])"
            f" WITHIN GROUP (ORDER BY {quoted(reading.table.key)}) FROM {reading.rows_in_source}"
        )
        return sorted({int(bound) for bound in bounds})

    def query(self, sql: str) -> Any:
        """The rows of a query on this snapshot; threads may call it side by side."""
        adopt = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET TRANSACTION SNAPSHOT '{self.id}'",
            self.without_limits,
            self.session,
        )
        return self.database.query(sql, first=adopt)

    # ------------------------------------------------------------------ plumbing

    def _one(self, sql: str, **values: Any) -> Any:
        return self._run(sql, **values)[0]

    def _run(self, sql: str, **values: Any) -> Any:
        try:
            return self._connection.run(sql, **values)
        except FAILURES as error:
            raise self.database.explain(error) from error


@contextmanager
def open_snapshot(database: Database, zone: str | None = None) -> Iterator[Snapshot]:
    """A snapshot of the source, open within the block. `zone`: the time zone of its stamps, else the database's own."""
    connection = database.connect()
    try:
        yield Snapshot(database, connection, zone)
    finally:
        close(connection)
