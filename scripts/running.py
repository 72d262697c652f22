"""Runs of a workflow for a command: on the databases that it names, shown while it goes, and ended with a code."""

import json
from collections.abc import Mapping

import typer

from retail_etl.postgres import Database
from scripts.display import RunDisplay, console, show_run
from scripts.local import LocalPair
from scripts.options import DIFFERS, NEEDS_ATTENTION
from scripts.workflow import Pipeline, Run, read_pipeline, run_pipeline

NO_VARIABLES: Mapping[str, str] = {}


def run_workflow(
    lake: str,
    variables: Mapping[str, str] = NO_VARIABLES,
    pipeline: Pipeline | None = None,
    **urls: str,
) -> Run:
    """Run a pipeline. `urls`: of the databases that it needs, by role; the embedded one where it is empty."""
    pair = LocalPair()
    if not all(urls.values()):
        pair.up(note=note)
    databases = {role: Database.from_url(role, url or pair.url(role)) for role, url in urls.items()}
    variables = {**variables, "lake": lake or str(pair.lake)}
    display = RunDisplay()
    try:
        return run_pipeline(pipeline or read_pipeline(), variables, databases, display.stage)
    finally:
        display.close()


def run_deployed_workflow(name: str) -> Run:
    """Run a workflow as it is deployed, and show its jobs as they begin and end."""
    from scripts.deployed import run_deployed

    display = RunDisplay()
    try:
        return run_deployed(name, display.stage(name), LocalPair().home / "deployed")
    finally:
        display.close()


def note(table: str, rows: int) -> None:
    """A table of the embedded source was filled."""
    console.print(f"  {table:<18} {rows:>10,} rows")


def end(done: Run, as_json: bool) -> None:
    """Show what was done, and exit with the code that tells it."""
    show_run(done)
    if as_json:
        print(json.dumps(done.as_json()))
    if done.status == "failed":
        raise typer.Exit(1)
    if done.differs:
        raise typer.Exit(DIFFERS)
    if done.needs_attention:
        raise typer.Exit(NEEDS_ATTENTION)
