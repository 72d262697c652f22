#!/usr/bin/env python
"""What the platform costs a month on AWS: from glue_jobs/*.json, prices, and how often the source has changes."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from scripts.workflow import PIPELINE  # noqa: E402

TARGET = ROOT / "docs" / "cost.md"
INTERVALS = (5, 15, 30)
SHARES = (0.0, 0.1, 1.0)
HOURS = 730.0
MINIMUM_MINUTES = 1.0
SPARK_MINUTES = 1.5
SECRET, KEY, ALARM, METRIC = 0.40, 1.00, 0.10, 0.30  # USD a month each
DPUS = {"G.025X": 0.25, "G.1X": 1.0, "G.2X": 2.0, "G.4X": 4.0, "G.8X": 8.0}

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bill:
    """Prices in USD, and how much there is of what is paid for whether anything runs or not."""

    dpu_hour: float
    flex_hour: float
    minutes: Mapping[str, float] = field(default_factory=dict)
    always: Mapping[str, float] = field(default_factory=dict)

    def job(self, name: str, definition: Mapping[str, Any], minutes: float | None = None) -> float:
        """One run of a job: its DPUs for its minutes, or for those given; at least one is billed."""
        if definition.get("type") == "pythonshell":
            dpus, usual = float(definition["max_capacity"]), MINIMUM_MINUTES
        else:
            dpus, usual = DPUS[definition["worker_type"]] * definition["number_of_workers"], SPARK_MINUTES
        taken = self.minutes.get(name, usual) if minutes is None else minutes
        price = self.flex_hour if definition.get("execution_class") == "FLEX" else self.dpu_hour
        return dpus * max(taken, MINIMUM_MINUTES) / 60 * price

    def look(self) -> float:
        """One look at the source: the jobs that the schedule starts."""
        return sum(self.job(name, definition) for name, definition in _scheduled(_read(PIPELINE)))

    def chain(self, minutes: float | None = None) -> float:
        """One run of the workflow that they start."""
        scheduled = dict(_scheduled(_read(PIPELINE)))
        jobs = _read(PIPELINE)["jobs"].items()
        return sum(self.job(name, definition, minutes) for name, definition in jobs if name not in scheduled)

    def other(self, workflow: Mapping[str, Any]) -> float:
        """One run of another workflow. The stages of the pipeline that are in it find nothing to do."""
        own, jobs = workflow["jobs"], _read(PIPELINE)["jobs"] | workflow["jobs"]
        named = {name for trigger in workflow["triggers"] for name in trigger["jobs"]}
        return sum(self.job(name, jobs[name], None if name in own else MINIMUM_MINUTES) for name in named)

    def others(self) -> float:
        """A month of the other workflows that have a schedule."""
        return sum(_runs_a_month(workflow["schedule"]) * self.other(workflow) for workflow in _others())

    def month(self, interval: int, share: float) -> float:
        """A month of looks every `interval` minutes, of which a share finds changes, and of the other workflows."""
        return HOURS * 60 / interval * (self.look() + share * self.chain()) + self.others()

    def month_without_detect(self, interval: int) -> float:
        """The same of a source that never changes, if the schedule started the Spark jobs themselves."""
        return HOURS * 60 / interval * self.chain(MINIMUM_MINUTES) + self.others()


def _others() -> list[dict[str, Any]]:
    found = [_read(path) for path in sorted(PIPELINE.parent.glob("*.json")) if path != PIPELINE]
    return [workflow for workflow in found if "schedule" in workflow]


def _runs_a_month(schedule: str) -> float:
    """Of a schedule that is due once a day, or once on each day of the week that it names; ValueError for others."""
    minute, hour, day, month, weekday, year = schedule.removeprefix("cron(").removesuffix(")").split()
    once_a_day = minute.isdecimal() and hour.isdecimal() and {day, month, year} <= {"*", "?"} and "-" not in weekday
    if not once_a_day:
        raise ValueError(f"{schedule}: how often in a month that is, is not known here.")
    days = 7 if weekday in "*?" else len(weekday.split(","))
    return HOURS / 24 / 7 * days


def _read(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return body


def _scheduled(pipeline: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for trigger in pipeline["triggers"]:
        if trigger["type"] == "SCHEDULED":
            yield from ((name, pipeline["jobs"][name]) for name in trigger["jobs"])


# ---------------------------------------------------------------------------- what is shown


def compute_rows(bill: Bill) -> Rows:
    """A line for each schedule: USD a month for each share of looks that find changes."""
    return [
        (
            f"every {interval} min",
            *(f"{bill.month(interval, share):,.2f}" for share in SHARES),
            f"{bill.month_without_detect(interval):,.2f}",
        )
        for interval in INTERVALS
    ]


def run_rows(bill: Bill) -> Rows:
    """A line for each kind of run: USD for one."""
    return [
        ("a look that finds nothing (detect)", f"{bill.look():.4f}"),
        ("a run with changes (detect and five Spark jobs)", f"{bill.look() + bill.chain():.4f}"),
        *(
            (f"{workflow['name']} ({_runs_a_month(workflow['schedule']):.1f} a month)", f"{bill.other(workflow):.4f}")
            for workflow in _others()
        ),
    ]


def always_rows(bill: Bill) -> Rows:
    """A line for each thing that is paid for whether anything runs or not: USD a month."""
    total = sum(bill.always.values())
    return [*((what, f"{cost:,.2f}") for what, cost in bill.always.items()), ("together", f"{total:,.2f}")]


COMPUTE = ("schedule", *(f"{share:.0%} changed" for share in SHARES), "0%, no detect")
RUN = ("one run", "USD")
ALWAYS = ("always there", "USD a month")


PAGE = """# What it costs

Made from `glue_jobs/*.json` by `make cost ARGS=--write`; the prices stand in `scripts/cost.py`. For other prices,
minutes and counts: `make cost ARGS='--dpu-hour 0.48 --minutes transform=4'`, and `--help`.

## Glue, USD a month

{compute}

A month has {hours:g} hours, and the other scheduled workflows are in each figure. The last column: a source that never
changes, if the schedule started the five Spark jobs themselves, to find nothing.

{run}

## Always on, USD a month

{always}

## What it rests on

- {dpu_hour:g} USD a DPU-hour ({flex_hour:g} where a job is FLEX), by the second, at least {minimum:g} minute a job run,
  for Spark and Python shell alike.
- A Spark job is billed for {spark:g} minutes. That is assumed, not measured on AWS. What yours take, in seconds:
  `aws glue get-job-runs --job-name NAME --query 'JobRuns[].ExecutionTime'`; then `--minutes NAME=MINUTES`.
- In the other workflows the stages of the pipeline find nothing to do, in {minimum:g} minute each.
- The other prices are those of eu-west-2. Not in it: the two databases, S3, logs, Athena.
"""


def render(bill: Bill) -> str:
    """docs/cost.md."""
    return PAGE.format(
        compute=_markdown(COMPUTE, compute_rows(bill)),
        run=_markdown(RUN, run_rows(bill)),
        always=_markdown(ALWAYS, always_rows(bill)),
        hours=HOURS,
        dpu_hour=bill.dpu_hour,
        flex_hour=bill.flex_hour,
        minimum=MINIMUM_MINUTES,
        spark=SPARK_MINUTES,
    )


def _markdown(heading: Sequence[str], rows: Rows) -> str:
    lines = [f"| {' | '.join(heading)} |", f"| --- |{' ---: |' * (len(heading) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _show(heading: Sequence[str], rows: Rows) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(heading):
        table.add_column(name, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table, "")


def main(
    dpu_hour: Annotated[float, typer.Option(help="USD.")] = 0.44,
    flex_hour: Annotated[float, typer.Option(help="USD, of jobs that are FLEX.")] = 0.29,
    minutes: Annotated[list[str] | None, typer.Option(metavar="JOB=MINUTES", help="Billed minutes of a job.")] = None,
    endpoints: Annotated[int, typer.Option(help="Interface endpoints of the VPC.")] = 4,
    zones: Annotated[int, typer.Option(help="Zones that each of them is in.")] = 1,
    endpoint_hour: Annotated[float, typer.Option(help="USD, for each zone.")] = 0.011,
    secrets: Annotated[int, typer.Option(help="Secrets: source, warehouse.")] = 2,
    keys: Annotated[int, typer.Option(help="KMS keys: data, secrets.")] = 2,
    alarms: Annotated[int, typer.Option(help="CloudWatch alarms: 2 a Spark job, 1 a source table, 4.")] = 31,
    metrics: Annotated[int, typer.Option(help="CloudWatch metrics: the jobs' own, and those of log filters.")] = 80,
    write: Annotated[bool, typer.Option("--write", help="Write docs/cost.md.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where docs/cost.md is older than this.")] = False,
) -> None:
    """What the platform costs a month on AWS, by schedule and by how often the source has changes."""
    bill = Bill(
        dpu_hour,
        flex_hour,
        _minutes(minutes or []),
        {
            f"{endpoints} interface endpoints, {zones} zone each": endpoints * zones * HOURS * endpoint_hour,
            f"{secrets} secrets": secrets * SECRET,
            f"{keys} KMS keys": keys * KEY,
            f"{alarms} alarms": alarms * ALARM,
            f"{metrics} metrics": metrics * METRIC,
        },
    )
    if check:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != render(bill):
            print("docs/cost.md is older than glue_jobs or scripts/cost.py: make cost ARGS=--write.", file=sys.stderr)
            raise typer.Exit(1)
    elif write:
        TARGET.write_text(render(bill), encoding="utf-8")
        print(f"{TARGET.relative_to(ROOT)} is written.")
    else:
        print("USD a month, Glue\n")
        _show(COMPUTE, compute_rows(bill))
        _show(RUN, run_rows(bill))
        _show(ALWAYS, always_rows(bill))


def _minutes(given: Sequence[str]) -> dict[str, float]:
    jobs = [name for workflow in (_read(PIPELINE), *_others()) for name in workflow["jobs"]]
    found: dict[str, float] = {}
    for one in given:
        name, _, value = one.partition("=")
        if name not in jobs or not value.replace(".", "", 1).isdecimal():
            raise typer.BadParameter(f"{one}: give JOB=MINUTES, where JOB is one of {', '.join(jobs)}.")
        found[name] = float(value)
    return found


if __name__ == "__main__":
    typer.run(main)
