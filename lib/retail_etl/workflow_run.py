"""What a job of a Glue workflow tells the others, and people: it stands among the properties of the workflow's run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger("retail_etl")


def tell(options: Mapping[str, str], job: str, report: Mapping[str, Any]) -> None:
    """Put the report, as JSON, under the job's name; nothing where Glue runs it in no workflow.

    It is for people: where it cannot be put there, the log says so, and the job has still done what it did.
    """
    if not options.get("WORKFLOW_RUN_ID"):
        return
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        boto3.client("glue").put_workflow_run_properties(
            Name=options["WORKFLOW_NAME"],
            RunId=options["WORKFLOW_RUN_ID"],
            RunProperties={job: json.dumps(report, ensure_ascii=False)},
        )
    except (BotoCoreError, ClientError) as error:
        log.warning("What became of %s is not told to its workflow run: %s", job, error)
