"""Write docs/queries.md: what the named queries give on `sample_lake.sql`; `--check` fails where it is older."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp

from scripts import generated, lake_views
from scripts.lake_query import create_views, empty, run
from scripts.named_queries import NamedQuery, Value, named_queries
from scripts.statements import parse

TARGET = Path(__file__).resolve().parent.parent / "docs" / "queries.md"
SAMPLE = Path(__file__).with_name("sample_lake.sql")
TODAY = "2024-03-10"
VALUES: dict[str, Value] = {"order": 100}

_INTRODUCTION = """# Queries

Made from `terraform/queries/` by `make queries`: change them there. Each is a named query in Athena, and runs on any
lake by its name:

```console
$ etl.py query --list
$ etl.py query --name sales_by_day
$ etl.py query --name order_history --set order=100 --format json
$ etl.py query --name payments_due --output due.parquet
$ etl.py query --name sales_by_day --as-of 2024-03-01T12:00
```

Queries of your own are written in Athena's SQL, on the tables of the [data dictionary](data-dictionary.md) and on the
views below: `etl.py query "SELECT …"`. On a lake in a folder DuckDB runs them, on one in S3 Athena itself
(`--workgroup`, `--database`). `--as-of BATCH|TIME` shows the lake as its readers saw it then. Amounts of different
currencies are never added up.

What is shown here is what the queries give on a lake of a few rows, `scripts/sample_lake.sql`, on 10 March 2024.
"""


def render() -> str:
    """The whole page as Markdown."""
    with sample_lake() as lake:
        sections = [line for query in named_queries().values() for line in _section(lake, query)]
    return "\n".join([_INTRODUCTION, *_views(), *sections]).rstrip() + "\n"


def sample_lake() -> duckdb.DuckDBPyConnection:
    """A database with the sample's tables, and the lake's views of them."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA sample")
    for table in lake_views.TABLES.values():
        connection.execute(f"CREATE TABLE sample.{table.name} AS SELECT * FROM {empty(table)}")
    connection.execute(SAMPLE.read_text(encoding="utf-8"))
    create_views(connection, lambda table: f"sample.{table.name}")
    return connection


def ask(lake: duckdb.DuckDBPyConnection, query: NamedQuery) -> duckdb.DuckDBPyRelation:
    """What the query gives on the sample, on its day."""
    values = [VALUES[parameter.name] for parameter in query.parameters]
    return run(lake, parse(query.sql).transform(_on_the_day), values)


def _on_the_day(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.CurrentDate):
        return sqlglot.parse_one(f"DATE '{TODAY}'", read="athena")
    if isinstance(node, exp.CurrentTimestamp):
        return sqlglot.parse_one(f"TIMESTAMP '{TODAY} 12:00:00 UTC'", read="athena")
    return node


def _views() -> Iterator[str]:
    yield from ("## Views", "")
    yield (
        "`<dimension>_current` and `<fact>_current` have the columns of their table: the rows that the source still "
        "has, of a fact the newest version. `<fact>_history` has all versions, with `version` (from 1), `valid_from`, "
        "`valid_to` (by the source's clock; NULL: until now), `is_current` and `deleted_at` (UTC; NULL: it exists). "
        "`quarantine_current` is what is set aside now, `missing` which source rows are deleted. "
        "`make athena-views` makes them in Athena, once the first run has made the tables."
    )
    yield ""


def _section(lake: duckdb.DuckDBPyConnection, query: NamedQuery) -> Iterator[str]:
    found = ask(lake, query)
    yield from (f"## {query.name}", "", f"{query.title}. {query.description}", "")
    for parameter in query.parameters:
        yield from (f"`--set {parameter.name}=…` ({parameter.type}): {parameter.description}.", "")
    typed = [f"`{name}` {str(kind).lower()}" for name, kind in zip(found.columns, found.types, strict=True)]
    yield from (f"Columns: {', '.join(typed)}.", "")
    yield from (_row(found.columns), _row(["---"] * len(found.columns)))
    yield from (_row([_cell(value) for value in row]) for row in found.fetchall())
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cell(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "terraform/queries/: run make queries", sys.argv[1:]))
