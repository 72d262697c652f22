"""Write docs/commands.md: every command, with the test that runs it, and make's targets; `--check` as the others."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from scripts import etl, generated

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "commands.md"

_ALL = "tests/integration/test_all_commands.py::"
_EMBEDDED = f"{_ALL}test_the_embedded_databases_come_up_change_stop_and_go"
_LONG = f"{_ALL}test_a_lake_is_compared_rebuilt_and_redriven"
_RUN = "tests/integration/test_command_line.py::test_run_prints_one_json_object_and_exits_with_what_became_of_it"
_EXAMPLE = "tests/integration/test_quality_docs.py::test_the_worked_example_says_what_happens"

RUN_BY: dict[str, str] = {
    "athena-views": "tests/unit/test_athena.py::test_views_are_made_in_an_order_that_works",
    "demo": f"{_ALL}test_the_demo_shows_the_same_rows_in_all_three",
    "down": _EMBEDDED,
    "init": "tests/integration/test_init_source.py::test_a_role_that_may_only_select_is_told_that_it_is_ready_and_"
    "nothing_is_written",
    "maintain": "tests/integration/test_maintenance.py::test_readers_see_the_same_rows_whatever_waits_is_published_and_"
    "only_what_nobody_needs_is_gone",
    "quarantine list": _EXAMPLE,
    "quarantine redrive": _LONG,
    "quarantine show": _EXAMPLE,
    "query": "tests/integration/test_queries.py::test_the_command_writes_what_it_is_asked_for",
    "rebuild": _LONG,
    "reconcile": _LONG,
    "report": "tests/integration/test_report.py::test_the_command_writes_the_same_figures_from_lake_and_warehouse",
    "reset": _EMBEDDED,
    "run": _RUN,
    "simulate": _EMBEDDED,
    "status": _RUN,
    "up": _EMBEDDED,
    "watch": "tests/integration/test_watch.py::test_a_signal_finishes_the_stage_and_a_second_one_ends_at_once",
}
"""Command → the test that runs it as a command, on real databases and a real lake (`athena-views`: on moto)."""

_AWS = "what it calls: `tests/unit/test_aws.py`"
_EMPTIES = f"{_AWS}, `tests/integration/test_emptying.py`"
_NO_TARGET_RUN: dict[str, str] = {
    "help": "nobody: it lists these lines",
    "unit-test": "a part of `make test`",
    "integration-test": "a part of `make test`",
    "test-long": "by hand: too long for CI",
    "histories": "by hand; shorter by `make test-long`",
    "crashes": "by hand, and by `make test-long`",
    "consistency": "by hand; shorter by `make test-long`",
    "performance-picture": "what it draws: `tests/unit/test_benchmark_picture.py`",
    "class-list": "by hand; that sessions start from it: `tests/integration/test_class_archive.py`",
    "benchmark": "its script, with few rows: `tests/integration/test_benchmark.py`",
    "format": "by hand: it changes files; `make lint` checks the same",
    "check-coverage": "by hand; `make test` fails by the same threshold",
    "docker-test": "nobody yet: no Docker engine was at hand (`docker/README.md`)",
    "run-checks": "by hand: CI makes its parts",
    "package": "what it builds: `tests/unit/test_package.py`",
    "destroy": "nobody: it needs an account",
    "create-production-secret": _AWS,
    "create-warehouse-secret": f"{_AWS}, `tests/aws/test_by_hand.py`",
    "trigger": "what it calls: `tests/aws/test_deployed.py`",
    "logs": _AWS,
    "empty-ingestion": _EMPTIES,
    "empty-transformed": _EMPTIES,
    "empty-warehouse": _EMPTIES,
    "empty-all": _EMPTIES,
    "docs": "the site: `tests/unit/test_docs.py`",
    "commands": "what it writes: `tests/unit/test_docs.py`",
    "cost": "what it writes: `tests/unit/test_cost.py`",
    "queries": "what it writes: `make docs-check`",
    "terraform-fmt": "by hand: it changes files; `make terraform-test` checks the same",
    "requirements": "by hand: what it gives depends on the day",
    "add-requirements": "by hand: it changes files and installs",
    "clean": "by hand: it deletes",
    "distclean": "by hand: it deletes",
}
"""Target that neither CI nor a test makes → who runs what is behind it, or why nobody does."""

_INTRODUCTION = """# Commands

Made from the commands themselves by `make commands`. On the command line: `etl.py run --help`, `make help`.
`etl.py` stands for `.venv/bin/python scripts/etl.py`. Exit codes: 0 done, 1 failed, and those that a command names.
"""


def render() -> str:
    """The whole page as Markdown."""
    lines = [_INTRODUCTION, "## etl.py", ""]
    for name, command in commands().items():
        lines += _command(name, command)
    lines += ["## make", "", *_targets()]
    return "\n".join(lines).rstrip() + "\n"


Command = Any  # Typer's own copy of click has no public name


def commands() -> dict[str, Command]:
    """Every command of etl.py by its name; those of a group with the group's name before."""
    found: dict[str, Command] = {}
    root = typer.main.get_command(etl.app)
    for name, command in sorted(_children(root).items()):
        below = {f"{name} {other}": one for other, one in sorted(_children(command).items())}
        found |= below or {name: command}
    return found


def targets() -> dict[str, tuple[str, str]]:
    """Make's targets that are shown in its help: what each does, and under which heading it stands."""
    heading, found = "", {}
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if line.startswith("##@ "):
            heading = line.removeprefix("##@ ")
        elif target := re.match(r"([a-z-]+):.*?## (.*)", line):
            found[target[1]] = (target[2], heading)
    return found


def _children(command: Command) -> dict[str, Command]:
    return dict(getattr(command, "commands", {}))


def _command(name: str, command: Command) -> Iterator[str]:
    yield from (f"### etl.py {name}", "")
    for paragraph in (command.help or "").split("\n\n"):
        yield from (_escaped(" ".join(paragraph.split())), "")
    options = [parameter for parameter in command.params if parameter.name != "help"]
    if options:
        yield from ("| | |", "| --- | --- |")
        yield from (f"| {_names(option)} | {_escaped(getattr(option, 'help', None) or '')} |" for option in options)
        yield ""
    if name in RUN_BY:
        yield from (f"Run by `{RUN_BY[name]}`.", "")


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _targets() -> Iterator[str]:
    for heading in dict.fromkeys(heading for _, heading in targets().values()):
        yield from (f"### {heading}", "", "| | | run by, or why by nobody |", "| --- | --- | --- |")
        for name, (what, under) in targets().items():
            if under == heading:
                yield f"| `make {name}` | {_escaped(what)} | {', '.join(run_by(name))} |"
        yield ""


def run_by(target: str) -> Iterator[str]:
    """What makes the target of itself: CI, here or on GitHub; the test that follows a page. Else why nothing does."""
    for name, where in ((".ci/run", r"for target in (.*);"), (".github/workflows/ci.yml", r"target: \[(.*)\]")):
        found = re.search(where, (ROOT / name).read_text(encoding="utf-8"))
        if found and target in re.split(r"[ ,]+", found[1]):
            yield f"`{name}`"
    if target in ("data-dictionary", "raw-tables"):
        yield "`tests/integration/test_add_a_table.py`"
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        if re.search(rf"run: make {target}(?![\w-])", path.read_text(encoding="utf-8")):
            yield f"`{path.relative_to(ROOT)}`"
    if target in RUN_BY:
        yield f"as `etl.py {target}`, above"
    if target in _NO_TARGET_RUN:
        yield _NO_TARGET_RUN[target]


def _escaped(text: str) -> str:
    """A star, a bar or a bracket as itself."""
    return re.sub(r"([*|<>])", r"\\\1", text)


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "the commands: run make commands", sys.argv[1:]))
