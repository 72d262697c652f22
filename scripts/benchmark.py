#!/usr/bin/env python
"""How fast the pipeline is, what it takes of the machine, and how that compares: `make benchmark`.

In a folder of its own, with databases and lakes of its own. docs/performance.md says what is measured.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from retail_etl.errors import ConfigurationError, RetailEtlError  # noqa: E402
from scripts import benchmark_parts as parts  # noqa: E402
from scripts.benchmark_parts import BenchmarkError, Stored  # noqa: E402
from scripts.benchmark_results import Part, Results, read_parts, show  # noqa: E402
from scripts.display import console, show_error  # noqa: E402
from scripts.embedded_postgres import EmbeddedPostgresError  # noqa: E402
from scripts.local import HOME  # noqa: E402

SCALE = 200.0
"""4.2 million rows: 1.0 of sales orders, 0.4 of purchase orders, 1.4 each of transactions and payments."""
ROWS_AT_SCALE_1 = 21_000
QUICK_SCALE = 0.2
DOUBLED = "twice"

Measure = Callable[[Stored], Part]


@dataclass(frozen=True)
class Source:
    """A source of its own and what is measured on it, in this order."""

    name: str
    scale: float
    parts: dict[str, Measure]


def _sources(scale: float, programs: Path) -> list[Source]:
    rows = round(scale * ROWS_AT_SCALE_1)
    million, twice, twice_changed = "a million rows", "first run of twice the rows", "0.1 % of before, twice stored"
    on_all: dict[str, Measure] = {
        "COPY": parts.copied,
        "Sling": lambda stored: parts.by_sling(stored, programs),
        "session start": parts.session_start,
        "first run": lambda stored: parts.first_run("first run", stored),
        "nothing changed": lambda stored: parts.run("nothing changed", stored),
        "0.1 % changed": lambda stored: parts.changed_run("0.1 % changed", stored, rows // 1000, seed=1),
        "1 % changed": lambda stored: parts.changed_run("1 % changed", stored, rows // 100, seed=2),
        "reconcile": lambda stored: parts.run("reconcile", stored, ("reconcile", "--heal")),
    }
    on_twice: dict[str, Measure] = {
        twice: lambda stored: parts.first_run(twice, stored),
        twice_changed: lambda stored: parts.changed_run(twice_changed, stored, rows // 1000, seed=1),
    }
    return [
        Source("whole", scale, on_all),
        Source(
            "million",
            min(scale, 1_000_000 / ROWS_AT_SCALE_1),
            {million: lambda stored: parts.first_run(million, stored)},
        ),
        Source(DOUBLED, 2 * scale, on_twice),
    ]


def measure(
    scale: Annotated[float, typer.Option(min=0.01, envvar="SCALE", help="200 is 4.2 million rows.")] = SCALE,
    quick: Annotated[bool, typer.Option("--quick", help=f"Scale {QUICK_SCALE}: to see that it works.")] = False,
    doubled: Annotated[bool, typer.Option("--doubled", help="Also with twice the rows stored.")] = False,
    only: Annotated[list[str] | None, typer.Option(metavar="PART", help="This part alone; can be repeated.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave databases and lakes for the next time.")] = False,
    folder: Annotated[Path, typer.Option(help="Where databases and lakes are made.")] = HOME / "benchmark",
    output: Annotated[
        Path | None, typer.Option(help="The results as JSON; parts that it has already stay, but those measured now.")
    ] = None,
) -> None:
    """Measure copying, Sling and the pipeline's runs in turn; show tables, and keep the results as JSON."""
    parts.check_machine()
    scale = QUICK_SCALE if quick else scale
    sources = _sources(scale, folder / "sling")
    wanted = _wanted(only, sources, doubled=doubled)
    now = datetime.now(UTC)
    file = output or ROOT / "benchmarks" / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
    results = Results(f"{now:%Y-%m-%d %H:%M} UTC", _commit(), _machine(), scale, read_parts(file, scale))
    for source in sources:
        chosen = {name: work for name, work in source.parts.items() if name in wanted}
        if not chosen:
            continue
        stored = Stored(folder / f"{source.name}-{source.scale:g}", source.scale)
        for part in _measured(stored, chosen):
            results.parts[part.name] = part
            results.write(file)
        if not keep:
            shutil.rmtree(stored.folder)
    show(results)
    console.print(f"Kept in {file}", soft_wrap=True)


def _wanted(only: list[str] | None, sources: list[Source], *, doubled: bool) -> list[str]:
    known = [name for source in sources for name in source.parts]
    if unknown := [name for name in only or () if name not in known]:
        raise ConfigurationError(f"There is no part {', '.join(unknown)}. There are: {', '.join(known)}.")
    return only or [name for source in sources if doubled or source.name != DOUBLED for name in source.parts]


def _measured(stored: Stored, chosen: dict[str, Measure]) -> Iterator[Part]:
    console.print(f"The source of {', '.join(chosen)}: scale {stored.scale:g}", soft_wrap=True)
    with stored.served():
        for name, work in chosen.items():
            part = work(stored)
            console.print(f"  {name:<32} {part.skipped or f'{part.seconds:8.1f} s'}", soft_wrap=True, markup=False)
            yield part


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" and changes" if git("status", "--porcelain") else "")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def main() -> None:
    """Measure; an expected error is one paragraph and exit code 1."""
    try:
        typer.run(measure)
    except (BenchmarkError, RetailEtlError, EmbeddedPostgresError) as error:
        show_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
