"""What `etl.py watch` shows: a live view on a terminal, lines elsewhere."""

import time
from collections import deque
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from retail_etl.runtime import Progress
from scripts.display import RunDisplay, StageProgress, console, show_run
from scripts.health import PROMISED_MINUTES, duration
from scripts.lake_status import Status
from scripts.workflow import Run, read_pipeline

RUNS_SHOWN = 6
_TALL = 32


class Shown(Protocol):
    """What is told of runs as they go. It is a run's `Display`, too."""

    def begin(self, count: int) -> None:
        """A run begins, the first one being 1."""
        ...

    def look(self, *, stopping: bool) -> None:
        """Some time has passed; `stopping`: somebody asked for the end."""
        ...

    def end(self, done: Run, published: Status | None) -> None:
        """The run is over; `published`: the newest batch that readers see, as `lake_status` has it."""
        ...

    def wait_until(self, moment: float) -> None:
        """The next run begins then (`time.monotonic`)."""
        ...


class Plain(RunDisplay):
    """Lines, for logs and pipes."""

    def __init__(self, lake: str, every: float) -> None:
        super().__init__()
        self._every, self._lake, self._is_stopping = every, lake, False

    def __enter__(self) -> Self:
        console.print(f"{_clock()} watching {self._lake}, every {_interval(self._every)}", soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, count: int) -> None:
        """See `Shown`."""
        console.print(f"{_clock()} run {count}")

    def look(self, *, stopping: bool) -> None:
        """See `Shown`."""
        if stopping and not self._is_stopping:
            self._is_stopping = True
            console.print(f"{_clock()} ending after this stage")

    def end(self, done: Run, published: Status | None) -> None:
        """See `Shown`."""
        show_run(done)
        console.print(f"{_clock()} {_freshness(done, published)}")

    def wait_until(self, moment: float) -> None:
        """See `Shown`."""
        left = timedelta(seconds=max(0.0, moment - time.monotonic()))
        console.print(f"{_clock()} next run at {datetime.now(UTC) + left:%H:%M:%S} UTC")


class Watching:
    """The live view: the stages of the run that goes, the last runs, freshness, and when the next one begins."""

    def __init__(self, lake: str, every: float) -> None:
        self._lake, self._every = lake, every
        self._stages: dict[str, StageProgress | None] = {}
        self._since: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._open: str | None = None
        self._runs: deque[tuple[str, Run]] = deque(maxlen=RUNS_SHOWN)
        self._published: Status | None = None
        self._read_at = time.monotonic()
        self._count, self._next, self._is_stopping, self._is_over = 0, 0.0, False, False
        self._live = Live(get_renderable=self._drawn, console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._live.refresh()
        self._live.stop()

    # ------------------------------------------------------------------ what happens

    def begin(self, count: int) -> None:
        """See `Shown`."""
        self._count, self._next = count, 0.0
        self._stages = dict.fromkeys(read_pipeline().jobs)
        self._since, self._spent = {}, {}
        self._live.refresh()

    def stage(self, name: str) -> Progress:
        """See `Display`."""
        self.close()
        self._open, self._since[name] = name, time.monotonic()
        progress = self._stages[name] = StageProgress(name, is_part=True).__enter__()
        return progress

    def close(self) -> None:
        """See `Display`."""
        if self._open and (progress := self._stages[self._open]):
            self._spent[self._open] = time.monotonic() - self._since[self._open]
            progress.__exit__(None, None, None)
        self._open = None

    def look(self, *, stopping: bool) -> None:
        """See `Shown`."""
        self._is_stopping = stopping
        self._live.refresh()

    def end(self, done: Run, published: Status | None) -> None:
        """See `Shown`."""
        self.close()
        self._runs.append((_clock(), done))
        self._published, self._read_at = published, time.monotonic()
        self._live.refresh()

    def wait_until(self, moment: float) -> None:
        """See `Shown`."""
        self._next = moment

    # ------------------------------------------------------------------ how it looks

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = [
            Text.assemble(("watch ", "bold"), f"{self._lake}, every {_interval(self._every)}", overflow="ellipsis"),
            Text(self._freshness()),
            Text(),
            self._stage_table(),
        ]
        if self._open and (progress := self._stages[self._open]):
            parts += [Text(), progress.bars]
        if self._runs and (self._open is None or console.height > _TALL):
            parts += [Text(), self._run_table()]
        if self._runs and (error := self._runs[-1][1].error):
            parts.append(Text.from_markup(f"[red]error[/] {escape(error)}"))
        return Group(*parts, Text(), Text(self._prompt(), style="dim"))

    def _freshness(self) -> str:
        if not self._runs:
            return "freshness: known after the first run"
        published = self._published
        if published:
            published = {**published, "age_seconds": published["age_seconds"] + time.monotonic() - self._read_at}
        return _freshness(self._runs[-1][1], published)

    def _stage_table(self) -> Table:
        table = Table("stage", "", box=None, pad_edge=False, title=f"run {self._count}", title_justify="left")
        table.add_column("rows", justify="right")
        table.add_column("seconds", justify="right")
        ended = {stage.name: stage for stage in self._runs[-1][1].stages} if self._runs and not self._open else {}
        for name, progress in self._stages.items():
            if name == self._open:
                state, spent = Text("running", style="cyan"), time.monotonic() - self._since[name]
            elif name in self._spent:
                state, spent = _state(ended[name].status if name in ended else "succeeded"), self._spent[name]
            else:
                state, spent = Text("" if self._open or not ended else "not begun", style="dim"), 0.0
            rows = f"{progress.rows:,}" if progress and progress.rows else ""
            table.add_row(name, state, rows, f"{spent:.1f}" if spent else "")
        return table

    def _run_table(self) -> Table:
        table = Table("ended (UTC)", "last runs", "batch", box=None, pad_edge=False)
        table.add_column("rows", justify="right")
        table.add_column("seconds", justify="right")
        for at, done in reversed(self._runs):
            rows = next((stage.rows for stage in done.stages if stage.name == "extract"), 0)
            spent = sum(stage.seconds for stage in done.stages)
            batch = str(done.batch_id) if done.batch_id else ""
            table.add_row(at, _state(done.status), batch, f"{rows:,}" if rows else "", f"{spent:.1f}")
        return table

    def _prompt(self) -> str:
        if self._is_over:
            return "Ended."
        if self._is_stopping:
            return "Ending after this stage. Ctrl-C again: at once."
        if self._next:
            left = max(0, round(self._next - time.monotonic()))
            return f"Next run in {left // 60}:{left % 60:02}. Ctrl-C: end."
        return "Ctrl-C: finish this stage, then end."


def _state(status: str) -> Text:
    styles = {"succeeded": "green", "failed": "red", "timeout": "red", "stopped": "yellow"}
    return Text(status.replace("_", " "), style=styles.get(status, "dim"))


def _freshness(done: Run, published: Status | None) -> str:
    if published is None:
        return "freshness: nothing is published yet"
    behind = duration(round(published["age_seconds"]))
    if done.status == "nothing_changed":
        return f"fresh: nothing in the source is newer than batch {published['batch_id']} ({behind} old)"
    is_fresh = published["loaded"] and published["age_seconds"] <= PROMISED_MINUTES * 60
    return (
        f"{'fresh' if is_fresh else 'behind'}: the warehouse shows the source as of {behind} ago, batch "
        f"{published['batch_id']} ({PROMISED_MINUTES} minutes are promised)"
        if published["loaded"]
        else f"behind: the warehouse does not show batch {published['batch_id']} yet, of {behind} ago"
    )


def _interval(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"
