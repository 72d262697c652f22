"""Detect: asks source, manifests and warehouse whether a run would find anything, and starts the workflow only then.

A Python shell job: a sixteenth of a DPU, no Spark, Python 3.9.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retail_etl import detection, metrics
from retail_etl.errors import ConfigurationError
from retail_etl.job import BareJob, Result, main
from retail_etl.manifests import Manifests
from retail_etl.metrics import Metric

log = logging.getLogger("retail_etl")


def run(job: BareJob) -> Result:
    """Start the workflow that `--workflow` names where a run is needed; else tell that the warehouse is up to date."""
    since = time.monotonic()
    namespace, workflow = job.options.get("metrics_namespace"), job.options.get("workflow")
    reason, result = detection.look(job, Manifests(job.option("lake")))
    if reason:
        log.info("A run is needed: %s.", reason)
        _start(workflow)
    else:
        metrics.tell_freshness(namespace, time.monotonic() - since)
    if namespace and workflow:  # last: what cannot be measured keeps no run from starting
        _tell_failed_actions(namespace, workflow)
    return result


def _tell_failed_actions(namespace: str, workflow: str) -> None:
    """Publish how many actions of the workflow's last finished run failed, took too long or could not start: such a run
    reads COMPLETED, and what could not start has no event that tells.
    """
    with _glue(workflow, "asked for its runs") as glue:
        finished = [run for run in glue.get_workflow_runs(Name=workflow)["Runs"] if run.get("CompletedOn")]
    if finished:
        last = max(finished, key=lambda run: run["StartedOn"]).get("Statistics", {})
        failed = sum(last.get(f"{how}Actions", 0) for how in ("Failed", "Timeout", "Errored"))
        metrics.publish(namespace, [Metric("FailedActions", failed, "Count")])


def _start(workflow: str | None) -> None:
    if not workflow:  # off Glue, whoever calls this goes on by itself
        return
    with _glue(workflow, "started") as glue:
        try:
            started = glue.start_workflow_run(Name=workflow)
        except glue.exceptions.ConcurrentRunsExceededException:
            log.info("%s is running: what is new meanwhile, the next look finds.", workflow)
        else:
            log.info("%s: run %s is started.", workflow, started["RunId"])


@contextmanager
def _glue(workflow: str, done: str) -> Iterator[Any]:
    """A client; ConfigurationError where Glue refuses what is `done` to the workflow within the block."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield boto3.client("glue")
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(
            f"The workflow {workflow} cannot be {done} ({error}). Check its name, and that the role may do "
            "glue:StartWorkflowRun and glue:GetWorkflowRuns."
        ) from error


if __name__ == "__main__":
    main(
        run,
        ("lake", "workflow"),
        source_secret="",
        warehouse_secret="",
        source_time_zone="",
        accept_deletions="",
        accept_source="",
        accept_contract="",
        redrive="",
        rebuild="",
        metrics_namespace="",
    )
