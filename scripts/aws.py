"""What is done by hand on a deployment: put secrets, follow logs, empty what holds data."""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(root), str(root / "lib")]

import typer

from retail_etl.errors import ConfigurationError, RetailEtlError
from retail_etl.postgres import Database
from scripts import emptying
from scripts.deployment import FAILURES, Deployment, read_deployment
from scripts.display import show_error
from scripts.local import LocalPair
from scripts.options import Force, Lake, Warehouse

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

_POLL_SECONDS = 3.0
_URLS = {"production": "PRODUCTION_URL", "warehouse": "WAREHOUSE_URL"}
_SHELL_LOGS = "/aws-glue/python-jobs/error"  # where Glue puts the standard error of all Python shell jobs


@app.command()
def secret(which: Annotated[Literal["production", "warehouse"], typer.Argument()]) -> None:
    """Put the database that PRODUCTION_URL or WAREHOUSE_URL names into the deployment's secret. Its password is never
    shown.
    """
    deployed = read_deployment()
    print(put_secret(deployed, which, os.environ.get(_URLS[which], "")))


def put_secret(deployed: Deployment, which: str, url: str) -> str:
    """Put it where it differs from what is there; a sentence that says what was done. ConfigurationError where the URL
    is missing or the secret cannot be written.
    """
    if not url:
        raise ConfigurationError(f"{_URLS[which]} is not set: write it into .env (see .env.example).")
    database = Database.from_url(which, url)
    value = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.database,
        "sslmode": database.ssl_mode,
    }
    Database.from_secret(which, value)  # refuses what a job would refuse
    name = deployed.secrets[which]
    client = deployed.client("secretsmanager")
    try:
        try:
            if json.loads(client.get_secret_value(SecretId=name)["SecretString"]) == value:
                return f"The secret {name} names the {database} already."
        except (client.exceptions.ResourceNotFoundException, json.JSONDecodeError):
            pass  # it has no value yet, or one that is none of ours
        client.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    except FAILURES as error:
        raise ConfigurationError(f"The secret {name} cannot be written ({error}): make deploy makes it.") from error
    return f"The secret {name} names the {database} now."


@app.command()
def logs(
    job: Annotated[str, typer.Option("--job", help="One job of glue_jobs/*.json; else all.")] = "",
    minutes: Annotated[int, typer.Option("--since-minutes", min=0, help="Begin so far back.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = True,
) -> None:
    """Show what the deployed jobs write, as it comes."""
    deployed = read_deployment()
    groups = {**deployed.log_groups, "Python shell jobs": _SHELL_LOGS}
    if job:
        groups = {job: deployed.log_groups.get(job, _SHELL_LOGS)}
    since = int((time.time() - 60 * minutes) * 1000)
    try:
        for line in events(deployed, groups, since, follow=follow):
            print(line, flush=True)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def events(deployed: Deployment, groups: dict[str, str], since: int, *, follow: bool) -> Iterator[str]:
    """Lines of the log groups, oldest first, from `since` (milliseconds) on; without end where they are followed.
    `groups`: name to show → log group. A group that is not there yet is looked for again.
    """
    client = deployed.client("logs")
    # An event may arrive after a later one: a minute is read again, and what was shown is left out.
    shown: dict[str, int] = {}
    while True:
        found = []
        for name, group in groups.items():
            try:
                pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
                found += [(event["timestamp"], name, event) for page in pages for event in page["events"]]
            except client.exceptions.ResourceNotFoundException:
                continue
            except FAILURES as error:
                raise ConfigurationError(f"The log group {group} cannot be read: {error}") from error
        for at, name, event in sorted(found, key=lambda one: one[:2]):
            if event["eventId"] not in shown:
                shown[event["eventId"]] = at
                clock = datetime.fromtimestamp(at / 1000, UTC)
                yield f"{clock:%H:%M:%S} {name:<18} {event['message'].rstrip()}"
        if not follow:
            return
        since = max([since, *(at - 60_000 for at in shown.values())])
        shown = {event_id: at for event_id, at in shown.items() if at >= since}
        time.sleep(_POLL_SECONDS)


@app.command()
def empty(
    what: Annotated[Literal["raw", "lake", "warehouse", "all"], typer.Argument()],
    lake: Lake = "",
    warehouse: Warehouse = "",
    is_deployed: Annotated[bool, typer.Option("--deployed", help="What Terraform's state names.")] = False,
    force: Force = False,
) -> None:
    """Empty the raw zone, the lake, the warehouse, or all three; first it shows what will go, and asks.

    Without --deployed: what --lake and --warehouse name, else the embedded ones.
    """
    places = chosen(what, read_deployment() if is_deployed else None, lake, warehouse)
    for place in places:
        print(f"Will be emptied: {place.describe()}")
    if not force:
        typer.confirm("There is no way back. Empty?", abort=True, err=True)
    for place in places:
        place.empty()
        print(f"Emptied. Left: {place.describe()}")


def chosen(
    what: str, deployed: Deployment | None, lake: str, warehouse: str
) -> list[emptying.Raw | emptying.Lake | emptying.Warehouse]:
    """What is to be emptied, in an order in which each step alone leaves a state that the next run can work with."""
    location = deployed.lake if deployed else lake or str(LocalPair().lake)
    if "://" not in location and what != "warehouse" and not Path(location).is_dir():
        raise ConfigurationError(f"There is no lake in {location}: nothing to empty.")
    tables = emptying.Lake(location, deployed)
    found: list[emptying.Raw | emptying.Lake | emptying.Warehouse] = []
    if what in ("warehouse", "all"):
        found.append(emptying.Warehouse(deployed.warehouse() if deployed else _local_warehouse(warehouse)))
    if what in ("lake", "all"):
        found.append(tables)
    if what in ("raw", "all"):
        found.append(emptying.Raw(location, tables))
    return found


def _local_warehouse(url: str) -> Database:
    if not url:
        pair = LocalPair()
        pair.up()
        url = pair.warehouse_url
    return Database.from_url("warehouse", url)


@app.command()
def trigger(name: Annotated[str, typer.Argument(help="One of glue_jobs/*.json.")] = "pipeline") -> None:
    """Start a deployed workflow, and follow it to its end."""
    from scripts.running import end, run_deployed_workflow

    workflows = read_deployment().workflows
    if name not in workflows:
        raise ConfigurationError(f"There is no workflow {name}: there are {', '.join(sorted(workflows))}.")
    end(run_deployed_workflow(workflows[name]), as_json=False)


def main() -> None:
    """Run the command; an expected error is one paragraph and exit code 1."""
    try:
        app()
    except RetailEtlError as error:
        show_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
