"""Where a Spark job runs, on Glue and off it: its session, its lease, and its tables side by side."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from typing import TypeVar

from pyspark.sql import SparkSession

from retail_etl import job, lease, spark
from retail_etl.errors import ConfigurationError
from retail_etl.job import NOTHING_TO_DO, BareJob, Progress, Result

__all__ = ["NOTHING_TO_DO", "Job", "Progress", "Result", "main", "parse_options", "side_by_side", "started"]

_T = TypeVar("_T")


PATIENCE_MINUTES = 10
"""How long a job of a Glue workflow waits for the lake: another workflow's job may have it just now, or one that was
killed, which could not give it back.
"""

_OF_THE_RUN = ("JOB_NAME", "WORKFLOW_NAME", "WORKFLOW_RUN_ID")


class Job(BareJob):
    """A job that may use Spark."""

    _expected: int | None = None

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session with the lake's catalog; started on first use."""
        return spark.session(self.option("lake"), self._expected)

    def expect(self, rows: int) -> None:
        """Say that the job goes over about so many rows, before it plans a query."""
        self._expected = rows
        spark.suit(self.spark, rows)


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
    optional = {"lake_database": "", "wait_minutes": "", **optional}

    def within_glue(name: str, options: dict[str, str]) -> Result:
        return spark.within_glue(name, options, partial(_run_alone, run, Job(name, options)))

    job.told(lambda: parse_options(sys.argv, required, optional), within_glue)


def _run_alone(run: Callable[[Job], Result], one: Job) -> Result:
    minutes = one.options.get("wait_minutes") or str(PATIENCE_MINUTES if one.options.get("WORKFLOW_RUN_ID") else 0)
    if not minutes.isdecimal():
        raise ConfigurationError(f"--wait_minutes {minutes} is no number of minutes.")
    with lease.hold(one.option("lake"), one.name, timedelta(minutes=int(minutes))), spark.explained():
        return run(one)


@contextmanager
def started(tasks: Mapping[str, Callable[[], _T]]) -> Iterator[dict[str, Future[_T]]]:
    """Call the tasks in threads, as many at once as there are cores, the first ones first, while the block runs. Gives,
    for each, what it will have returned, or raised.

    Where the block is left by an error, the tasks that had not begun are left out.
    """

    def call(name: str) -> _T:
        spark.describe(name)
        return tasks[name]()

    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        futures = {name: pool.submit(call, name) for name in tasks}
        try:
            yield futures
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
