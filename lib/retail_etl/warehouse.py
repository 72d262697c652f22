"""The warehouse: PostgreSQL tables made from the model, loaded by parallel COPY and one transaction for all batches.

public.dim_*, fact_*                 the star
public.*_current, fact_*_history     views: the latest state; each version with the time in which it was valid
etl.ledger                           which batches of which lake are in, written in the same transaction
etl.deleted_record, etl.missing      when source rows were found missing or back; view: those that are missing now
etl.staging_*                        what COPY brings, before the transaction takes it over
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

from pg8000.native import Connection
from pyspark.sql import DataFrame

from retail_etl import ledger, model
from retail_etl.errors import DatabaseError, StateError
from retail_etl.ledger import CONTROL, LEDGER
from retail_etl.postgres import FAILURES, Database, close, names, quoted
from retail_etl.schema import BATCH_ID, KeyRange, StarTable
from retail_etl.warehouse_ddl import check, ddl, qualified

if TYPE_CHECKING:
    from pyarrow import RecordBatch

LOCK = 0x7265_7461_696C  # "retail": one load at a time works on a warehouse


class Warehouse:
    """One warehouse, held by an advisory lock for as long as it is open."""

    def __init__(self, database: Database, connection: Connection, lake_id: str) -> None:
        self._database = database
        self._connection = connection
        self._lake_id = lake_id
        self._one_at_a_time = Lock()
        if not self._run("SELECT pg_try_advisory_lock(:lock)", lock=LOCK)[0][0]:
            raise StateError(f"Another load works on the {database}: wait until it is done, then run again.")
        self._create_missing()

    def loaded_until(self) -> int:
        """The last batch that is in; 0 while none is. StateError where the batches come from another lake."""
        return ledger.loaded_until(self._run, self._database, self._lake_id)

    def stage(self, table: StarTable, rows: DataFrame) -> int:
        """COPY the lake's rows (with `batch_id`) into the table's staging table, a connection for each partition.

        Gives the number of rows; StateError where staging holds another number than Spark sent.
        """
        staging = quoted(CONTROL, f"staging_{table.name}")
        columns = ", ".join(f"{quoted(column.name)} {column.type.warehouse}" for column in table.columns)
        self._run(f"DROP TABLE IF EXISTS {staging}")
        self._run(f"CREATE UNLOGGED TABLE {staging} ({columns}, {quoted(BATCH_ID)} bigint)")
        sent = copy(rows.select(*table.column_names, BATCH_ID), self._database, staging)
        staged = self._run(f"SELECT count(*) FROM {staging}")[0][0]
        if staged != sent:
            raise StateError(f"{staging} holds {staged:,} rows where {sent:,} were sent: run again.")
        return sent

    def rebuild(
        self, batches: Sequence[int], staged: Mapping[str, int], audit: Callable[[Callable[[str], Any]], None]
    ) -> dict[str, int]:
        """Put what was staged, which is all of the lake, in the place of all that is here, in one transaction.

        `audit` is given a function that queries the new state, and raises where it is not right: then nothing was done.
        Readers see the old state until the commit, and the tables with their rights stay. Gives the rows per table.
        """
        with self._transaction():
            for table in reversed(model.WAREHOUSE.values()):
                self._run(f"DELETE FROM {qualified(table)}")
                if table.serial:
                    places = {"name": qualified(table), "column": table.serial}
                    ((sequence,),) = self._run("SELECT pg_get_serial_sequence(:name, :column)", **places)
                    self._run(f"ALTER SEQUENCE {sequence} RESTART")
            self._run(f"DELETE FROM {LEDGER}")
            written = self._take_over_all(batches, staged)
            audit(self._run)
        return written

    def commit(self, batches: Sequence[int], staged: Mapping[str, int]) -> dict[str, int]:
        """Take over what was staged, in one transaction with the ledger. Gives the rows written per table."""
        with self._transaction():
            return self._take_over_all(batches, staged)

    def _take_over_all(self, batches: Sequence[int], staged: Mapping[str, int]) -> dict[str, int]:
        written = {table.name: self._take_over(table) for table in model.WAREHOUSE.values() if staged.get(table.name)}
        for batch_id in batches:
            self._run(
                f"INSERT INTO {LEDGER} (batch_id, lake_id) VALUES (:batch_id, :lake_id)",
                batch_id=batch_id,
                lake_id=self._lake_id,
            )
        for name in staged:
            self._run(f"DROP TABLE {quoted(CONTROL, f'staging_{name}')}")
        return written

    def repair(self, table: StarTable, ranges: Sequence[KeyRange], rows: DataFrame, records: DataFrame) -> None:
        """Make the table's key ranges what the lake says, in one transaction. `rows` and `records`: what the lake holds
        there of the table and of `deleted_record`. Facts get new serials, in the order of their batches.
        """
        self.stage(table, rows)
        self.stage(model.DELETED_RECORD, records)
        staging = quoted(CONTROL, f"staging_{table.name}")
        key, source = quoted(table.key), table.sources[0].replace("'", "''")
        # Facts refer to dimension rows, so those that stay are updated in place.
        gone = "" if table.is_fact else f" AND {key} NOT IN (SELECT {key} FROM {staging})"
        with self._transaction():
            self._run(f"DELETE FROM {qualified(table)} WHERE ({_between(table.key, ranges)}){gone}")
            self._take_over(table)
            self._run(
                f"DELETE FROM {qualified(model.DELETED_RECORD)} "
                f"WHERE table_name = '{source}' AND ({_between(model.DELETED_RECORD.key, ranges)})"
            )
            self._take_over(model.DELETED_RECORD)
            self._run(f"DROP TABLE {staging}")

    def _take_over(self, table: StarTable) -> int:
        columns = (*table.column_names, *((BATCH_ID,) if table.is_control else ()))
        target, staging = qualified(table), quoted(CONTROL, f"staging_{table.name}")
        # Trailing zeros are a habit of the lake's decimals and say nothing.
        decimals = {column.name for column in table.columns if column.type.precision}
        values = ", ".join(f"trim_scale({quoted(name)})" if name in decimals else quoted(name) for name in columns)
        order = names((BATCH_ID, table.key))
        insert = f"INSERT INTO {target} ({names(columns)}) SELECT {values} FROM {staging} ORDER BY {order}"
        if not (table.is_fact or table.is_control):
            others = [name for name in columns if name != table.key]
            insert += (
                f" ON CONFLICT ({quoted(table.key)}) DO UPDATE SET "
                + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
                + f" WHERE ({names(others, f'{quoted(table.name)}.')}) IS DISTINCT FROM ({names(others, 'excluded.')})"
            )
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
        self._run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(DatabaseError):  # a connection that was lost has rolled back by itself
                self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    def _run(self, sql: str, **values: Any) -> Any:
        with self._one_at_a_time:  # tables are staged side by side
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


def _between(key: str, ranges: Sequence[KeyRange]) -> str:
    return " OR ".join(f"{quoted(key)} BETWEEN {low:d} AND {high:d}" for low, high in ranges)


# ---------------------------------------------------------------------------- COPY from Spark's partitions


def copy(rows: DataFrame, database: Database, target: str) -> int:
    """COPY a frame into a table whose columns are the frame's, a connection and a transaction for each partition.

    Arrow makes the CSV; no row passes through Python by itself. Gives the number of rows.
    """

    def send(batches: "Iterable[RecordBatch]") -> "Iterator[RecordBatch]":
        import pyarrow as pa

        sent = 0
        rest = iter(batches)

        def chunks(first: "RecordBatch") -> Iterator[bytes]:
            nonlocal sent
            for batch in chain((first,), rest):
                sent += batch.num_rows
                yield _csv(batch)

        for first in rest:  # once: the COPY takes the others; an empty partition opens no connection
            connection = database.connect()
            try:
                connection.run(f"COPY {target} FROM STDIN WITH (FORMAT csv)", stream=chunks(first))
            except FAILURES as error:
                raise database.explain(error) from error
            finally:
                close(connection)
        yield pa.RecordBatch.from_pydict({"rows": [sent]}, schema=pa.schema([("rows", pa.int64())]))

    counts = rows.mapInArrow(send, "rows bigint").collect()
    return sum(count.rows for count in counts)


def _csv(batch: "RecordBatch") -> bytes:
    from pyarrow.csv import WriteOptions, write_csv

    sink = BytesIO()
    write_csv(batch, sink, WriteOptions(include_header=False, quoting_style="needed"))
    return sink.getvalue()
