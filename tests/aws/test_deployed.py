"""Deployed workflows run here: how triggers, failures, retries, timeouts and stops end, with jobs of a few lines."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto.glue.models import FakeWorkflow
from typer.testing import CliRunner

from retail_etl.errors import ConfigurationError
from retail_etl.runtime import Progress
from scripts import etl, running
from scripts.deployed import Here, follow
from scripts.glue_graph import GlueJob, Graph, read_graph
from scripts.local import LocalPair
from scripts.workflow import Run
from tests.moto_server import moto_server

pytestmark = pytest.mark.integration

WORKFLOW = "small"

SUCCEEDS = "print('done')"
FAILS = "raise SystemExit('broken')"
LASTS = "import time; time.sleep(60)"
# Its first attempt leaves a mark and fails.
FAILS_ONCE = """
import pathlib, sys
mark = pathlib.Path("mark")
if not mark.exists():
    mark.touch()
    sys.exit("not yet")
"""
STOPS = """
import boto3, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
boto3.client("glue").stop_workflow_run(Name=given["--WORKFLOW_NAME"], RunId=given["--WORKFLOW_RUN_ID"])
time.sleep(60)
"""
MEETS = """
import pathlib, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pathlib.Path("..", given["--here"] + ".mark").touch()
while not pathlib.Path("..", given["--there"] + ".mark").exists():
    time.sleep(0.01)
"""
TELLS = """
import json, os, pathlib, sys
import greeting
told = {"argv": sys.argv[1:], "library": greeting.__file__, "source": os.environ.get("SOURCE_URL")}
pathlib.Path("told.json").write_text(json.dumps(told))
"""


class Deployed:
    """Workflows that are made through the Glue API, and run here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.glue = boto3.client("glue")
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        self.glue.create_workflow(Name=WORKFLOW)
        self.run_id = ""

    def job(self, name: str, script: str, arguments: Mapping[str, str] | None = None, **settings: Any) -> None:
        self.s3.put_object(Bucket="artifacts", Key=f"scripts/{name}.py", Body=script.encode())
        command = {"Name": "pythonshell", "ScriptLocation": f"s3://artifacts/scripts/{name}.py"}
        self.glue.create_job(Name=name, Role="role", Command=command, DefaultArguments=arguments or {}, **settings)

    def trigger(self, jobs: str, *when: tuple[str, str], logical: str = "AND", on: bool = True) -> None:
        """`jobs` and their conditions; at the start where there is none."""
        actions: Any = [{"JobName": job} for job in jobs.split()]
        shape: Any = {"Type": "ON_DEMAND"}
        if when:
            conditions = [{"LogicalOperator": "EQUALS", "JobName": job, "State": state} for job, state in when]
            predicate = {"Logical": logical, "Conditions": conditions}
            shape = {"Type": "CONDITIONAL", "Predicate": predicate, "StartOnCreation": on}
        self.glue.create_trigger(Name=f"before {jobs}", WorkflowName=WORKFLOW, Actions=actions, **shape)

    def run(self, seconds_per_minute: float = 60.0) -> Run:
        graph = read_graph(self.glue, WORKFLOW)
        self.run_id = self.glue.start_workflow_run(Name=WORKFLOW)["RunId"]
        here = Here(self.glue, self.s3, graph, self.run_id, self.folder, Progress(), seconds_per_minute, 0.05)
        return here.run()

    def properties(self) -> dict[str, str]:
        return self.glue.get_workflow_run_properties(Name=WORKFLOW, RunId=self.run_id)["RunProperties"]

    def state(self, job: str) -> tuple[str, int]:
        """What is written back of it: its state, and how many runs it took."""
        told = json.loads(self.properties()[f"state of {job}"])
        runs = [self.glue.get_job_run(JobName=job, RunId=run)["JobRun"] for run in told["job_runs"]]
        assert [run.get("PreviousRunId") for run in runs] == [None, *told["job_runs"][:-1]]
        return told["state"], len(runs)


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    # moto takes the call and forgets it.
    monkeypatch.setattr(FakeWorkflow, "stop_run", lambda self, run: setattr(self.get_run(run), "status", "STOPPING"))
    with moto_server(monkeypatch):
        yield Deployed(tmp_path)


def _statuses(run: Run) -> dict[str, str]:
    return {stage.name: stage.status for stage in run.stages}


def test_a_failed_job_stops_the_chain_and_the_run_reads_completed(deployed: Deployed) -> None:
    for name, script in {"first": SUCCEEDS, "second": FAILS, "third": SUCCEEDS, "tell": SUCCEEDS}.items():
        deployed.job(name, script)
    deployed.trigger("third", ("second", "SUCCEEDED"))
    deployed.trigger("tell", ("second", "FAILED"), ("second", "TIMEOUT"), logical="ANY")
    deployed.trigger("second", ("first", "SUCCEEDED"))
    deployed.trigger("first")
    run = deployed.run()
    assert [stage.name for stage in run.stages] == ["first", "second", "third", "tell"]
    assert _statuses(run) == {"first": "succeeded", "second": "failed", "third": "skipped", "tell": "succeeded"}
    assert run.status == "failed"
    assert "second: broken" in (run.error or "")
    assert deployed.properties()["state"] == "COMPLETED"
    assert [deployed.state(name) for name in ("first", "second")] == [("SUCCEEDED", 1), ("FAILED", 1)]


def test_the_command_line_shows_a_deployed_run_and_ends_with_its_code(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LocalPair", partial(LocalPair, deployed.folder))
    deployed.job("first", SUCCEEDS)
    deployed.job("second", FAILS)
    deployed.trigger("first")
    assert CliRunner().invoke(etl.app, ["run", "--deployed", WORKFLOW]).exit_code == 0
    deployed.trigger("second", ("first", "SUCCEEDED"))
    shown = CliRunner().invoke(etl.app, ["run", "--deployed", WORKFLOW, "--json"])
    body = json.loads(shown.stdout)
    assert (shown.exit_code, body["status"]) == (1, "failed")
    assert [stage["status"] for stage in body["stages"]] == ["succeeded", "failed"]
    log = body["error"].rpartition("its log: ")[2].rstrip(")")
    assert Path(log).read_text() == "broken\n"
    assert CliRunner().invoke(etl.app, ["run", "--deployed", WORKFLOW, "--accept-volume", "staff"]).exit_code == 2


def test_jobs_of_one_trigger_run_side_by_side_and_the_next_waits_for_all_of_them(deployed: Deployed) -> None:
    deployed.job("left", MEETS, {"--here": "left", "--there": "right"})
    deployed.job("right", MEETS, {"--here": "right", "--there": "left"})
    deployed.job("join", SUCCEEDS)
    deployed.job("never", SUCCEEDS)
    deployed.trigger("left right")
    deployed.trigger("join", ("left", "SUCCEEDED"), ("right", "SUCCEEDED"))
    deployed.trigger("never", ("join", "SUCCEEDED"), on=False)
    run = deployed.run(seconds_per_minute=0.1)
    assert _statuses(run) == {"left": "succeeded", "right": "succeeded", "join": "succeeded", "never": "skipped"}


def test_what_fails_is_tried_again_as_often_as_the_job_says(deployed: Deployed) -> None:
    deployed.job("mended", FAILS_ONCE, MaxRetries=1)
    deployed.job("broken", FAILS, MaxRetries=1)
    deployed.job("after", SUCCEEDS)
    deployed.trigger("mended")
    deployed.trigger("broken", ("mended", "SUCCEEDED"))
    deployed.trigger("after", ("broken", "SUCCEEDED"))
    run = deployed.run()
    assert _statuses(run) == {"mended": "succeeded", "broken": "failed", "after": "skipped"}
    assert (deployed.state("mended"), deployed.state("broken")) == (("SUCCEEDED", 2), ("FAILED", 2))


def test_what_takes_too_long_is_ended_and_not_tried_again(deployed: Deployed) -> None:
    deployed.job("slow", LASTS, Timeout=2, MaxRetries=1)
    deployed.job("after", SUCCEEDS)
    deployed.job("tell", SUCCEEDS)
    deployed.trigger("slow")
    deployed.trigger("after", ("slow", "SUCCEEDED"))
    deployed.trigger("tell", ("slow", "TIMEOUT"))
    run = deployed.run(seconds_per_minute=0.5)
    assert _statuses(run) == {"slow": "timeout", "after": "skipped", "tell": "succeeded"}
    assert deployed.state("slow") == ("TIMEOUT", 1)
    assert 1 <= run.stages[0].seconds < 10


def test_a_run_that_is_stopped_ends_its_jobs_and_starts_no_more(deployed: Deployed) -> None:
    deployed.job("stops", STOPS, MaxRetries=1)
    deployed.job("beside", LASTS)
    deployed.job("after", SUCCEEDS)
    deployed.trigger("stops beside")
    deployed.trigger("after", ("stops", "STOPPED"))
    run = deployed.run()
    assert _statuses(run) == {"stops": "stopped", "beside": "stopped", "after": "skipped"}
    assert (deployed.properties()["state"], deployed.state("stops")) == ("STOPPED", ("STOPPED", 1))
    assert all(stage.seconds < 30 for stage in run.stages)


def test_a_job_has_the_arguments_and_the_library_of_its_deployment_alone(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_URL", "postgresql://me@here/db")
    library = BytesIO()
    with zipfile.ZipFile(library, "w") as archive:
        archive.writestr("greeting.py", "")
    deployed.s3.put_object(Bucket="artifacts", Key="greeting.zip", Body=library.getvalue())
    given = {"--extra-py-files": "s3://artifacts/greeting.zip", "--lake": "s3://raw", "--layer": "raw"}
    deployed.job("tells", TELLS, given, NonOverridableArguments={"--layer": "star"})
    actions: Any = [{"JobName": "tells", "Arguments": {"--lake": "s3://other", "--layer": "none"}}]
    deployed.glue.create_trigger(Name="start", WorkflowName=WORKFLOW, Type="ON_DEMAND", Actions=actions)
    assert deployed.run().status == "succeeded"
    told = json.loads((deployed.folder / "tells" / "told.json").read_text())
    argv = dict(zip(told["argv"][::2], told["argv"][1::2], strict=True))
    assert (argv["--lake"], argv["--layer"], argv["--JOB_NAME"]) == ("s3://other", "star", "tells")
    assert (argv["--WORKFLOW_NAME"], argv["--WORKFLOW_RUN_ID"]) == (WORKFLOW, deployed.run_id)
    assert told["library"].startswith(str(deployed.folder / "tells" / "greeting.zip"))
    assert told["source"] is None


def test_what_cannot_be_run_says_why(deployed: Deployed) -> None:
    with pytest.raises(ConfigurationError, match=r"no workflow nothing\. There are: small"):
        read_graph(deployed.glue, "nothing")
    with pytest.raises(ConfigurationError, match="Nothing starts the workflow small"):
        read_graph(deployed.glue, WORKFLOW)
    deployed.job("ray", SUCCEEDS)
    deployed.trigger("ray")
    deployed.s3.delete_object(Bucket="artifacts", Key="scripts/ray.py")
    with pytest.raises(ConfigurationError, match=r"s3://artifacts/scripts/ray.py, .*cannot be read"):
        deployed.run()


def test_a_run_of_glue_is_followed_to_its_end() -> None:
    """AWS does not answer here: its answers are written down, as its documentation gives them."""
    glue = boto3.client("glue", region_name="eu-west-2", aws_access_key_id="x", aws_secret_access_key="x")
    jobs = {name: GlueJob(name, "glueetl", "s3://a/b.py", {}, 1, 1) for name in ("extract", "load")}
    told = json.dumps({"status": "succeeded", "rows": 12, "batch_ids": [7], "needs_attention": True})

    def answer(status: str, states: Mapping[str, str]) -> dict[str, Any]:
        attempt = {"StartedOn": datetime(2026, 1, 1, tzinfo=UTC), "ExecutionTime": 70}
        runs = {name: [{"JobRunState": state, **attempt}] for name, state in states.items()}
        nodes = [{"Type": "JOB", "Name": name, "JobDetails": {"JobRuns": runs.get(name, [])}} for name in jobs]
        return {"Run": {"Status": status, "Graph": {"Nodes": nodes}, "WorkflowRunProperties": {"extract": told}}}

    with Stubber(glue) as stubbed:
        stubbed.add_response("get_workflow_run", answer("RUNNING", {"extract": "RUNNING"}))
        stubbed.add_response("get_workflow_run", answer("COMPLETED", {"extract": "SUCCEEDED", "load": "FAILED"}))
        run = follow(glue, Graph(WORKFLOW, jobs, ()), "wr_1", Progress(), every_seconds=0)
    assert _statuses(run) == {"extract": "succeeded", "load": "failed"}
    assert (run.status, run.batch_id, run.stages[0].rows, run.stages[0].seconds) == ("failed", 7, 12, 70)
    assert run.needs_attention
