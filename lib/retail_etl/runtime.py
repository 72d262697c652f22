"""Where a job runs: its arguments, databases and Spark session, on Glue and off it."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, TypeVar

from pyspark.sql import SparkSession

from retail_etl import lease, spark, workflow_run
from retail_etl.errors import ConfigurationError, RetailEtlError
from retail_etl.postgres import Database

log = logging.getLogger("retail_etl")

_T = TypeVar("_T")

Status = Literal["succeeded", "nothing_to_do"]


@dataclass(frozen=True)
class Result:
    """What a job did. `rows`: how many it wrote or checked. `batch_ids`: the batches it took, in order.
    `needs_attention`: it did what it could, and something waits for somebody's decision (see `warnings`).
    `differs`: lake or warehouse were found not to be what the source is, and nothing was done about it.
    """

    status: Status
    rows: int = 0
    batch_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    needs_attention: bool = False
    differs: bool = False


NOTHING_TO_DO = Result("nothing_to_do")

PATIENCE_MINUTES = 10
"""How long a job of a Glue workflow waits for the lake: another workflow's job may have it just now, or one that was
killed, which could not give it back.
"""

_OF_THE_RUN = ("JOB_NAME", "WORKFLOW_NAME", "WORKFLOW_RUN_ID")


class Progress:
    """Where a job says how far it is. This one writes lines to the log; people's tools bring their own."""

    def start(self, table: str, total: int | None = None) -> None:
        """Work on a table begins; `total` is the number of rows where it is known."""

    def finish(self, table: str, rows: int, seconds: float) -> None:
        """The table is done."""
        log.info("%s: %s rows, %.1f s, %s rows/s", table, f"{rows:,}", seconds, f"{rows / max(seconds, 1e-3):,.0f}")


@dataclass
class Job:
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

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session with the lake's catalog; started on first use."""
        return spark.session(self.option("lake"))

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


def parse_options(arguments: Sequence[str], required: Sequence[str], optional: Mapping[str, str]) -> dict[str, str]:
    """The options of a job from its command line, as Glue passes it (`--name value`), with what Glue tells of a run."""
    from awsglue.utils import GlueArgumentError, getResolvedOptions

    given = {argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--")}
    names = [*required, *(name for name in (*optional, *_OF_THE_RUN) if name in given)]
    try:
        resolved = getResolvedOptions(list(arguments), names)
    except GlueArgumentError as error:
        raise ConfigurationError(f"The job's arguments do not fit: {error}.") from error
    return dict(optional) | {name: value for name, value in resolved.items() if value is not None}


def main(run: Callable[[Job], Result], required: Sequence[str] = ("lake",), **optional: str) -> None:
    """Run a job from its command line, within Glue's `Job.init` and `commit` where the Glue JVM is there.

    The lake's lease is held meanwhile, and given back before the commit: a run that lost it is not committed. The
    option `wait_minutes` says how long to wait for it.
    A failure is logged once and ends the process with status 1, so that Glue marks the run as failed.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    started = time.monotonic()
    name, options = "", dict[str, str]()
    try:
        options = parse_options(sys.argv, required, {"lake_database": "", "wait_minutes": "", **optional})
        name = options.get("JOB_NAME") or os.path.splitext(os.path.basename(sys.argv[0]))[0]  # noqa: PTH119, PTH122
        result = spark.within_glue(name, options, lambda: _run_alone(run, Job(name, options)))
    except RetailEtlError as error:
        log.error("%s: %s", type(error).__name__, error)
        workflow_run.tell(options, name, {"status": "failed", "error": str(error)})
        sys.exit(1)
    workflow_run.tell(options, name, asdict(result))
    for warning in result.warnings:
        log.warning(warning)
    log.info("%s: %s, %s rows, %.1f s", name, result.status, f"{result.rows:,}", time.monotonic() - started)


def _run_alone(run: Callable[[Job], Result], job: Job) -> Result:
    minutes = job.options.get("wait_minutes") or (PATIENCE_MINUTES if job.options.get("WORKFLOW_RUN_ID") else 0)
    with lease.hold(job.option("lake"), job.name, timedelta(minutes=int(minutes))), spark.explained():
        return run(job)


def side_by_side(
    tasks: Mapping[str, Callable[[], _T]], after: Callable[[str], Iterable[str]] = lambda name: ()
) -> dict[str, _T]:
    """Call the tasks in threads, as many at once as there are cores, the first ones first. `after`: the tasks that must
    be done before one begins; they stand before it.

    The first failure is raised once the tasks that had begun are done; those that had not begun are left out.
    """
    futures: dict[str, Future[_T]] = {}

    def call(name: str) -> _T:
        for earlier in after(name):
            futures[earlier].result()
        spark.describe(name)
        return tasks[name]()

    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        for name in tasks:
            futures[name] = pool.submit(call, name)
        wait(futures.values(), return_when=FIRST_EXCEPTION)
        for future in futures.values():
            if future.done() and not future.cancelled() and future.exception():
                pool.shutdown(cancel_futures=True)
                raise future.exception() or AssertionError
        return {name: future.result() for name, future in futures.items()}
