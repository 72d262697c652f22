"""`etl.py query`: a query, written out or named, on a lake now or as it was; and the lake's views for Athena."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from retail_etl.errors import ConfigurationError
from retail_etl.lake import NAMESPACE
from scripts.display import console, output
from scripts.local import LocalPair
from scripts.options import Format, Lake

if TYPE_CHECKING:
    import pyarrow as pa

Database = Annotated[str, typer.Option(envvar="ATHENA_DATABASE", help="The lake's database in the Data Catalog.")]
Workgroup = Annotated[str, typer.Option(envvar="ATHENA_WORKGROUP", help="Athena's workgroup.")]


def query(
    sql: Annotated[str, typer.Argument(help="Athena's SQL; - reads it from standard input.")] = "",
    name: Annotated[str, typer.Option(help="A named query in the place of SQL.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the named query.")
    ] = None,
    shows_list: Annotated[bool, typer.Option("--list", help="List the named queries.")] = False,
    as_of: Annotated[
        str,
        typer.Option("--as-of", "--history", metavar="BATCH|TIME", help="The lake as readers saw it then (UTC)."),
    ] = "",
    how: Annotated[
        Format | None, typer.Option("--format", help="Default: table on a terminal, else csv, or as FILE is named.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write there.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many rows at most (a table: 100).")] = None,
    lake: Lake = "",
    database: Database = NAMESPACE,
    workgroup: Workgroup = "primary",
) -> None:
    """Athena's SQL on the lake: the star tables, and their *_current and *_history views.

    On a lake in a folder DuckDB runs it, on one in S3 Athena itself. Exit code 0: done, however many rows. 1: it
    cannot be run, and the error says why. 2: the options do not go together.
    """
    if shows_list:
        _list()
        return
    if bool(sql) == bool(name):
        raise typer.BadParameter("one of the two, please: SQL, or --name of a named query (--list shows them).")
    if settings and not name:
        raise typer.BadParameter("--set is for named queries.")
    from scripts import results

    to = results.chosen(how, file)
    values = []
    if name:
        from scripts.named_queries import named_query

        named = named_query(name)
        sql, values = named.sql, named.values(settings or [])
    elif sql == "-":
        sql = sys.stdin.read()
    rows = ask(sql, values, lake, database, workgroup, as_of)
    console.print(results.put(rows, to, file, limit), soft_wrap=True)


def athena_views(
    database: Database = NAMESPACE,
    workgroup: Workgroup = "primary",
    prints: Annotated[bool, typer.Option("--print", help="Print the SQL instead.")] = False,
) -> None:
    """Make the lake's *_current and *_history views in Athena, or make them anew; after the first run."""
    from scripts import lake_views

    if prints:
        for view, sql in lake_views.views(lake_views.MILLISECONDS).items():
            print(f"CREATE OR REPLACE VIEW {view} AS\n{sql};\n")
        return
    from scripts.athena import Athena

    for view in Athena(database, workgroup).create_views():
        console.print(f"  {view}")


def ask(sql: str, values: list, lake: str, database: str, workgroup: str, as_of: str = "") -> "pa.RecordBatchReader":
    """The result of a query on the lake, the one in `.local` where none is named."""
    from retail_etl.raw import RawZone
    from scripts import lake_query
    from scripts.moments import find_moment

    lake = lake or str(LocalPair().lake)
    is_remote = lake_query.is_remote(lake)
    if not is_remote and not Path(lake.removeprefix("file://")).is_dir():
        raise ConfigurationError(f"There is no lake in {lake} yet: run the workflow first (etl.py run).")
    moment = find_moment(RawZone(lake), as_of) if as_of else None
    if moment:
        console.print(f"as of batch {moment.batch_id}, published {moment.published_at:%Y-%m-%d %H:%M:%S} UTC")
    if is_remote:
        from scripts.athena import Athena

        return Athena(database, workgroup).query(sql, values, moment)
    return lake_query.read(lake, sql, values, moment)


def _list() -> None:
    from scripts.named_queries import named_queries

    table = Table("name", "title", "parameters", box=None, pad_edge=False)
    for one in named_queries().values():
        parameters = "\n".join(f"--set {parameter.name}=… ({parameter.description})" for parameter in one.parameters)
        table.add_row(one.name, Text(one.title), Text(parameters))
    output.print(table)
