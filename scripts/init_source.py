"""`etl.py init`: whether somebody's own database is ready for a first run, and what to do before. Reads only."""

import json
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retail_etl import model
from retail_etl.errors import ConfigurationError
from retail_etl.postgres import Database
from scripts.display import output
from scripts.options import NEEDS_ATTENTION, AsJson, Source
from scripts.source_facts import SourceFacts, read_facts
from scripts.source_findings import Finding, Level, findings, first_run_seconds

_COLOURS: dict[Level, str] = {"must": "red", "should": "yellow", "note": "dim"}


def init(source: Source = "", as_json: AsJson = False) -> None:
    """Look whether your own database is ready: rights, contract, indexes, sizes, clocks. Nothing is written.

    Prints the statements that are missing, for an administrator of the source to run. The role needs no more than it
    needs to be read with: CONNECT, USAGE on the schema, SELECT on the tables.

    Exit code 0: ready. 1: it cannot be reached. 3: something must be done first.
    """
    if not source:
        raise ConfigurationError(
            "Whose database? etl.py init --source postgresql://user:password@host:5432/database, or SOURCE_URL in the "
            "environment. (The embedded one needs no preparation: etl.py run.)"
        )
    facts = read_facts(Database.from_url("source", source))
    said = findings(facts)
    if as_json:
        print(json.dumps(as_object(facts, said)))
    else:
        show(output, facts, said)
    if not is_ready(said):
        raise typer.Exit(NEEDS_ATTENTION)


def is_ready(said: list[Finding]) -> bool:
    """Whether a first run can go through."""
    return all(finding.level != "must" for finding in said)


def as_object(facts: SourceFacts, said: list[Finding]) -> dict[str, Any]:
    """What `--json` prints: `ready`, `findings` and `tables` (lists), sizes and seconds as estimates."""
    return {
        "ready": is_ready(said),
        "source": str(facts.database),
        "server_version": facts.server_version,
        "time_zone": facts.time_zone,
        "is_standby": facts.is_standby,
        "estimated_rows": sum(table.rows or 0 for table in facts.tables.values()),
        "estimated_bytes": sum(table.size_bytes for table in facts.tables.values()),
        "estimated_first_run_seconds": round(first_run_seconds(facts)),
        "tables": [
            {"table": table.name, "rows": table.rows, "bytes": table.size_bytes} for table in facts.tables.values()
        ],
        "findings": [asdict(finding) for finding in said],
    }


# ---------------------------------------------------------------------------- for people


def show(console: Console, facts: SourceFacts, said: list[Finding]) -> None:
    """Sizes, findings, and at the end the statements alone, to be handed on."""
    console.print(Text(f"{facts.database}: PostgreSQL {facts.server_version}"), soft_wrap=True)
    console.print()
    console.print(_sizes(facts))
    console.print()
    console.print(_found(said))
    for heading, level in (("To be done first:", "must"), ("Better done as well:", "should")):
        statements = [line for finding in said if finding.level == level for line in finding.statements]
        if statements:
            console.print(f"\n{heading}\n")
            for statement in statements:
                console.print(Text(f"  {statement}"), soft_wrap=True)
    console.print()
    console.print(_verdict(facts, said), soft_wrap=True)


def _sizes(facts: SourceFacts) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("table", "left"), ("rows, about", "right"), ("MB", "right"), ("is read", "left")):
        shown.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for table in facts.tables.values():
        rows = f"{table.rows:,}" if table.rows is not None else "?"
        how = "from its fence" if model.SOURCE[table.name].extract == "incremental" else "whole, when it changed"
        shown.add_row(table.name, rows, f"{table.size_bytes / 1e6:,.1f}", how)
    return shown


def _found(said: list[Finding]) -> Table:
    shown = Table("", "about", "found", "what to do", box=None, pad_edge=False, header_style="bold")
    for finding in said:
        level = Text(finding.level, style=_COLOURS[finding.level])
        cells = (Text(cell, overflow="fold") for cell in (finding.about, finding.found, finding.do))
        shown.add_row(level, *cells)
    return shown


def _verdict(facts: SourceFacts, said: list[Finding]) -> Text:
    first = sum(finding.level == "must" for finding in said)
    if first:
        return Text(f"Not ready: {first} finding{'s' if first > 1 else ''} above must be mended first.", style="red")
    seconds = first_run_seconds(facts)
    takes = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return Text(f"Ready. The first run reads everything, about {takes} on two cores: etl.py run --source …", "green")
