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
"""Command → the test that runs it as a command, on real databases and a real lake."""

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
        yield from (f"### {heading}", "", "| | | run by |", "| --- | --- | --- |")
        for name, (what, under) in targets().items():
            if under == heading:
                yield f"| `make {name}` | {_escaped(what)} | {', '.join(_run_by(name))} |"
        yield ""


def _run_by(target: str) -> Iterator[str]:
    """What makes the target of itself: CI, here or on GitHub; the test that follows a page."""
    for name, where in ((".ci/run", r"for target in (.*);"), (".github/workflows/ci.yml", r"target: \[(.*)\]")):
        found = re.search(where, (ROOT / name).read_text(encoding="utf-8"))
        if found and target in re.split(r"[ ,]+", found[1]):
            yield f"`{name}`"
    if target in ("data-dictionary", "raw-tables"):
        yield "`tests/integration/test_add_a_table.py`"


def _escaped(text: str) -> str:
    """A star, a bar or a bracket as itself."""
    return re.sub(r"([*|<>])", r"\\\1", text)


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "the commands: run make commands", sys.argv[1:]))
