"""What people see on the terminal while a workflow runs: progress on standard error, results on standard output."""

import time
from threading import Event, Thread
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from retail_etl.runtime import Progress
from retail_etl.spark import rows_in_flight
from scripts.workflow import Run

console = Console(stderr=True, highlight=False)
output = Console(highlight=False)


class Display(Protocol):
    """Where a run says which stage it is at."""

    def stage(self, name: str) -> Progress:
        """The progress of the stage that begins now."""
        ...

    def close(self) -> None:
        """The last stage is over."""
        ...


class StageProgress(Progress):
    """The tables of one stage, live where a person looks on, as lines where nobody does. `is_part`: somebody else draws
    its `bars`.
    """

    def __init__(self, stage: str, *, is_part: bool = False) -> None:
        self.rows = 0
        self._stage, self._is_part = stage, is_part
        self._tasks: dict[str, TaskID] = {}
        self._since: dict[str, float] = {}
        self._closed = Event()
        self._watcher = Thread(target=self._watch, daemon=True)
        self.bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]:<18} {task.description:<20}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[rows]:>12}"),
            TextColumn("{task.fields[rate]:>16}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if not self._is_part:
            self.bars.start()
        if console.is_terminal:
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self._watcher.is_alive():
            self._watcher.join()
        if not self._is_part:
            self.bars.stop()

    def _watch(self) -> None:
        """Show each second how far the tables are that Spark works on."""
        while not self._closed.wait(1):
            for table, rows in rows_in_flight().items():
                since = self._since.get(table)
                if since is not None:
                    self._show(table, rows, time.monotonic() - since)

    def _show(self, table: str, rows: int, seconds: float) -> None:
        rate = f"{rows / max(seconds, 1e-3):,.0f} rows/s"
        self.bars.update(self._tasks[table], completed=rows, rows=f"{rows:,} rows", rate=rate)

    def start(self, table: str, total: int | None = None) -> None:
        """See `Progress`."""
        rows = f"of {total:,} rows" if total is not None else ""
        self._tasks[table] = self.bars.add_task(table, total=total or None, stage=self._stage, rows=rows, rate="")
        self._since[table] = time.monotonic()

    def finish(self, table: str, rows: int, seconds: float) -> None:
        """See `Progress`."""
        self._since.pop(table, None)
        self.rows += rows
        if table in self._tasks:
            self.bars.update(self._tasks[table], total=max(rows, 1))
            self._show(table, rows, seconds)
            self.bars.stop_task(self._tasks[table])
            self.bars.update(self._tasks[table], visible=not self._is_part)  # a part is small
        if not console.is_terminal:
            console.print(f"  {self._stage:<18} {table:<20} {rows:>10,} rows {seconds:>6.1f} s", soft_wrap=True)


class RunDisplay:
    """Hands every stage its progress, and closes the one before."""

    def __init__(self) -> None:
        self._open: StageProgress | None = None

    def stage(self, name: str) -> Progress:
        """The progress of the stage that begins now."""
        self.close()
        self._open = StageProgress(name)
        return self._open.__enter__()

    def close(self) -> None:
        """The last stage is over."""
        if self._open:
            self._open.__exit__(None, None, None)
            self._open = None


def show_error(error: object) -> None:
    """An error as it stands: brackets in it are no markup."""
    console.print(f"[red]error[/] {escape(str(error))}", soft_wrap=True)


def show_run(run: Run) -> None:
    """The stages of a finished run as a table, and its error where it failed."""
    colours = {"succeeded": "green", "nothing_to_do": "dim", "failed": "red", "skipped": "dim"}
    colours |= {"timeout": "red", "stopped": "red"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("stage", "left"), ("status", "left"), ("rows", "right"), ("seconds", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for stage in run.stages:
        status = f"[{colours[stage.status]}]{stage.status.replace('_', ' ')}[/]"
        table.add_row(stage.name, status, f"{stage.rows:,}", f"{stage.seconds:.1f}")
    console.print(table)
    for warning in run.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", soft_wrap=True)
    if run.error:
        show_error(run.error)
    batch = f"batch {run.batch_id}" if run.batch_id else "no new batch"
    console.print(f"{run.status.replace('_', ' ')}, {batch}, {sum(stage.seconds for stage in run.stages):.1f} s")
