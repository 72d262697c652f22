"""The warehouse: PostgreSQL tables made from the model, loaded by parallel COPY and one transaction for all batches.

public.dim_*, fact_*                 the star
public.*_current, fact_*_history     views: the latest state; each version with the time in which it was valid
etl.ledger                           which batches of which lake are in, written in the same transaction
etl.deleted_record, etl.missing      when source rows were found missing or back; view: those that are missing now
etl.staging_*                        what COPY brings, before the transaction takes it over
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager, suppress
from typing import Any

from pg8000.native import Connection
from pyspark.sql import DataFrame

from retail_etl import ledger, model
from retail_etl.data_files import Slice
from retail_etl.errors import DatabaseError, StateError
from retail_etl.first_load import Aside, put_aside
from retail_etl.ledger import CONTROL, LEDGER
from retail_etl.postgres import FAILURES, Database, close, names, quoted
from retail_etl.postgres_copy import copy
from retail_etl.schema import BATCH_ID, TIME, KeyRange, StarTable
from retail_etl.warehouse_ddl import check, ddl, qualified

Staged = Mapping[str, Future[int]]
"""Table name → the number of rows that are staged of it, as soon as they all are."""

IN_ORDER = sorted(model.WAREHOUSE.values(), key=lambda table: (table.is_fact, not table.large))
"""The tables as they are best loaded: dimensions first, for facts refer to them; beside the large one there is time for
all the small ones.
"""

LOCK = 0x7265_7461_696C  # "retail": one load at a time works on a warehouse


class Warehouse:
    """One warehouse, held by an advisory lock for as long as it is open."""

    def __init__(self, database: Database, connection: Connection, lake_id: str) -> None:
        self._database = database
        self._connection = connection
        self._lake_id = lake_id
        if not self._run("SELECT pg_try_advisory_lock(:lock)", lock=LOCK)[0][0]:
            raise StateError(f"Another load works on the {database}: wait until it is done, then run again.")
        self._create_missing()

    def loaded_until(self) -> int:
        """The last batch that is in; 0 while none is. StateError where the batches come from another lake."""
        return ledger.loaded_until(self._run, self._database, self._lake_id)

    def stage(self, table: StarTable, rows: DataFrame | Slice) -> int:
        """COPY the lake's rows (with `batch_id`) into the table's staging table, by the connections that they deserve.

        Gives the number of rows; StateError where staging holds another number than was sent.
        """
        staging = _staging(table)
        columns = ", ".join(f"{quoted(column.name)} {column.type.warehouse}" for column in table.columns)
        # Not on the connection of the transaction, which is at work meanwhile: others must see what is made here.
        self._database.query(
            # Autovacuum has nothing to do there, and the drop would have to wait until it gives way.
            f"CREATE UNLOGGED TABLE {staging} ({columns}, {quoted(BATCH_ID)} bigint) WITH (autovacuum_enabled = false)",
            first=("SET client_min_messages TO warning", f"DROP TABLE IF EXISTS {staging}"),
        )
        times = [column.name for column in table.columns if column.type is TIME]
        if not isinstance(rows, Slice):
            rows = rows.select(*table.column_names, BATCH_ID)
        sent = copy(rows, self._database, staging, times)
        staged = self._database.query(f"SELECT count(*) FROM {staging}")[0][0]
        if staged != sent:
            raise StateError(f"{staging} holds {staged:,} rows where {sent:,} were sent: run again.")
        return sent

    def rebuild(
        self, batches: Sequence[int], staged: Staged, audit: Callable[[Callable[[str], Any]], None]
    ) -> dict[str, int]:
        """Put what is staged, which is all of the lake, in the place of all that is here, in one transaction.

        `audit` is given a function that queries the new state, and raises where it is not right: then nothing was done.
        Readers see the old state until the commit, and the tables with their rights stay. Gives the rows per table.
        """
        written = self._load_first(batches, staged, audit)
        if written is None:
            _wait_for(staged)
            with self._transaction():
                self._empty()
                written = self._take_over_all(batches, staged)
                audit(self._run)
        return written

    def commit(self, batches: Sequence[int], staged: Staged) -> dict[str, int]:
        """Take over what is staged, in one transaction with the ledger. Gives the rows written per table."""
        written = self._load_first(batches, staged)
        if written is None:
            _wait_for(staged)
            with self._transaction():
                written = self._take_over_all(batches, staged)
        return written

    def _load_first(
        self,
        batches: Sequence[int],
        staged: Staged,
        audit: Callable[[Callable[[str], Any]], None] = lambda query: None,
    ) -> dict[str, int] | None:
        """Where the warehouse holds nothing yet: take over each table as soon as it is staged, while others still are.
        Else None, and nothing was done.
        """
        with self._transaction():
            aside = put_aside(self._run)
            if aside is None:
                return None
            written = self._take_over_all(batches, staged, aside)
            audit(self._run)
            return written

    def _empty(self) -> None:
        for table in reversed(model.WAREHOUSE.values()):
            self._run(f"DELETE FROM {qualified(table)}")
            if table.serial:
                places = {"name": qualified(table), "column": table.serial}
                ((sequence,),) = self._run("SELECT pg_get_serial_sequence(:name, :column)", **places)
                self._run(f"ALTER SEQUENCE {sequence} RESTART")
        self._run(f"DELETE FROM {LEDGER}")

    def _take_over_all(self, batches: Sequence[int], staged: Staged, aside: Aside | None = None) -> dict[str, int]:
        """`aside`: what comes back when a table's rows are there; None where tables hold rows already."""
        written = {}
        for table in model.WAREHOUSE.values() if aside is None else _as_staged(staged):
            if table.name in staged and (rows := staged[table.name].result()):
                written[table.name] = self._take_over(_merge(table) if aside is None else _fill(table, batches))
                if aside is not None and written[table.name] != rows:
                    raise StateError(f"{table.name} took {written[table.name]:,} of {rows:,} staged rows: run again.")
            for statement in (aside or {}).get(table.name, ()):
                self._run(statement)
        for batch_id in batches:
            self._run(
                f"INSERT INTO {LEDGER} (batch_id, lake_id) VALUES (:batch_id, :lake_id)",
                batch_id=batch_id,
                lake_id=self._lake_id,
            )
        # What a load left that was cut off goes as well.
        self._run(f"DROP TABLE IF EXISTS {', '.join(map(_staging, model.WAREHOUSE.values()))}")
        return written

    def repair(self, table: StarTable, ranges: Sequence[KeyRange], rows: DataFrame, records: DataFrame) -> None:
        """Make the table's key ranges what the lake says, in one transaction. `rows` and `records`: what the lake holds
        there of the table and of `deleted_record`. Facts get new serials, in the order of their batches.
        """
        self.stage(table, rows)
        self.stage(model.DELETED_RECORD, records)
        staging = _staging(table)
        key, source = quoted(table.key), table.sources[0].replace("'", "''")
        # Facts refer to dimension rows, so those that stay are updated in place.
        gone = "" if table.is_fact else f" AND {key} NOT IN (SELECT {key} FROM {staging})"
        with self._transaction():
            self._run(f"DELETE FROM {qualified(table)} WHERE ({_between(table.key, ranges)}){gone}")
            self._take_over(_merge(table))
            self._run(
                f"DELETE FROM {qualified(model.DELETED_RECORD)} "
                f"WHERE table_name = '{source}' AND ({_between(model.DELETED_RECORD.key, ranges)})"
            )
            self._take_over(_merge(model.DELETED_RECORD))
            self._run(f"DROP TABLE {staging}")

    def _take_over(self, insert: str) -> int:
        self._run(insert)
        return int(self._connection.row_count)

    # ------------------------------------------------------------------ DDL

    def _create_missing(self) -> None:
        with self._transaction():
            if differences := check(self._run):
                raise StateError(
                    f"The {self._database} has tables that are not as the model says, and nothing was changed: "
                    f"{' '.join(differences)} Mend them, or give a database without them."
                )
            for statement in ddl():
                self._run(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # Staged rows come by other connections, and some of them after the transaction began: they must be seen.
        self._run("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            yield
        except BaseException:
            with suppress(DatabaseError):  # a connection that was lost has rolled back by itself
                self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    def _run(self, sql: str, **values: Any) -> Any:
        try:
            return self._connection.run(sql, **values)
        except FAILURES as error:
            raise self._database.explain(error) from error


@contextmanager
def open_warehouse(database: Database, lake_id: str) -> Iterator[Warehouse]:
    """The warehouse, locked and with its schema in place, within the block."""
    connection = database.connect()
    try:
        connection.run("SET client_min_messages TO warning")
        yield Warehouse(database, connection, lake_id)
    finally:
        close(connection)


def _staging(table: StarTable) -> str:
    return quoted(CONTROL, f"staging_{table.name}")


def _wait_for(staged: Staged) -> None:
    """Until all is staged: a transaction that has nothing to do for long only keeps the server from cleaning up."""
    for rows in staged.values():
        rows.result()


def _as_staged(staged: Staged) -> Iterator[StarTable]:
    """All tables: dimensions in their order, then facts, as they get ready."""
    yield from (table for table in IN_ORDER if not table.is_fact or table.name not in staged)
    facts = {staged[table.name]: table for table in IN_ORDER if table.is_fact and table.name in staged}
    yield from (facts[ready] for ready in as_completed(facts))


def _insert(table: StarTable) -> str:
    """The statement that writes what was staged, in no order yet."""
    columns = (*table.column_names, *((BATCH_ID,) if table.is_control else ()))
    # Trailing zeros are a habit of the lake's decimals and say nothing.
    decimals = {column.name for column in table.columns if column.type.precision}
    values = ", ".join(f"trim_scale({quoted(name)})" if name in decimals else quoted(name) for name in columns)
    return f"INSERT INTO {qualified(table)} ({names(columns)}) SELECT {values} FROM {_staging(table)}"


def _fill(table: StarTable, batches: Sequence[int]) -> str:
    """The statement that writes what was staged into a table that holds nothing."""
    # The serials of one batch may come in any order.
    return _insert(table) + (f" ORDER BY {quoted(BATCH_ID)}" if table.is_fact and len(batches) > 1 else "")


def _merge(table: StarTable) -> str:
    """The statement that adds what was staged: a fact's new versions, a dimension's rows that are new or differ."""
    insert = f"{_insert(table)} ORDER BY {names((BATCH_ID, table.key))}"
    if table.is_fact or table.is_control:
        return insert
    others = [name for name in table.column_names if name != table.key]
    return (
        f"{insert} ON CONFLICT ({quoted(table.key)}) DO UPDATE SET "
        + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        + f" WHERE ({names(others, f'{quoted(table.name)}.')}) IS DISTINCT FROM ({names(others, 'excluded.')})"
    )


def _between(key: str, ranges: Sequence[KeyRange]) -> str:
    return " OR ".join(f"{quoted(key)} BETWEEN {low:d} AND {high:d}" for low, high in ranges)
