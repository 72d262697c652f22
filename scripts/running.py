"""Runs of a workflow for a command: on the databases that it names, shown while it goes, and ended with a code."""

import json
from collections.abc import Callable, Mapping

import typer

from retail_etl.postgres import Database
from scripts.display import Display, RunDisplay, console, show_run
from scripts.local import LocalPair
from scripts.options import DIFFERS, NEEDS_ATTENTION
from scripts.workflow import Pipeline, Run, read_pipeline, run_pipeline

NO_VARIABLES: Mapping[str, str] = {}


def run_workflow(
    lake: str,
    variables: Mapping[str, str] = NO_VARIABLES,
    pipeline: Pipeline | None = None,
    display: Display | None = None,
    stop: Callable[[], bool] = lambda: False,
    **urls: str,
) -> Run:
    """Run a pipeline. `urls`: of the databases that it needs, by role; the embedded one where it is empty. `stop` is
    asked before each stage whether the run is to end there.
    """
    pair = LocalPair()
    if not all(urls.values()):
        pair.up(note=note)
    databases = {role: Database.from_url(role, url or pair.url(role)) for role, url in urls.items()}
    variables = {**variables, "lake": lake or str(pair.lake)}
    display = display or RunDisplay()
    try:
        return run_pipeline(pipeline or read_pipeline(), variables, databases, display.stage, stop)
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
    if code := exit_code(done):
        raise typer.Exit(code)


def exit_code(done: Run) -> int:
    """What a run's end is to a shell."""
    if done.status == "failed":
        return 1
    if done.differs:
        return DIFFERS
    return NEEDS_ATTENTION if done.needs_attention else 0
