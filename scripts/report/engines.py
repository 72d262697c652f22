"""Who answers the report's queries: DuckDB or Athena on the lake, PostgreSQL in the warehouse. Each gives Arrow."""

from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import sqlglot

from retail_etl.lake import NAMESPACE
from retail_etl.manifests import Manifests
from retail_etl.postgres import FAILURES, Database, close
from scripts import lake_query
from scripts.report.queries import Engine
from scripts.statements import parse


class Answers(Protocol):
    """One place where the star is. `is_empty`: it was never filled, so no query can be asked."""

    name: Engine
    is_empty: bool

    def ask(self, sql: str) -> pa.Table:
        """The answer to Athena's SQL."""
        ...

    def close(self) -> None:
        """Nothing is asked any more."""
        ...


class Nothing:
    """Where there is no lake."""

    is_empty = True

    def __init__(self, name: Engine) -> None:
        self.name: Engine = name

    def ask(self, sql: str) -> pa.Table:
        """Nobody can be asked."""
        raise AssertionError(sql)

    def close(self) -> None:
        """See `Answers`."""


def lake(location: str, database: str, workgroup: str) -> Answers:
    """The lake, by whoever reads it there."""
    if lake_query.is_remote(location):
        return RemoteLake(database, workgroup, is_empty=not Manifests(location).has_published())
    return LocalLake(location)


class LocalLake:
    """A lake in a folder, read by DuckDB; one connection, so that tables are opened once."""

    name: Engine = "lake"

    def __init__(self, lake: str) -> None:
        self.is_empty = not (Path(lake.removeprefix("file://")) / NAMESPACE).is_dir()
        self._connection = None if self.is_empty else lake_query.connect(lake)

    def ask(self, sql: str) -> pa.Table:
        """See `Answers`."""
        assert self._connection is not None  # noqa: S101 - asked though it is empty
        return lake_query.run(self._connection, parse(sql)).to_arrow_table()

    def close(self) -> None:
        """See `Answers`."""
        if self._connection:
            self._connection.close()


class RemoteLake:
    """A lake in S3, asked through Athena."""

    name: Engine = "lake"

    def __init__(self, database: str, workgroup: str, *, is_empty: bool) -> None:
        from scripts.athena import Athena

        self.is_empty = is_empty
        self._athena = Athena(database, workgroup)

    def ask(self, sql: str) -> pa.Table:
        """See `Answers`."""
        return self._athena.query(sql).read_all()

    def close(self) -> None:
        """See `Answers`."""


class Warehouse:
    """The star in PostgreSQL, all of it as it was at one moment."""

    name: Engine = "warehouse"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connect()
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.is_empty = not self._run("SELECT to_regclass('public.fact_sales_order_current') IS NOT NULL")[0][0]

    def ask(self, sql: str) -> pa.Table:
        """See `Answers`."""
        rows = self._run(sqlglot.transpile(sql, read="athena", write="postgres")[0])
        names = [column["name"] for column in self._connection.columns or []]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return pa.table([pa.array(values) for values in columns], names=names)

    def close(self) -> None:
        """See `Answers`."""
        close(self._connection)

    def _run(self, sql: str) -> Any:
        try:
            return self._connection.run(sql)
        except FAILURES as error:
            raise self._database.explain(error) from error
