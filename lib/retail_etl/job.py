"""A job: its options, its databases, and what it says in the end. Without Spark, and for Python 3.9 as well."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from retail_etl import model, workflow_run
from retail_etl.errors import ConfigurationError, RetailEtlError
from retail_etl.postgres import Database

log = logging.getLogger("retail_etl")

Status = Literal["succeeded", "nothing_to_do"]


@dataclass(frozen=True)
class Result:
    """What a job did. `rows`: how many it wrote or checked. `batch_ids`: the batches it took, in order.
    `needs_attention`: it did what it could, and something waits for somebody's decision (see `warnings`).
    `differs`: lake or warehouse were found not to be what the source is, and nothing was done about it.
    `report`: what else a program may want to know of it, as JSON has it.
    """

    status: Status
    rows: int = 0
    batch_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    needs_attention: bool = False
    differs: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)


NOTHING_TO_DO = Result("nothing_to_do")


class Progress:
    """Where a job says how far it is. This one writes lines to the log; people's tools bring their own."""

    def start(self, table: str, total: int | None = None) -> None:
        """Work on a table begins; `total` is the number of rows where it is known."""

    def finish(self, table: str, rows: int, seconds: float) -> None:
        """The table is done."""
        log.info("%s: %s rows, %.1f s, %s rows/s", table, f"{rows:,}", seconds, f"{rows / max(seconds, 1e-3):,.0f}")


@dataclass
class BareJob:
    """One run of one job: its options, and what it may use. Nothing is opened before it is asked for."""

    name: str
    options: Mapping[str, str]
    databases: Mapping[str, Database] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    def option(self, name: str) -> str:
        """A required option; ConfigurationError names it where it is missing."""
        if not self.options.get(name):
            raise ConfigurationError(f"The job {self.name} needs --{name}.")
        return self.options[name]

    def tables(self, option: str) -> frozenset[str]:
        """The source tables that an option names; ConfigurationError where one is none of the source's."""
        named = frozenset(filter(None, self.options.get(option, "").split(",")))
        if unknown := named - set(model.SOURCE):
            raise ConfigurationError(
                f"--{option.replace('_', '-')} {', '.join(sorted(unknown))}: no such source table. "
                f"There are {', '.join(model.SOURCE)}."
            )
        return named

    def database(self, role: str) -> Database:
        """The source or the warehouse: as handed in, else from the secret that the options name, else from the
        environment (`SOURCE_URL`, `WAREHOUSE_URL`).
        """
        if role in self.databases:
            return self.databases[role]
        if secret := self.options.get(f"{role}_secret"):
            return Database.from_secret(role, _read_secret(role, secret))
        variable = f"{role.upper()}_URL"
        if url := os.environ.get(variable):
            return Database.from_url(role, url)
        raise ConfigurationError(f"No {role} is named: give --{role}_secret NAME, or set {variable}.")


def _read_secret(role: str, name: str) -> dict[str, Any]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        secret = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(f"The secret '{name}' of the {role} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"The secret '{name}' of the {role} is no JSON object.") from error
    if not isinstance(secret, dict):
        raise ConfigurationError(f"The secret '{name}' of the {role} is no JSON object.")
    return secret


def main(run: Callable[[BareJob], Result], required: Sequence[str] = ("lake",), **optional: str) -> None:
    """Run a job that needs neither Spark nor the lease from its command line, as a Glue Python shell job does.

    A failure is logged once and ends the process with status 1, so that Glue marks the run as failed.
    """
    told(lambda: parse_options(sys.argv[1:], required, optional), lambda name, options: run(BareJob(name, options)))


def parse_options(arguments: Sequence[str], required: Sequence[str], optional: Mapping[str, str]) -> dict[str, str]:
    """The options of a job from its command line, as Glue passes it (`--name value`, and more that is its own)."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in (*required, *optional, "JOB_NAME"):
        parser.add_argument(f"--{name}", nargs="?", default=optional.get(name), const="")
    given = vars(parser.parse_known_args(arguments)[0])
    if missing := [name for name in required if not given[name]]:
        raise ConfigurationError(f"The job needs --{', --'.join(missing)}.")
    return {name: value for name, value in given.items() if value is not None}


def told(parse: Callable[[], dict[str, str]], run: Callable[[str, dict[str, str]], Result]) -> None:
    """Call `run` with the name and the options of the job, and log what became of it."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.stderr)
    log.setLevel(logging.INFO)  # what libraries find worth telling fills pages
    started = time.monotonic()
    name = ""
    options: dict[str, str] = {}
    try:
        options = parse()
        name = options.get("JOB_NAME") or os.path.splitext(os.path.basename(sys.argv[0]))[0]  # noqa: PTH119, PTH122
        result = run(name, options)
    except RetailEtlError as error:
        log.error("%s: %s", type(error).__name__, error)
        workflow_run.tell(options, name, {"status": "failed", "error": str(error)})
        sys.exit(1)
    workflow_run.tell(options, name, asdict(result))
    for warning in result.warnings:
        log.warning(warning)
    if result.report:
        log.info(json.dumps(result.report))
    log.info("%s: %s, %s rows, %.1f s", name, result.status, f"{result.rows:,}", time.monotonic() - started)
