"""A deployed workflow as the Glue API tells it: triggers with their conditions, jobs with their arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retail_etl.errors import ConfigurationError
from scripts.workflow import Trigger

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

DEFAULT_TIMEOUT_MINUTES = 480  # Glue's own, where a definition has none
NO_ACTION: Mapping[str, Any] = {}


@dataclass(frozen=True)
class GlueJob:
    """A job definition. `command`: `glueetl` (Spark) or `pythonshell`. `arguments`: name, with `--`, to value."""

    name: str
    command: str
    script: str
    arguments: Mapping[str, str]
    timeout_minutes: int
    max_retries: int


@dataclass(frozen=True)
class Graph:
    """A workflow: its jobs by name, those first for which others wait."""

    name: str
    jobs: Mapping[str, GlueJob]
    triggers: tuple[Trigger, ...]


def read_graph(glue: "GlueClient", name: str) -> Graph:
    """The workflow of that name; ConfigurationError where there is none, or where it has something other than jobs."""
    try:
        glue.get_workflow(Name=name)
    except glue.exceptions.EntityNotFoundException as error:
        there = ", ".join(glue.list_workflows()["Workflows"]) or "none"
        raise ConfigurationError(f"There is no workflow {name}. There are: {there}.") from error
    pages = glue.get_paginator("get_triggers").paginate()
    found = [trigger for page in pages for trigger in page["Triggers"] if trigger.get("WorkflowName") == name]
    actions: dict[str, Any] = {}
    for trigger in found:
        actions |= {_job_of(trigger, action): action for action in trigger["Actions"]}
    if all(trigger["Type"] == "CONDITIONAL" for trigger in found):
        raise ConfigurationError(f"Nothing starts the workflow {name}: it has no trigger without a condition.")
    order = _in_order([_trigger(trigger) for trigger in found])
    triggers = tuple(_trigger(trigger) for trigger in found if _is_on(trigger))
    return Graph(name, {job: read_job(glue, job, actions[job]) for job in order}, triggers)


def _in_order(triggers: list[Trigger]) -> list[str]:
    """All jobs, each after those for which it waits. Glue gives the triggers in no order."""
    order: dict[str, None] = {}
    while triggers:
        next_ones = [trigger for trigger in triggers if all(job in order for job, _ in trigger.when)] or triggers
        order |= dict.fromkeys(job for trigger in next_ones for job in trigger.jobs)
        triggers = [trigger for trigger in triggers if trigger not in next_ones]
    return list(order)


def _is_on(trigger: Any) -> bool:
    """Whether it fires. Who starts a workflow by hand does what a schedule would do, on or off."""
    return trigger["Type"] != "CONDITIONAL" or trigger["State"] == "ACTIVATED"


def _trigger(trigger: Any) -> Trigger:
    predicate = trigger.get("Predicate", {}) if trigger["Type"] == "CONDITIONAL" else {}
    conditions = tuple((_job_of(trigger, one), one["State"]) for one in predicate.get("Conditions", []))
    jobs = tuple(_job_of(trigger, action) for action in trigger["Actions"])
    return Trigger(trigger["Name"], conditions, jobs, "ANY" if predicate.get("Logical") == "ANY" else "AND")


def _job_of(trigger: Any, part: Any) -> str:
    if not part.get("JobName"):
        raise ConfigurationError(f"The trigger {trigger['Name']} is about a crawler: only jobs are known here.")
    return str(part["JobName"])


def read_job(glue: "GlueClient", name: str, action: Any = NO_ACTION) -> GlueJob:
    """The job of that name, as the action of a trigger starts it."""
    try:
        job = glue.get_job(JobName=name)["Job"]
    except glue.exceptions.EntityNotFoundException as error:
        raise ConfigurationError(f"The job {name} is not there: deploy again.") from error
    fixed = job.get("NonOverridableArguments") or {}
    return GlueJob(
        name,
        job["Command"]["Name"],
        job["Command"]["ScriptLocation"],
        {**job.get("DefaultArguments", {}), **(action.get("Arguments") or {}), **fixed},
        action.get("Timeout") or job.get("Timeout") or DEFAULT_TIMEOUT_MINUTES,
        job.get("MaxRetries") or 0,
    )
