"""`etl.py quarantine`: which source rows are set aside and why, and another try for them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from retail_etl import model
from retail_etl.errors import ConfigurationError
from retail_etl.lake import NAMESPACE
from scripts.display import console, output
from scripts.options import AcceptQuarantine, AsJson, Lake, Source, Warehouse, named
from scripts.query import Database, Workgroup, ask
from scripts.running import end, run_workflow

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(no_args_is_help=True, help="Source rows that break a rule: what is set aside, why, and another try.")

OneTable = Annotated[str, typer.Option("--table", metavar="TABLE", help="Of this source table alone.")]

# Athena gives lists as text, in which a comma may be anything: as JSON it is told apart.
_REASONS = "json_format(CAST(reasons AS json)) AS reasons"


@app.command("list")
def list_rows(
    table: OneTable = "",
    lake: Lake = "",
    limit: Annotated[int, typer.Option(min=1, help="Show so many rows at most.")] = 200,
    as_json: AsJson = False,
    database: Database = NAMESPACE,
    workgroup: Workgroup = "primary",
) -> None:
    """Show what is in quarantine: table, key, reasons, and the batch that set it aside."""
    rows = _asked(
        ask(
            f"SELECT table_name, record_id, {_REASONS}, waits, batch_id, found_at FROM quarantine_current "
            "WHERE ? IN ('', table_name) ORDER BY table_name, record_id",
            [_known(table)],
            lake,
            database,
            workgroup,
        )
    )
    if as_json:
        print(json.dumps([_as_json(row) for row in rows]))
        return
    if not rows:
        console.print("Nothing is in quarantine." if not table else f"Nothing of {table} is in quarantine.")
        return
    shown = Table("table", "key", "reasons", "batch", box=None, pad_edge=False)
    for row in rows[:limit]:
        waits = " (comes in by itself when the other row does)" if row["waits"] else ""
        reasons = Text("; ".join(row["reasons"]) + waits, overflow="fold")
        shown.add_row(row["table_name"], str(row["record_id"]), reasons, str(row["batch_id"]))
    output.print(shown)
    more = f", {limit:,} of them shown (--limit)" if len(rows) > limit else ""
    console.print(f"{len(rows):,} row{'s' if len(rows) > 1 else ''}{more}. A whole one: etl.py quarantine show KEY")


@app.command()
def show(
    key: Annotated[int, typer.Argument(help="The row's key in its source table.")],
    table: OneTable = "",
    lake: Lake = "",
    as_json: AsJson = False,
    database: Database = NAMESPACE,
    workgroup: Workgroup = "primary",
) -> None:
    """Show a row as it was extracted, and all that became of it."""
    events = _asked(
        ask(
            f'SELECT table_name, record_id, is_held, waits, {_REASONS}, "row", batch_id, found_at FROM quarantine '
            "WHERE record_id = ? AND ? IN ('', table_name) ORDER BY table_name, batch_id",
            [key, _known(table)],
            lake,
            database,
            workgroup,
        )
    )
    if not events:
        where = f"{table} {key}" if table else f"a row with key {key}"
        raise ConfigurationError(f"Quarantine never held {where}: etl.py quarantine list shows what it holds.")
    if as_json:
        print(json.dumps([_as_json(event) for event in events]))
        return
    for event in events:
        what = "was set aside" if event["is_held"] else "left"
        output.print(Text(f"{event['table_name']} {key} {what} in batch {event['batch_id']} ({event['found_at']} UTC)"))
        for reason in event["reasons"]:
            output.print(Text(f"  {reason}", overflow="fold"))
        if event["row"]:
            output.print_json(event["row"])


@app.command()
def redrive(
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="TABLE", help="These source tables alone.")
    ] = None,
    source: Source = "",
    warehouse: Warehouse = "",
    lake: Lake = "",
    accept_quarantine: AcceptQuarantine = None,
    as_json: AsJson = False,
) -> None:
    """Read the rows in quarantine again and run the workflow: after a rule was changed, or to see what is mended.

    What is good now comes in; what is not stays where it is. Exit codes are those of `run`.
    """
    variables = {"redrive": named(table) or "all", "accept_quarantine": named(accept_quarantine)}
    end(run_workflow(lake, variables, source=source, warehouse=warehouse), as_json)


def _known(table: str) -> str:
    if table and table not in model.SOURCE:
        raise ConfigurationError(f"--table {table}: no such source table. There are {', '.join(model.SOURCE)}.")
    return table


def _asked(found: "pa.RecordBatchReader") -> list[dict[str, Any]]:
    return [row | {"reasons": json.loads(row["reasons"])} for row in found.read_all().to_pylist()]


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if name == "found_at" else value for name, value in row.items()}
