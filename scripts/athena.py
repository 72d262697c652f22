"""Athena itself, for lakes in S3: queries, their results page by page, and the lake's views."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from sqlglot import exp

from retail_etl.postgres import quoted
from retail_etl.schema import BATCH_ID
from scripts import lake_views
from scripts.display import console
from scripts.moments import Moment
from scripts.statements import QueryError, explained, parse

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

_TYPES = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
"""What Athena calls its types. All others, lists among them, are the text that it gives."""


@dataclass(frozen=True)
class Athena:
    """Where queries go. The workgroup says where results lie and how much a query may scan."""

    database: str
    workgroup: str

    @cached_property
    def client(self) -> "AthenaClient":
        """In the region, and with the rights, that the environment names."""
        import boto3

        with _explained():
            return boto3.client("athena")

    def query(self, sql: str, values: Sequence[int | str] = (), moment: Moment | None = None) -> pa.RecordBatchReader:
        """The result of one query, `values` in the place of its `?`; QueryError says what is wrong with it."""
        statement = parse(sql)
        if moment:
            sql = as_of(statement, moment, self.database).sql("athena", pretty=True)
        execution = self.execute(sql, [_literal(value) for value in values])
        if execution.refusal:
            raise explained(execution.refusal, statement, moment)
        console.print(f"Athena scanned {execution.scanned_bytes / 1e6:,.1f} MB")
        return self._rows(execution.id)

    def create_views(self) -> list[str]:
        """Make the lake's views in the Data Catalog, or make them anew. Gives their names."""
        for name, sql in lake_views.views(lake_views.MILLISECONDS).items():
            execution = self.execute(f"CREATE OR REPLACE VIEW {name} AS\n{sql}")
            if execution.refusal:
                raise QueryError(
                    f"The view {name} cannot be made in {self.database}: {execution.refusal} "
                    "Views need the lake's tables, which the first run of the workflow makes."
                )
        return list(lake_views.views())

    def execute(self, sql: str, literals: Sequence[str] = ()) -> "Execution":
        """Run a statement to its end. Interrupted, it is stopped, so that nobody pays for what nobody reads."""
        parameters: dict[str, Any] = {"ExecutionParameters": list(literals)} if literals else {}
        with _explained():
            execution = self.client.start_query_execution(
                QueryString=sql,
                QueryExecutionContext={"Database": self.database},
                WorkGroup=self.workgroup,
                **parameters,
            )["QueryExecutionId"]
            try:
                return self._ended(execution)
            except KeyboardInterrupt:
                self.client.stop_query_execution(QueryExecutionId=execution)
                raise

    def _ended(self, execution: str) -> "Execution":
        pause = 0.1
        while True:
            found = self.client.get_query_execution(QueryExecutionId=execution)["QueryExecution"]
            status = found["Status"]
            if status["State"] == "SUCCEEDED":
                return Execution(execution, found.get("Statistics", {}).get("DataScannedInBytes", 0))
            if status["State"] in ("FAILED", "CANCELLED"):
                return Execution(execution, 0, status.get("StateChangeReason") or status["State"].lower())
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _rows(self, execution: str) -> pa.RecordBatchReader:
        pages = self._pages(execution)
        first = next(pages)
        columns = first["ResultSetMetadata"]["ColumnInfo"]
        schema = pa.schema([(column["Name"], _type(column)) for column in columns])

        def batches() -> Iterator[pa.RecordBatch]:
            first["Rows"] = first["Rows"][1:]  # the names
            for page in chain([first], pages):
                cells = [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["Rows"]]
                texts = list(zip(*cells, strict=True)) if cells else [()] * len(columns)
                typed = zip(texts, schema.types, strict=True)
                arrays = [pa.array(text, pa.string()).cast(kind) for text, kind in typed]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _pages(self, execution: str) -> Iterator[Any]:
        with _explained():
            for page in self.client.get_paginator("get_query_results").paginate(QueryExecutionId=execution):
                yield page["ResultSet"]


@dataclass(frozen=True)
class Execution:
    """A statement that ended. `refusal`: what Athena said, where it did not succeed."""

    id: str
    scanned_bytes: int
    refusal: str | None = None


def as_of(statement: exp.Query, moment: Moment, database: str) -> exp.Query:
    """The statement on the lake as it was: each table and view that it names becomes a subquery of that name, for views
    do not travel in time by themselves.
    """
    own = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    if taken := sorted(own & lake_views.columns().keys()):
        raise QueryError(f"With --as-of, a WITH of the query cannot be called as the lake's {', '.join(taken)} is.")
    needed: dict[str, exp.Query] = {}

    def need(query: exp.Query) -> None:
        for name in dict.fromkeys(table.name.lower() for table in query.find_all(exp.Table)):
            if name in needed:
                continue
            if name in lake_views.views():
                view = parse(lake_views.views()[name])
                need(view)
                needed[name] = view
            elif name in lake_views.TABLES:
                needed[name] = parse(_table_as_of(name, moment, database))

    need(statement)
    past = statement.copy()
    for table in past.find_all(exp.Table):
        if table.name.lower() in needed:  # also where it was named with its database
            table.set("db", None)
            table.set("catalog", None)
    before = [exp.CTE(this=query, alias=exp.TableAlias(this=exp.to_identifier(name))) for name, query in needed.items()]
    theirs = past.args.get("with_") or exp.With(expressions=[])
    theirs.set("expressions", [*before, *theirs.expressions])
    past.set("with_", theirs)
    return past


def _table_as_of(name: str, moment: Moment, database: str) -> str:
    table, place = lake_views.TABLES[name], quoted(database, name)
    if moment.reads_batches(table):
        return f"SELECT * FROM {place} WHERE {BATCH_ID} <= {moment.batch_id}"
    at = moment.published_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"SELECT * FROM {place} FOR TIMESTAMP AS OF TIMESTAMP '{at} UTC'"


def _type(column: Any) -> pa.DataType:
    if column["Type"] == "decimal":
        return pa.decimal128(column["Precision"], column["Scale"])
    return _TYPES.get(column["Type"], pa.string())


def _literal(value: int | str) -> str:
    """A value as Athena takes those of `?`: text in quotes."""
    doubled = str(value).replace("'", "''")
    return doubled if isinstance(value, int) else f"'{doubled}'"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        said = error.response["Error"]
        raise QueryError(
            f"Athena refused ({said['Code']}): {said['Message']} Check --workgroup (it needs a place for results), "
            "--database, and the rights of whoever is logged in."
        ) from error
    except BotoCoreError as error:
        raise QueryError(f"Athena cannot be asked: {error} Check AWS_REGION and the AWS credentials.") from error
