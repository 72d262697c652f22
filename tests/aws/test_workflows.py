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
    """Trigger → whether it is in the workflow, type, schedule, conditions and jobs, under the names of the JSON."""
    glue = deployment.aws.client("glue")
    jobs = {deployed: job for job, deployed in deployment.outputs["jobs"].items()}
    mine = deployment.outputs["workflows"][name]
    found = {}
    for key, deployed in deployment.outputs["triggers"].items():
        file, _, trigger_name = key.partition("/")
        if file == name:
            trigger = glue.get_trigger(Name=deployed)["Trigger"]
            conditions = trigger.get("Predicate", {}).get("Conditions", [])
            found[trigger_name] = {
                "in_workflow": trigger.get("WorkflowName") == mine,
                "type": trigger["Type"],
                "schedule": trigger.get("Schedule"),
                "when": {jobs[condition["JobName"]]: condition["State"] for condition in conditions},
                "jobs": [jobs[action["JobName"]] for action in trigger["Actions"]],
            }
    return found


def _started(workflow: dict[str, Any]) -> set[str]:
    return {job for trigger in workflow["triggers"] for job in trigger["jobs"]}


@pytest.mark.parametrize("name", FILES)
def test_the_graph_in_glue_is_the_one_of_the_file(deployment: Deployment, name: str) -> None:
    expected = {
        trigger["name"]: {
            "in_workflow": trigger.get("in_workflow", True),
            "type": trigger["type"],
            "schedule": FILES[name]["schedule"] if trigger["type"] == "SCHEDULED" else None,
            "when": {condition["job"]: condition["state"] for condition in trigger.get("when", [])},
            "jobs": trigger["jobs"],
        }
        for trigger in FILES[name]["triggers"]
    }
    assert _graph(deployment, name) == expected


def test_glue_has_no_trigger_but_those_of_the_files(deployment: Deployment) -> None:
    names = deployment.aws.client("glue").list_triggers()["TriggerNames"]
    declared = {f"{file}/{trigger['name']}" for file, workflow in FILES.items() for trigger in workflow["triggers"]}
    assert deployment.outputs["triggers"].keys() == declared
    assert sorted(names) == sorted(deployment.outputs["triggers"].values())


def test_a_job_is_made_once_with_what_its_file_says(deployment: Deployment) -> None:
    glue = deployment.aws.client("glue")
    declared = {name: job for workflow in FILES.values() for name, job in workflow["jobs"].items()}
    assert deployment.outputs["jobs"].keys() == declared.keys()
    for name, deployed in deployment.outputs["jobs"].items():
        job, said = glue.get_job(JobName=deployed)["Job"], declared[name]
        assert job["Timeout"] == said["timeout_minutes"], name
        assert job.get("MaxRetries", 0) == said["max_retries"], name
        using = [file for file, workflow in FILES.items() if name in _started(workflow)]
        assert job["ExecutionProperty"]["MaxConcurrentRuns"] == len(using), name
        assert job["Role"].endswith(f"role/{deployment.outputs['roles'][name]}"), name
        script = job["Command"]["ScriptLocation"].removeprefix(f"s3://{deployment.outputs['buckets']['artifacts']}/")
        stored = deployment.aws.client("s3").get_object(Bucket=deployment.outputs["buckets"]["artifacts"], Key=script)
        assert stored["Body"].read() == (ROOT / "glue_jobs" / said["script"]).read_bytes(), name
        if said.get("type", "spark") == "spark":
            assert (job["WorkerType"], job["NumberOfWorkers"]) == (said["worker_type"], said["number_of_workers"]), name


def test_arguments_are_those_of_the_file_with_their_values(deployment: Deployment) -> None:
    glue, outputs = deployment.aws.client("glue"), deployment.outputs
    load = glue.get_job(JobName=outputs["jobs"]["load"])["Job"]["DefaultArguments"]
    assert load["--lake"] == outputs["lake"]
    assert load["--lake_database"] == outputs["lake_database"]
    assert load["--warehouse_secret"] == outputs["secrets"]["warehouse"]
    assert "--rebuild" not in load  # empty: the job has its own default
    gate = glue.get_job(JobName=outputs["jobs"]["quality_gate_raw"])["Job"]["DefaultArguments"]
    assert (gate["--layer"], gate["--metrics_namespace"]) == ("raw", outputs["name"])
