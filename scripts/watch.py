"""`etl.py watch`: the workflow every few minutes, shown live, until somebody ends it."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from retail_etl.manifests import Manifests
from retail_etl.postgres import Database
from scripts.display import console
from scripts.lake_status import Status, read_status
from scripts.local import LocalPair
from scripts.options import Lake, Source, Warehouse
from scripts.running import exit_code, run_workflow
from scripts.watch_display import Plain, Shown, Watching
from scripts.workflow import Run, Stage

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LOOKED_AT_SECONDS = 0.25


def seconds(text: str) -> float:
    """An interval such as `90s`, `5m`, `1h`; a bare number is minutes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text}: give an interval such as 90s, 5m or 1h; a bare number is minutes.")
    return float(found[1]) * _UNITS[found[2] or "m"]


def watch(
    every: Annotated[
        str, typer.Option(metavar="INTERVAL", help="From start to start: 90s, 5m, 1h; a bare number is minutes.")
    ] = "5m",
    runs: Annotated[int | None, typer.Option(min=1, help="End after so many runs; default: go on.")] = None,
    source: Source = "",
    warehouse: Warehouse = "",
    lake: Lake = "",
) -> None:
    """Run the workflow again and again, and show how it goes: stages, rows, time left, freshness.

    A run that fails is shown, and the next one is tried: it takes what the failed one left. Where standard error is no
    terminal, lines are written.

    Ctrl-C or SIGTERM: the stage that is under way is finished and the lease given back; what is missing, the next run
    does. A second one ends at once, which harms nothing either.

    Exit code: that of the last run that came to its end, as `run` has it (0 done, or nothing changed; 1 a stage failed;
    3 deletions wait for --accept-deletions); 0 where none did. Ended at once: 130 (Ctrl-C), 143 (SIGTERM).
    """
    interval, stop = seconds(every), Stop()
    for role, url in (("source", source), ("warehouse", warehouse)):
        if url:
            Database.from_url(role, url)  # what is no URL, no run will mend
    place = lake or str(LocalPair().lake)

    def run() -> tuple[Run, Status | None]:
        try:
            done = run_workflow(lake, display=shown, stop=stop.asked.is_set, source=source, warehouse=warehouse)
        except Exception as error:  # noqa: BLE001 - a run that cannot even begin is a failed one, too
            done = Run([Stage("start", "failed", error=str(error) or repr(error))])
        return done, _published(place)

    with stop.heard(), (Watching if console.is_terminal else Plain)(place, interval) as shown:
        code = _runs(run, interval, runs, stop, shown)
    raise typer.Exit(code)


def _runs(
    run: Callable[[], tuple[Run, Status | None]], every: float, most: int | None, stop: "Stop", shown: Shown
) -> int:
    """Run, wait, and run again. Gives the exit code."""
    code, count = 0, 0
    # In a thread of its own: this one hears signals, and draws. PySpark leaves Ctrl-C alone where it is not this one.
    worker = ThreadPoolExecutor(max_workers=1)
    while not stop.asked.is_set():
        since = time.monotonic()
        count += 1
        shown.begin(count)
        running = worker.submit(run)
        while wait([running], timeout=_LOOKED_AT_SECONDS).not_done:
            shown.look(stopping=stop.asked.is_set())
        done, published = running.result()
        shown.end(done, published)
        if done.status != "stopped":
            code = exit_code(done)
        if count == most or stop.asked.is_set():
            break
        shown.wait_until(since + every)
        while (left := since + every - time.monotonic()) > 0 and not stop.asked.wait(min(left, _LOOKED_AT_SECONDS)):
            shown.look(stopping=False)
    worker.shutdown()
    return code


def _published(lake: str) -> Status | None:
    try:
        published: Status | None = read_status(Manifests(lake), 1)["published"]
        return published
    except Exception:  # noqa: BLE001 - what the lake does not tell, the run's own error has told
        return None


class _AtOnce(BaseException):
    """The second signal."""


class Stop:
    """What signals ask for. `asked`: to end after the stage that is under way."""

    def __init__(self) -> None:
        self.asked = Event()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear Ctrl-C and SIGTERM within the block. A second one ends the process there: what holds the lease is then
        gone, so the lease is free, and what has no manifest did not happen.
        """
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._hear) for number in signals}
        try:
            yield
        except _AtOnce as second:
            console.print("Ended at once. The next run does what is missing.")
            sys.stderr.flush()
            os._exit(128 + second.args[0])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.asked.is_set():
            raise _AtOnce(number)
        self.asked.set()
