"""What the benchmark measured: its parts, the ratios between them, how they are shown and kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from scripts.display import output
from scripts.process_usage import Usage

_NOTHING = Usage(0, 0, 0, 0, 0)
_GATES = ("quality_gate_raw", "quality_gate_star")


@dataclass(frozen=True)
class Timed:
    """A stage of a run, or a table within it (`stage.table`; those of one stage may run side by side)."""

    name: str
    seconds: float
    rows: int


@dataclass(frozen=True)
class Part:
    """One thing that was measured, as a whole process or, of copying, as all of them.

    `rows`: those that were read from the source. `bytes`: what is stored after it, by place. `skipped`: why it was not
    measured; then all else is nothing.
    """

    name: str
    usage: Usage = _NOTHING
    rows: int = 0
    stages: tuple[Timed, ...] = ()
    tables: tuple[Timed, ...] = ()
    bytes: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    skipped: str = ""

    @property
    def seconds(self) -> float:
        """From the start of the process to its end."""
        return self.usage.seconds

    @property
    def rows_per_second(self) -> float:
        """Of the whole process; 0 where nothing was read."""
        return self.rows / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {**asdict(self), "rows_per_second": round(self.rows_per_second)}

    @classmethod
    def from_json(cls, text: Mapping[str, Any]) -> "Part":
        """As `as_json` gave it."""
        values = {name: value for name, value in text.items() if name != "rows_per_second"}
        for name in ("stages", "tables"):
            values[name] = tuple(Timed(**one) for one in text[name])
        return cls(**{**values, "usage": Usage(**text["usage"])})


Parts = Mapping[str, Part]
_Formula = Callable[[Parts], float]


def _seconds(above: str, below: str) -> _Formula:
    return lambda parts: parts[above].seconds / parts[below].seconds


def _without_start(above: str, below: str) -> _Formula:
    """Both without what a Spark session takes to start."""
    start = "session start"
    return lambda parts: (parts[above].seconds - parts[start].seconds) / (parts[below].seconds - parts[start].seconds)


def _gates(parts: Parts) -> float:
    first = parts["first run"]
    return sum(stage.seconds for stage in first.stages if stage.name in _GATES) / first.seconds


RATIOS: dict[str, _Formula] = {
    "first run ÷ Sling": _seconds("first run", "Sling"),
    "first run ÷ COPY": _seconds("first run", "COPY"),
    "0.1 % changed ÷ first run": _seconds("0.1 % changed", "first run"),
    "0.1 % changed ÷ first run, both without the session's start": _without_start("0.1 % changed", "first run"),
    "0.1 % changed with twice the rows stored ÷ before": _seconds("0.1 % of before, twice stored", "0.1 % changed"),
    "nothing changed, seconds": lambda parts: parts["nothing changed"].seconds,
    "peak memory, first run ÷ that of a million rows": lambda parts: (
        parts["first run"].usage.memory / parts["a million rows"].usage.memory
    ),
    "gates' share of the first run": _gates,
}
"""By what is said of them. A part that was not measured makes a ratio unknown."""


def ratios(parts: Parts) -> dict[str, float | None]:
    """By name; None where a part is missing."""
    measured = {name: part for name, part in parts.items() if not part.skipped}
    found: dict[str, float | None] = {}
    for name, formula in RATIOS.items():
        try:
            found[name] = round(formula(measured), 3)
        except (KeyError, ZeroDivisionError):
            found[name] = None
    return found


@dataclass(frozen=True)
class Results:
    """All of it. `machine`, `commit` and `scale` say of what; `parts` by name, in the order of measuring."""

    at: str
    commit: str
    machine: str
    scale: float
    parts: dict[str, Part]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        parts = [part.as_json() for part in self.parts.values()]
        return {**asdict(self), "parts": parts, "ratios": ratios(self.parts)}

    @property
    def title(self) -> str:
        """When, of what, and where."""
        return f"{self.at}, commit {self.commit}, {self.machine}, scale {self.scale:g}"

    @property
    def notes(self) -> list[str]:
        """What is to be said of parts, and why others were skipped."""
        said = ((part.name, part.skipped or part.note) for part in self.parts.values())
        return [f"{name}: {words}" for name, words in said if words]

    def write(self, file: Path) -> None:
        """Keep it as JSON, and beside it as Markdown."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        file.with_suffix(".md").write_text(as_markdown(self), encoding="utf-8")


def read_parts(file: Path, scale: float) -> dict[str, Part]:
    """The parts that a file keeps of an earlier measurement at this scale; none where there is none."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text(encoding="utf-8"))
    if kept["scale"] != scale:
        return {}
    return {part["name"]: Part.from_json(part) for part in kept["parts"]}


# --------------------------------------------------------------------------- for people

Rows = list[tuple[str, ...]]
"""A table: its headings, then its rows."""


def as_tables(results: Results) -> list[Rows]:
    """Parts, stages where there are any, and ratios."""
    measured = [part for part in results.parts.values() if not part.skipped]
    parts: Rows = [("part", "seconds", "rows", "rows/s", "CPU s", "memory MB", "server CPU s", "server MB")]
    parts += [_of_part(part) for part in measured]
    of_all: Rows = [("ratio", "")]
    for name, value in ratios(results.parts).items():
        of_all.append((name, "not measured" if value is None else f"{value:.3g}"))
    staged = [part for part in measured if part.stages]
    return [parts, *([_stages(staged)] if staged else []), of_all]


def _of_part(part: Part) -> tuple[str, ...]:
    usage = part.usage
    ours = f"{usage.cpu_seconds:,.0f}", f"{usage.memory / 1e6:,.0f}"
    servers = f"{usage.server_cpu_seconds:,.0f}", f"{usage.server_memory / 1e6:,.0f}"
    return part.name, f"{part.seconds:.1f}", f"{part.rows:,}", f"{part.rows_per_second:,.0f}", *ours, *servers


def _stages(parts: list[Part]) -> Rows:
    shown: Rows = [("seconds", *(part.name for part in parts))]
    for name in dict.fromkeys(stage.name for part in parts for stage in part.stages):
        of_each = ({stage.name: stage.seconds for stage in part.stages}.get(name) for part in parts)
        shown.append((name, *("" if seconds is None else f"{seconds:.1f}" for seconds in of_each)))
    # Python's start, the session's, and the end of both.
    rest = (part.seconds - sum(stage.seconds for stage in part.stages) for part in parts)
    shown.append(("start and end", *(f"{seconds:.1f}" for seconds in rest)))
    for place in dict.fromkeys(place for part in parts for place in part.bytes):
        shown.append((f"{place}, MB", *(f"{part.bytes.get(place, 0) / 1e6:,.0f}" for part in parts)))
    return shown


def show(results: Results) -> None:
    """All of it on standard output."""
    output.print(results.title, soft_wrap=True, markup=False)
    for headings, *rows in as_tables(results):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        output.print(table, "")
    for note in results.notes:
        output.print(note, soft_wrap=True, markup=False)


def as_markdown(results: Results) -> str:
    """All of it for a document."""
    tables = []
    for headings, *rows in as_tables(results):
        lines = [headings, ("---", *("--:" for _ in headings[1:])), *rows]
        tables.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join((results.title, *tables, "\n".join(f"- {note}" for note in results.notes))) + "\n"
