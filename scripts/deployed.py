"""A run of a deployed workflow. On AWS, Glue runs it and it is followed from here; where the endpoint is another one,
which keeps definitions and runs nothing (moto), its jobs run here as Glue would run them.
"""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from retail_etl.errors import ConfigurationError
from retail_etl.runtime import Progress
from scripts.glue_graph import GlueJob, Graph, read_graph
from scripts.glue_process import JobProcess
from scripts.workflow import Run, Stage, ready

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

_STATUS = {"SUCCEEDED": "succeeded", "TIMEOUT": "timeout", "STOPPED": "stopped"}
_ENDED = ("COMPLETED", "STOPPED", "ERROR")


def run_deployed(name: str, progress: Progress, logs: Path, run_id: str | None = None) -> Run:
    """Run the workflow once and see it to its end; `run_id`: a run that was started already.

    `logs`: a folder for the logs of jobs that run here. ConfigurationError where the Glue API cannot be reached, or
    refuses.
    """
    try:
        glue = boto3.client("glue")
        graph = read_graph(glue, name)
        run_id = run_id or glue.start_workflow_run(Name=name)["RunId"]
        if _is_aws(glue.meta.endpoint_url):
            return follow(glue, graph, run_id, progress)
        return Here(glue, boto3.client("s3"), graph, run_id, logs / run_id, progress).run()
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(f"The workflow {name} cannot be run: {error}") from error


def _is_aws(endpoint: str) -> bool:
    return (urlparse(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


# ---------------------------------------------------------------------------- run by Glue


def follow(glue: "GlueClient", graph: Graph, run_id: str, progress: Progress, every_seconds: float = 5.0) -> Run:
    """See a run that Glue runs to its end."""
    shown: dict[str, str] = {}
    while True:
        run: Any = glue.get_workflow_run(Name=graph.name, RunId=run_id, IncludeGraph=True)["Run"]
        nodes = [node for node in run.get("Graph", {}).get("Nodes", []) if node["Type"] == "JOB"]
        attempts = {node["Name"]: node.get("JobDetails", {}).get("JobRuns", []) for node in nodes}
        last = {job: max(runs, key=lambda one: one["StartedOn"]) for job, runs in attempts.items() if runs}
        for job, one in last.items():
            rows = _told(run.get("WorkflowRunProperties", {}), job).get("rows", 0)
            _show(progress, shown, job, one, rows)
        if run["Status"] in _ENDED:
            break
        time.sleep(every_seconds)
    if run["Status"] == "ERROR":
        raise ConfigurationError(f"Glue did not run {graph.name}: {run.get('ErrorMessage', 'it does not say why')}")
    seconds = {job: sum(one.get("ExecutionTime", 0) for one in runs) for job, runs in attempts.items()}
    ends = {job: End(one["JobRunState"], seconds[job], one.get("ErrorMessage")) for job, one in last.items()}
    return _run_of(graph, ends, run.get("WorkflowRunProperties", {}))


def _show(progress: Progress, shown: dict[str, str], job: str, last: Any, rows: int) -> None:
    """Tell of a job that began, and of one that ended."""
    state = last["JobRunState"]
    if job not in shown:
        progress.start(job)
    if state != shown.get(job) and state in ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED", "ERROR"):
        progress.finish(job, rows, last.get("ExecutionTime", 0))
    shown[job] = state


# ---------------------------------------------------------------------------- run here


@dataclass
class End:
    """How a job ended: its state, seconds, and what was wrong."""

    state: str
    seconds: float
    error: str | None = None


@dataclass
class Here:
    """A run whose jobs are processes on this machine. What moto cannot keep goes into the run's properties:
    `state of <job>` and `state` of the run, as Glue would give them.
    """

    glue: "GlueClient"
    s3: "S3Client"
    graph: Graph
    run_id: str
    folder: Path
    progress: Progress
    seconds_per_minute: float = 60.0
    every_seconds: float = 0.2
    _states: dict[str, str] = field(default_factory=dict)
    _running: dict[str, JobProcess] = field(default_factory=dict)
    _attempts: dict[str, list[str]] = field(default_factory=dict)
    _ends: dict[str, End] = field(default_factory=dict)

    def run(self) -> Run:
        """Start what the triggers say until nothing is left to start; or end it, where the run is stopped."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        try:
            stopped = self._run_all()
        except KeyboardInterrupt:
            stopped = True
        finally:
            self._end_all()  # whatever happened: no process outlives the run
            signal.signal(signal.SIGTERM, before)
        self._tell({"state": "STOPPED" if stopped else "COMPLETED"})
        return _run_of(self.graph, self._ends, self._properties())

    def _run_all(self) -> bool:
        """True where the run was stopped by somebody."""
        while True:
            for name in ready(self.graph.triggers, self._states):
                self.progress.start(name)
                self._start(self.graph.jobs[name])
            if not self._running:
                return False
            time.sleep(self.every_seconds)
            if self._is_stopped():
                return True
            for name in list(self._running):
                self._look_after(name)

    def _start(self, job: GlueJob) -> None:
        before = self._attempts.setdefault(job.name, [])
        of_run = {"--WORKFLOW_NAME": self.graph.name, "--WORKFLOW_RUN_ID": self.run_id}
        start: Any = {"JobName": job.name, "Arguments": {**job.arguments, **of_run}}
        if before:
            start["JobRunId"] = before[-1]
        job_run_id = self.glue.start_job_run(**start)["JobRunId"]
        before.append(job_run_id)
        identity = {"--JOB_NAME": job.name, "--JOB_RUN_ID": job_run_id, **of_run}
        limit = job.timeout_minutes * self.seconds_per_minute
        self._running[job.name] = JobProcess(self.s3, job, identity, self.folder / job.name, limit)
        self._set(job.name, "RUNNING")

    def _look_after(self, name: str, *, may_retry: bool = True) -> None:
        process = self._running[name]
        state = process.state()
        if state == "RUNNING":
            return
        del self._running[name]
        before = self._ends.get(name)
        error = None if state == "SUCCEEDED" else f"{process.last_words()} (its log: {process.log})"
        self._ends[name] = End(state, process.seconds + (before.seconds if before else 0.0), error)
        # Glue restarts what failed, not what took too long.
        if may_retry and state == "FAILED" and len(self._attempts[name]) <= process.job.max_retries:
            self._start(process.job)
            return
        self._set(name, state)
        self.progress.finish(name, _told(self._properties(), name).get("rows", 0), self._ends[name].seconds)

    def _is_stopped(self) -> bool:
        run = self.glue.get_workflow_run(Name=self.graph.name, RunId=self.run_id)["Run"]
        return run["Status"] in ("STOPPING", "STOPPED")

    def _end_all(self) -> None:
        for process in self._running.values():
            process.end("STOPPED")
        for name in list(self._running):
            self._look_after(name, may_retry=False)

    def _set(self, name: str, state: str) -> None:
        self._states[name] = state
        told = {"state": state, "job_runs": self._attempts[name]}
        self._tell({f"state of {name}": json.dumps(told)})

    def _properties(self) -> dict[str, str]:
        return self.glue.get_workflow_run_properties(Name=self.graph.name, RunId=self.run_id)["RunProperties"]

    def _tell(self, properties: Mapping[str, str]) -> None:
        self.glue.put_workflow_run_properties(Name=self.graph.name, RunId=self.run_id, RunProperties=dict(properties))


# ---------------------------------------------------------------------------- what became of it


def _run_of(graph: Graph, ends: Mapping[str, End], properties: Mapping[str, str]) -> Run:
    """The run as the local runner tells it; rows, warnings and the batch from what the jobs put into its properties."""
    run = Run()
    for name in graph.jobs:
        told = _told(properties, name)
        end = ends.get(name)
        if end is None:
            run.stages.append(Stage(name, "skipped"))
            continue
        status = _STATUS.get(end.state, "failed")
        succeeded = status == "succeeded"
        status = told.get("status", status) if succeeded else status
        error = None if succeeded else f"{name}: {told.get('error') or end.error or end.state}"
        run.stages.append(Stage(name, status, end.seconds, told.get("rows", 0), error))
        run.warnings += [warning for warning in told.get("warnings", []) if warning not in run.warnings]
        run.needs_attention = run.needs_attention or told.get("needs_attention", False)
        run.differs = run.differs or told.get("differs", False)
        run.report |= told.get("report", {})
        if name == next(iter(graph.jobs)):  # the one that extracts
            run.batch_id = next(iter(told.get("batch_ids", [])), None)
    return run


def _told(properties: Mapping[str, str], job: str) -> dict[str, Any]:
    """What the job itself put there (see `retail_etl.workflow_run`)."""
    found: dict[str, Any] = json.loads(properties.get(job, "{}"))
    return found
