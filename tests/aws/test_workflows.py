"""The workflows as Glue has them after `terraform apply`, against the files that describe them."""

import json
from typing import Any

import pytest

from tests.aws.conftest import ROOT, Deployment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FILES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "glue_jobs").glob("*.json"))
}


def _graph(deployment: Deployment, name: str) -> dict[str, Any]:
    """Trigger → type, schedule, conditions and jobs, under the names of the JSON."""
    glue = deployment.aws.client("glue")
    jobs = {deployed: job for job, deployed in deployment.outputs["jobs"].items()}
    mine = deployment.outputs["workflows"][name]
    found = {}
    for page in glue.get_paginator("get_triggers").paginate():
        for trigger in page["Triggers"]:
            if trigger.get("WorkflowName") == mine:
                conditions = trigger.get("Predicate", {}).get("Conditions", [])
                found[trigger["Name"].removeprefix(f"{mine}-")] = {
                    "type": trigger["Type"],
                    "schedule": trigger.get("Schedule"),
                    "when": {jobs[condition["JobName"]]: condition["State"] for condition in conditions},
                    "jobs": [jobs[action["JobName"]] for action in trigger["Actions"]],
                }
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_graph_in_glue_is_the_one_of_the_file(deployment: Deployment, name: str) -> None:
    expected = {
        trigger["name"]: {
            "type": trigger["type"],
            "schedule": FILES[name]["schedule"] if trigger["type"] == "SCHEDULED" else None,
            "when": {condition["job"]: condition["state"] for condition in trigger.get("when", [])},
            "jobs": trigger["jobs"],
        }
        for trigger in FILES[name]["triggers"]
    }
    assert _graph(deployment, name) == expected
