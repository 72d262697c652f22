"""What processes take of a machine, from `/proc` (Linux): seconds, CPU seconds, and the peak of their memory together.

Memory is PSS, the proportional set size: a page that several processes share counts once. So it can be added up.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

PROC = Path("/proc")
SECONDS_BETWEEN_LOOKS = 0.5
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A line of `/proc/<pid>/stat`. CPU times in ticks; `of_children`: of those that ended and were waited for."""

    pid: int
    parent: int
    ticks: int
    ticks_of_children: int

    @classmethod
    def read(cls, pid: int) -> "Process | None":
        """None where it is gone."""
        try:
            text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        values = text.rpartition(")")[2].split()  # its name, before it, may hold anything
        user, system, children_user, children_system = map(int, values[11:15])
        return cls(pid, int(values[1]), user + system, children_user + children_system)


@dataclass(frozen=True)
class Usage:
    """What was taken between two moments. `memory`: the greatest sum of PSS that was seen, in bytes.

    The database server's share stands apart: it serves source and warehouse, whoever copies.
    """

    seconds: float
    cpu_seconds: float
    memory: int
    server_cpu_seconds: float
    server_memory: int


class Watch:
    """Looks, twice a second, at all that this process started within the block, and at a database server.

    CPU that a process takes between the last look and its end is not seen: half a second at the most.
    """

    def __init__(self, server: int) -> None:
        """`server`: the process id of the database server's first process."""
        self._server = server
        self._earlier: set[int] = set()
        self._stopped = Event()
        self._thread = Thread(target=self._look_again_and_again, daemon=True)
        self._ticks: dict[int, int] = {}
        self._memory = self._server_memory = 0
        self._seconds = 0.0
        self._failed: OSError | None = None

    def __enter__(self) -> Self:
        self._server_before = _server_ticks(self._server)
        self._earlier = below(os.getpid(), list(_all_processes()))
        self._since = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds = time.monotonic() - self._since
        self._stopped.set()
        self._thread.join()
        if self._failed and not error:
            raise self._failed

    @property
    def usage(self) -> Usage:
        """Complete after the block."""
        return Usage(
            seconds=self._seconds,
            cpu_seconds=sum(self._ticks.values()) / _TICKS_A_SECOND,
            memory=self._memory,
            server_cpu_seconds=(_server_ticks(self._server) - self._server_before) / _TICKS_A_SECOND,
            server_memory=self._server_memory,
        )

    def _look_again_and_again(self) -> None:
        pause = SECONDS_BETWEEN_LOOKS / 16  # what ends soon is seen as well
        try:
            while not self._stopped.wait(pause):
                self._look()
                pause = min(2 * pause, SECONDS_BETWEEN_LOOKS)
        except OSError as failed:  # what was seen is not all, so it is nothing
            self._failed = failed

    def _look(self) -> None:
        processes = {found.pid: found for found in _all_processes()}
        servers = below(self._server, processes.values()) | {self._server}
        ours = below(os.getpid(), processes.values()) - servers - self._earlier
        self._ticks |= {pid: processes[pid].ticks for pid in ours}
        self._memory = max(self._memory, sum(map(_memory, ours)))
        self._server_memory = max(self._server_memory, sum(map(_memory, servers)))


def below(pid: int, processes: Iterable[Process]) -> set[int]:
    """The processes that it started, and those that they did."""
    children: dict[int, list[int]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found |= set(new)
        waiting += new
    return found


def _all_processes() -> Iterator[Process]:
    for name in os.listdir(PROC):  # noqa: PTH208 - twice a second: names are enough
        if name.isdigit() and (process := Process.read(int(name))):
            yield process


def _server_ticks(server: int) -> int:
    """Of the server's processes that there are, and of those that ended."""
    processes = {found.pid: found for found in _all_processes()}
    alive = below(server, processes.values()) | {server}
    ended = processes[server].ticks_of_children if server in processes else 0
    return ended + sum(processes[pid].ticks for pid in alive if pid in processes)


def _memory(pid: int) -> int:
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        pass
    return 0
