#!/usr/bin/env python
"""The one command-line interface: `etl.py --help`."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from retail_etl import lease, spark  # noqa: E402
from retail_etl.errors import RetailEtlError  # noqa: E402
from scripts import demo_data, quarantine, query, status, watch  # noqa: E402
from scripts.demo_shown import show_changes, show_counts  # noqa: E402
from scripts.display import console, output, show_error, show_run  # noqa: E402
from scripts.embedded_postgres import EmbeddedPostgresError  # noqa: E402
from scripts.init_source import init  # noqa: E402
from scripts.local import LocalPair  # noqa: E402
from scripts.maintenance_shown import show_maintenance  # noqa: E402
from scripts.options import (  # noqa: E402
    AcceptContract,
    AcceptDeletions,
    AcceptQuarantine,
    AcceptSource,
    AcceptVolume,
    AsJson,
    Deployed,
    Force,
    Lake,
    Source,
    Warehouse,
    accepted,
)
from scripts.report import command as report  # noqa: E402
from scripts.running import end, note, run_deployed_workflow, run_workflow  # noqa: E402
from scripts.workflow import MAINTAIN, REBUILD, RECONCILE, Run, only, read_pipeline  # noqa: E402

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
app.add_typer(quarantine.app, name="quarantine")
app.command()(init)
app.command()(query.query)
app.command()(query.athena_views)
app.command()(status.status)
app.command()(report.report)
app.command()(watch.watch)


@app.command()
def run(
    source: Source = "",
    warehouse: Warehouse = "",
    lake: Lake = "",
    as_json: AsJson = False,
    accept_deletions: AcceptDeletions = None,
    accept_contract: AcceptContract = None,
    accept_quarantine: AcceptQuarantine = None,
    accept_volume: AcceptVolume = None,
    accept_source: AcceptSource = False,
    deployed: Deployed = "",
) -> None:
    """Run the workflow once. Without URLs: on the embedded databases and the lake in .local/.

    With --deployed: as it is deployed, with the databases and the lake of the deployment. Glue runs it, and it is shown
    here; where AWS_ENDPOINT_URL names a server that runs nothing (moto), its jobs run here, as Glue would run them.

    Exit code 0: done, or nothing changed. 1: a stage failed. 3: done, but deletions wait for --accept-deletions.
    """
    variables = accepted(accept_deletions, accept_contract, accept_quarantine, accept_volume, accept_source)
    if deployed:
        if any(value not in ("", "false") for value in variables.values()):
            raise typer.BadParameter(
                "what is accepted stands in the deployment's own arguments", param_hint="--deployed"
            )
        end(run_deployed_workflow(deployed), as_json)
        return
    spark.ends_with_the_run()
    end(run_workflow(lake, variables, source=source, warehouse=warehouse), as_json)


@app.command()
def reconcile(
    source: Source = "",
    warehouse: Warehouse = "",
    lake: Lake = "",
    heal: Annotated[bool, typer.Option("--heal", help="Extract and write again what differs.")] = False,
    as_json: AsJson = False,
    accept_deletions: AcceptDeletions = None,
    accept_contract: AcceptContract = None,
    accept_quarantine: AcceptQuarantine = None,
    accept_volume: AcceptVolume = None,
    accept_source: AcceptSource = False,
) -> None:
    """Run the workflow, then compare source, lake and warehouse, key range by key range.

    Exit code 0: they are equal (with --heal: now). 1: a stage failed. 2: they differ. 3: equal but for deletions that
    wait for --accept-deletions.
    """
    variables = accepted(accept_deletions, accept_contract, accept_quarantine, accept_volume, accept_source)
    caught_up = run_workflow(lake, variables, source=source, warehouse=warehouse)
    if caught_up.status == "failed":
        end(caught_up, as_json)
    variables = {**variables, "heal": str(heal).lower()}
    end(run_workflow(lake, variables, read_pipeline(RECONCILE), source=source, warehouse=warehouse), as_json)


@app.command()
def rebuild(
    what: Annotated[Literal["lake", "warehouse"], typer.Argument(help="lake: from the raw zone. warehouse: from it.")],
    warehouse: Warehouse = "",
    lake: Lake = "",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make the lake anew from the raw zone, or the warehouse from the lake.

    Readers see the old state until the new one is whole and audited; then it takes its place.
    """
    if not force:
        typer.confirm(f"Put what is built anew in the place of all that the {what} holds?", abort=True, err=True)
    if what == "lake":
        done = run_workflow(lake, pipeline=read_pipeline(REBUILD))
    else:
        done = run_workflow(lake, {"rebuild": "true"}, only(read_pipeline(), "load"), warehouse=warehouse)
    end(done, as_json)


@app.command()
def maintain(
    lake: Lake = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    keep_days: Annotated[
        int, typer.Option(min=0, help="Snapshots of so many days stay, for time travel and queries that still run.")
    ] = 7,
    keep_snapshots: Annotated[int, typer.Option(min=1, help="So many of each table stay, however old.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Put small files together, give up old snapshots, and remove what runs that died left behind.

    Readers see the same rows before and after. Exit code 0: done, or nothing to do. 1: it failed; run it again.
    """
    variables = {
        "keep_days": str(keep_days),
        "keep_snapshots": str(keep_snapshots),
        "dry_run": str(dry_run).lower(),
    }
    done = run_workflow(lake, variables, read_pipeline(MAINTAIN))
    if done.report:
        show_maintenance(console if as_json else output, done.report, dry_run=dry_run)
    end(done, as_json)


@app.command()
def demo(scale: float = 1.0) -> None:
    """Fill a source, run the workflow, change the source, run again, and show what arrived."""
    pair = LocalPair()
    spark.ends_with_the_run()
    console.rule("The source: embedded PostgreSQL")
    pair.up(scale, note)
    console.rule("First run")
    _checked(run_workflow("", source="", warehouse=""))
    console.rule("The application works on: 200 changes")
    with pair.owner() as connection:
        changes = demo_data.simulate(connection, 200, deletes=False)
    show_changes(changes)
    console.rule("Second run: only what changed")
    _checked(run_workflow("", source="", warehouse=""))
    console.rule("What arrived")
    show_counts(pair)
    console.print('Look further: etl.py query "SELECT * FROM fact_sales_order_history WHERE version > 1 LIMIT 5"')


def _checked(done: Run) -> None:
    show_run(done)
    if done.status == "failed":
        raise typer.Exit(1)


@app.command()
def up(scale: float = 1.0) -> None:
    """Start the embedded databases; fill the source where it is empty."""
    pair = LocalPair()
    pair.up(scale, note)
    console.print("The embedded databases run. Stop them with: etl.py down")


@app.command()
def down() -> None:
    """Stop the embedded databases; their data stays."""
    LocalPair().down()


@app.command()
def reset(
    force: Force = False,
) -> None:
    """Stop the embedded databases and delete them, with the lake in .local/."""
    pair = LocalPair()
    if not force and pair.home.exists():
        typer.confirm(f"Delete {pair.home}, with source, warehouse and lake?", abort=True, err=True)
    if pair.lake.exists():
        with lease.hold(str(pair.lake), "etl.py reset"):  # not while somebody works on it
            pass
    pair.reset()


@app.command()
def simulate(
    changes: Annotated[int, typer.Option(min=1)] = 100,
    seed: int | None = None,
    deletes: bool = True,
) -> None:
    """Insert, update and delete in the embedded source, as an application would."""
    pair = LocalPair()
    pair.up(note=note)
    with pair.owner() as connection:
        show_changes(demo_data.simulate(connection, changes, seed, deletes=deletes))


def main() -> None:
    """Run the command; an expected error is one paragraph and exit code 1."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except (RetailEtlError, EmbeddedPostgresError) as error:
        show_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
