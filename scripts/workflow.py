"""The workflow of `glue_jobs/pipeline.json`, run here: jobs in one process, one Spark session, as the triggers say."""

import importlib.util
import json
import string
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from retail_etl import lease, spark
from retail_etl.errors import RetailEtlError
from retail_etl.postgres import Database
from retail_etl.runtime import Job, Progress, Result

GLUE_JOBS = Path(__file__).resolve().parent.parent / "glue_jobs"
PIPELINE = GLUE_JOBS / "pipeline.json"
RECONCILE = GLUE_JOBS / "reconcile.json"
REBUILD = GLUE_JOBS / "rebuild.json"
MAINTAIN = GLUE_JOBS / "maintain.json"
_DETECTING, _EXTRACT = "detect", "extract"
_EXTRACTING = (_EXTRACT, "reconcile")
_GATE = "quality_gate.py"
_STARTED_BY = 60.0
_STARTED_NOTHING = "STARTED_NOTHING"


@dataclass(frozen=True)
class JobDefinition:
    """A job of the workflow: its script, and its arguments with `${variables}`."""

    name: str
    script: str
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Trigger:
    """Starts `jobs` when what it waits for has happened, at once where `when` is empty. `when`: pairs of a job and the
    state in which it must have ended; all of them (`logical` is AND), or one (ANY).
    """

    name: str
    when: tuple[tuple[str, str], ...]
    jobs: tuple[str, ...]
    logical: Literal["AND", "ANY"] = "AND"

    def fires(self, states: Mapping[str, str]) -> bool:
        """Whether it starts its jobs. `states`: job → its state, of those that were started."""
        enough = any if self.logical == "ANY" and self.when else all
        return enough(states.get(job) == state for job, state in self.when)


def ready(triggers: Iterable[Trigger], states: Mapping[str, str]) -> list[str]:
    """The jobs that are to be started now; a run starts each at most once."""
    fired = (job for trigger in triggers if trigger.fires(states) for job in trigger.jobs)
    return [job for job in dict.fromkeys(fired) if job not in states]


@dataclass(frozen=True)
class Pipeline:
    """Jobs by name, and the triggers between them. `variables`: those that have a default, with it."""

    name: str
    variables: Mapping[str, str]
    jobs: Mapping[str, JobDefinition]
    triggers: tuple[Trigger, ...]


@dataclass
class Stage:
    """What became of one job. `status`: succeeded, nothing_to_do, failed, timeout, stopped or skipped."""

    name: str
    status: str
    seconds: float = 0.0
    rows: int = 0
    error: str | None = None


@dataclass
class Run:
    """What became of one run of the workflow. `status`: succeeded, nothing_changed, failed, or stopped: somebody asked
    for its end between two stages.
    """

    stages: list[Stage] = field(default_factory=list)
    batch_id: int | None = None
    warnings: list[str] = field(default_factory=list)
    needs_attention: bool = False
    differs: bool = False
    was_stopped: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The run as a whole; that something may be to do is no change yet."""
        states = {stage.status for stage in self.stages if (stage.name, stage.status) != (_DETECTING, "succeeded")}
        if self.was_stopped and not states & {"failed", "timeout"}:
            return "stopped"
        if states & {"failed", "timeout", "stopped", "skipped"}:
            return "failed"
        return "succeeded" if "succeeded" in states else "nothing_changed"

    @property
    def error(self) -> str | None:
        """What the failed stage said."""
        return next((stage.error for stage in self.stages if stage.error), None)

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints."""
        shown: dict[str, Any] = {"batch_id": self.batch_id, "status": self.status}
        shown["stages"] = [
            {"name": stage.name, "status": stage.status, "seconds": round(stage.seconds, 3), "rows": stage.rows}
            for stage in self.stages
        ]
        shown["warnings"] = self.warnings
        shown |= {"report": self.report} if self.report else {}
        return shown | ({"error": self.error} if self.error else {})


def read_pipeline(path: Path = PIPELINE) -> Pipeline:
    """The pipeline's description from its file, with the jobs and variables of the one that it includes."""
    text = json.loads(path.read_text(encoding="utf-8"))
    base = read_pipeline(path.parent / text["include"]) if "include" in text else None
    jobs = {name: JobDefinition(name, job["script"], job["arguments"]) for name, job in text["jobs"].items()}
    triggers = tuple(
        Trigger(
            trigger["name"],
            tuple((condition["job"], condition["state"]) for condition in _conditions(trigger)),
            tuple(trigger["jobs"]),
            trigger.get("logical", "AND"),
        )
        for trigger in text["triggers"]
    )
    used = {job for trigger in triggers for job in trigger.jobs}
    everything = {**(base.jobs if base else {}), **jobs}
    variables = {**(base.variables if base else {}), **text["variables"]}
    return Pipeline(text["name"], variables, {name: everything[name] for name in everything if name in used}, triggers)


def _conditions(trigger: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a trigger waits for; one that a job starts, for that job."""
    if "started_by" in trigger:
        return [{"job": trigger["started_by"], "state": "SUCCEEDED"}]
    found: list[dict[str, str]] = trigger.get("when", [])
    return found


def only(pipeline: Pipeline, job: str) -> Pipeline:
    """A pipeline of this one job."""
    return Pipeline(pipeline.name, pipeline.variables, {job: pipeline.jobs[job]}, (Trigger("start", (), (job,)),))


def run_pipeline(
    pipeline: Pipeline,
    variables: Mapping[str, str],
    databases: Mapping[str, Database],
    progress: Callable[[str], Progress],
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Run the jobs in the order that the triggers give. A failed job ends its chain; what follows is skipped.

    The lake's lease is held meanwhile; where it cannot be had, the first job fails with the reason, and nothing is
    begun. `progress` gives each job, by name, where to say how far it is. `stop` is asked before each job whether the
    run is to end there.
    """
    run = Run()
    try:
        with lease.hold(variables["lake"], f"the workflow {pipeline.name}") as held:
            _run_jobs(pipeline, {**pipeline.variables, **variables}, databases, _Between(progress, stop, held), run)
    except RetailEtlError as error:
        _fail(pipeline, run, str(error))
    return run


def _fail(pipeline: Pipeline, run: Run, error: str) -> None:
    """The lease is somebody else's, or was lost: then the last job did not end under it."""
    if not run.stages:
        first, *others = dict.fromkeys(name for trigger in pipeline.triggers for name in trigger.jobs)
        run.stages = [Stage(first, "failed", error=error), *(Stage(name, "skipped") for name in others)]
    elif run.status != "failed":  # else that is the reason to show
        run.stages[-1].status = "failed"
        run.stages[-1].error = error


@dataclass(frozen=True)
class _Between:
    """What a run does around its jobs: says which begins, looks whether it is to end, and keeps its lease."""

    progress: Callable[[str], Progress]
    stop: Callable[[], bool]
    held: lease.Lease


def _run_jobs(
    pipeline: Pipeline,
    variables: Mapping[str, str],
    databases: Mapping[str, Database],
    between: _Between,
    run: Run,
) -> None:
    states: dict[str, str] = {}
    while not run.was_stopped and (started := ready(pipeline.triggers, states)):
        for name in started:
            if between.stop():
                run.was_stopped = True
                break
            if name == _EXTRACT and any(job.script == _GATE for job in pipeline.jobs.values()):
                Thread(target=_prepare_gates, daemon=True).start()
            stage = _run_job(pipeline.jobs[name], variables, databases, between, run)
            run.stages.append(stage)
            states[name] = _state(stage)
    left = "nothing_to_do" if states.get(_DETECTING) == _STARTED_NOTHING else "skipped"
    run.stages += [Stage(name, left) for name in pipeline.jobs if name not in states]


def _prepare_gates() -> None:
    """Import what the gates need, which takes seconds: while the extract waits for the JVM and for the source."""
    if spark.wait_for_java(_STARTED_BY):
        from retail_etl import validation

        validation.prepare()


def _state(stage: Stage) -> str:
    """As Glue calls it. On AWS, detect itself starts what comes after it, or does not; here its state tells."""
    if stage.status == "failed":
        return "FAILED"
    return _STARTED_NOTHING if (stage.name, stage.status) == (_DETECTING, "nothing_to_do") else "SUCCEEDED"


def _run_job(
    definition: JobDefinition,
    variables: Mapping[str, str],
    databases: Mapping[str, Database],
    between: _Between,
    run: Run,
) -> Stage:
    options = {
        name.removeprefix("--"): string.Template(value).substitute(variables)
        for name, value in definition.arguments.items()
    }
    since = time.monotonic()
    try:
        with spark.explained():
            job = Job(definition.name, options, databases, between.progress(definition.name))
            result = _entry_point(definition.script)(job)
        between.held.check()
    except RetailEtlError as error:
        return Stage(definition.name, "failed", time.monotonic() - since, error=str(error))
    run.warnings += [warning for warning in result.warnings if warning not in run.warnings]
    run.needs_attention = run.needs_attention or result.needs_attention
    run.differs = run.differs or result.differs
    run.report |= result.report
    if definition.name in _EXTRACTING and result.batch_ids:
        run.batch_id = result.batch_ids[0]
    return Stage(definition.name, result.status, time.monotonic() - since, result.rows)


def _entry_point(script: str) -> Callable[[Job], Result]:
    """The `run` of a job's script."""
    spec = importlib.util.spec_from_file_location(f"glue_jobs.{Path(script).stem}", GLUE_JOBS / script)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(GLUE_JOBS / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entry: Callable[[Job], Result] = module.run
    return entry
