"""The lease of a lake: one renewable, expiring claim, so that one run at a time works on it.

It is one object, `lease.json`, and every change of it is a compare-and-swap. Who holds it renews it; who dies stops
renewing it, and loses it when it has run out, or at once where the next one can see that the process is gone.
Machines may differ in their time by up to 90 seconds: what is between two renewals and the end of the lease.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from retail_etl.errors import StateError
from retail_etl.storage import Storage, open_storage

log = logging.getLogger("retail_etl")

NAME = "lease.json"
DURATION = timedelta(seconds=120)
RENEWED_EVERY_SECONDS = 30.0
TRIED_EVERY_SECONDS = 5.0

_Body = dict[str, Any]


@contextmanager
def hold(location: str, purpose: str, patience: timedelta = timedelta(0)) -> Iterator["Lease"]:
    """Hold the lake's lease within the block; `purpose` tells others what for. `patience`: how long to wait for it.

    StateError where somebody else holds it for longer, and at the end of the block where it was lost meanwhile (the
    machine was suspended, or the storage could not be written for two minutes): what was done is then not to be
    trusted.
    StorageError where the location cannot be read and written.
    """
    lease = Lease(open_storage(location), location, purpose)
    lease.acquire_within(patience)
    stopped = threading.Event()
    renewal = threading.Thread(target=lease.renew_until, args=(stopped,), name="lease", daemon=True)
    renewal.start()
    try:
        yield lease
    finally:
        stopped.set()
        renewal.join()
        lease.release()
    lease.raise_if_lost()


def holder(storage: Storage, location: str) -> str | None:
    """Who works on the lake now, as people say it; None where nobody does."""
    found = storage.read(NAME)
    body = None if found is None else _read(found, location)
    if body is None or _is_free(body):
        return None
    since = _shown(datetime.fromisoformat(body["acquired_at"]))
    return f"{body['purpose']} (process {body['pid']} on {body['host']}) since {since}"


class Lease:
    """A lease as its holder has it; `hold` makes and ends it."""

    def __init__(self, storage: Storage, location: str, purpose: str) -> None:
        self._storage = storage
        self._location = location
        self._body: _Body = {
            "token": str(uuid4()),
            "purpose": purpose,
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "process_started": _process_started(os.getpid()),
        }
        self._expires_at = _now()
        self._lost: str | None = None
        # `check` may renew it while the thread does: each would take the other for another run.
        self._one_at_a_time = threading.Lock()

    def check(self) -> None:
        """StateError where the lease was lost. One that ran out, and that nobody took, is renewed first."""
        if _now() >= self._expires_at:
            self._try_to_write(DURATION)
        self.raise_if_lost()

    def raise_if_lost(self) -> None:
        """StateError where the lease was lost, as far as is known."""
        if self._lost:
            raise StateError(
                f"The lease of {self._location} was lost while this run worked: {self._lost}. "
                "What this run did does not count as done. Run again: it finishes what is missing."
            )

    def acquire_within(self, patience: timedelta) -> None:
        """Take the lease as soon as it is free; StateError, with who holds it, where it is not in that time."""
        until = _now() + patience
        while True:
            try:
                self.acquire()
                return
            except StateError:
                if _now() >= until:
                    raise
            time.sleep(TRIED_EVERY_SECONDS)

    def acquire(self) -> None:
        """Take the lease where it is free; StateError, with who holds it, where it is not."""
        self._body["acquired_at"] = _now().isoformat()
        expires_at = _now() + DURATION
        found = self._found()
        if found is None:
            taken = self._storage.create(NAME, self._until(expires_at))
        else:
            holder, version = found
            if not _is_free(holder):
                raise StateError(_held_by(self._location, holder))
            taken = self._storage.replace(NAME, self._until(expires_at), version)
        if not taken:
            self._expect_ours()
        self._expires_at = expires_at

    def renew_until(self, stopped: threading.Event) -> None:
        """Renew it again and again, until stopped or lost."""
        while not (stopped.wait(RENEWED_EVERY_SECONDS) or self._lost):
            self._try_to_write(DURATION)

    def release(self) -> None:
        """Mark it as free, so that the next one need not wait until it runs out."""
        if not self._lost:
            self._try_to_write(timedelta(0), released_at=_now().isoformat())

    def _expect_ours(self) -> None:
        """After a lost compare-and-swap: the winner is another run, or this one, where S3's client sent it twice."""
        winner = self._found()
        if winner is None:
            raise StateError(f"{NAME} of {self._location} was deleted in this moment: let it be, and run again.")
        if winner[0]["token"] != self._body["token"]:
            raise StateError(_held_by(self._location, winner[0]))

    def _try_to_write(self, duration: timedelta, **marks: str) -> None:
        """Write the lease anew. A storage that fails is no loss yet: there are more tries while the lease lasts."""
        with self._one_at_a_time:
            try:
                self._write(_now() + duration, marks)
            except Exception as error:  # noqa: BLE001 - whatever the storage's client raises
                log.warning("The lease of %s could not be written: %s", self._location, error)
                if _now() >= self._expires_at:
                    self._lost = f"it ran out at {_shown(self._expires_at)}, and could not be renewed ({error})"

    def _write(self, expires_at: datetime, marks: dict[str, str]) -> None:
        for _ in range(2):  # the second time for a first one that S3 did, and did not answer
            found = self._found()
            if found is None or found[0]["token"] != self._body["token"]:
                self._lost = f"{found[0]['purpose']} took it over" if found else f"{NAME} was deleted"
                return
            if self._storage.replace(NAME, self._until(expires_at, marks), found[1]):
                self._expires_at = expires_at
                return
        self._lost = "another run took it over in this moment"

    def _found(self) -> tuple[_Body, str] | None:
        """The lease as it stands, and its version."""
        found = self._storage.read_version(NAME)
        return None if found is None else (_read(found[0], self._location), found[1])

    def _until(self, expires_at: datetime, marks: dict[str, str] | None = None) -> bytes:
        return json.dumps({**self._body, "expires_at": expires_at.isoformat(), **(marks or {})}, indent=1).encode()


def _read(data: bytes, location: str) -> _Body:
    try:
        body: _Body = json.loads(data)
        datetime.fromisoformat(body["expires_at"])
        int(body["pid"])
        body["token"], body["purpose"], body["host"], body["acquired_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{NAME} in {location} is no lease ({error!r}). Make sure that no run works there, then delete it."
        ) from error
    return body


def _is_free(holder: _Body) -> bool:
    """Whether nobody holds it any more: it was given back, or has run out, or its process on this machine is gone."""
    if holder.get("released_at") or _now() >= datetime.fromisoformat(holder["expires_at"]):
        return True
    here = (socket.gethostname(), _machine())
    return (holder["host"], holder.get("machine")) == here and not _lives(int(holder["pid"]), holder["process_started"])


def _machine() -> str:
    """Where a pid means one process. Host names do not tell: containers, and machines in two networks, share them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""  # no Linux: there the host name has to do


def _lives(pid: int, started: str | None) -> bool:
    """Whether the process is there, and is the one that started then: pids are used again."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        pass
    return _process_started(pid) in (None, started)


def _process_started(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None where the kernel does not say.

    Empty where it has ended and waits for its parent to ask how: it holds nothing any more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return "" if state in "ZX" else rest[18]


def _held_by(location: str, holder: _Body) -> str:
    since, until = (_shown(datetime.fromisoformat(holder[name])) for name in ("acquired_at", "expires_at"))
    return (
        f"{location} is being worked on by {holder['purpose']} (process {holder['pid']} on {holder['host']}), which "
        f"holds its lease since {since} and until {until}, or longer if it renews it. One run at a time works on a "
        "lake: wait until that one is done, then run again. If it died, the lease runs out by itself."
    )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _now() -> datetime:
    return datetime.now(UTC)
