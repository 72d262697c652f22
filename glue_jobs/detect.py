"""Detect: asks source, manifests and warehouse whether a run would find anything, and starts the workflow only then.

A Python shell job: a sixteenth of a DPU, no Spark, Python 3.9.
"""

from __future__ import annotations

import logging
import time

from retail_etl import detection, metrics
from retail_etl.errors import ConfigurationError
from retail_etl.job import BareJob, Result, main
from retail_etl.manifests import Manifests

log = logging.getLogger("retail_etl")


def run(job: BareJob) -> Result:
    """Start the workflow that `--workflow` names where a run is needed; else tell that the warehouse is up to date."""
    since = time.monotonic()
    reason, result = detection.look(job, Manifests(job.option("lake")))
    if reason:
        log.info("A run is needed: %s.", reason)
        _start(job.options.get("workflow"))
    else:
        metrics.tell_freshness(job.options.get("metrics_namespace"), time.monotonic() - since)
    return result


def _start(workflow: str | None) -> None:
    if not workflow:  # off Glue, whoever calls this goes on by itself
        return
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    glue = boto3.client("glue")
    try:
        started = glue.start_workflow_run(Name=workflow)
    except glue.exceptions.ConcurrentRunsExceededException:
        log.info("%s is running: what is new meanwhile, the next look finds.", workflow)
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(
            f"The workflow {workflow} cannot be started ({error}). Check its name, and that the role may do "
            "glue:StartWorkflowRun."
        ) from error
    else:
        log.info("%s: run %s is started.", workflow, started["RunId"])


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
