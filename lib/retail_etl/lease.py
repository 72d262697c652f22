"""The lease of a lake: one renewable, expiring claim, so that one run at a time works on it.

It is one object, `lease.json`, and every change of it is a compare-and-swap. Who holds it renews it; who dies stops
renewing it, and loses it when it has run out, or at once where the next one can see that the process is gone.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from retail_etl.errors import StateError
from retail_etl.storage import Storage, open_storage

NAME = "lease.json"
DURATION = timedelta(seconds=120)
RENEWED_EVERY_SECONDS = 30.0


@contextmanager
def hold(location: str, purpose: str) -> Iterator[None]:
    """Hold the lake's lease within the block; `purpose` tells others what for.

    StateError where somebody else holds it, and at the end of the block where it was lost meanwhile (the machine was
    suspended, or the storage could not be reached for two minutes): what was done is then not to be trusted.
    """
    lease = _Lease(open_storage(location), location, purpose)
    lease.acquire()
    stopped = threading.Event()
    renewal = threading.Thread(target=lease.renew_until, args=(stopped,), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stopped.set()
        renewal.join()
        lease.release()
    if lease.lost:
        raise StateError(f"The lease of {location} was lost while this run worked ({lease.lost}): run again.")


class _Lease:
    def __init__(self, storage: Storage, location: str, purpose: str) -> None:
        self._storage = storage
        self._location = location
        self._token = str(uuid4())
        self._acquired_at = _now()
        self._body = {
            "token": self._token,
            "purpose": purpose,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": _process_started(os.getpid()),
            "acquired_at": self._acquired_at.isoformat(),
        }
        self.lost: str | None = None

    def acquire(self) -> None:
        if self._storage.create(NAME, self._until(_now() + DURATION)):
            return
        found = self._storage.read_version(NAME)
        if found is None:
            raise StateError(f"{NAME} of {self._location} comes and goes: run again.")
        data, version = found
        holder = json.loads(data)
        if not _is_free(holder):
            raise StateError(_taken(self._location, holder))
        if not self._storage.replace(NAME, self._until(_now() + DURATION), version):
            raise StateError(
                f"Another run took the lease of {self._location} in this moment: wait for it, or run again."
            )

    def renew_until(self, stopped: threading.Event) -> None:
        while not stopped.wait(RENEWED_EVERY_SECONDS):
            try:
                self._write(_now() + DURATION)
            except Exception as error:  # noqa: BLE001 - whatever the storage's client raises: try while the lease lasts
                if _now() > self._expires_at:
                    self.lost = str(error)
            if self.lost:
                return

    def release(self) -> None:
        if not self.lost:
            self._write(_now())

    def _write(self, expires_at: datetime) -> None:
        found = self._storage.read_version(NAME)
        if found is None or json.loads(found[0])["token"] != self._token:
            self.lost = "another run took it over"
        elif not self._storage.replace(NAME, self._until(expires_at), found[1]):
            self.lost = "another run took it over in this moment"

    def _until(self, expires_at: datetime) -> bytes:
        self._expires_at = expires_at
        return json.dumps({**self._body, "expires_at": expires_at.isoformat()}, indent=1).encode()


def _is_free(holder: dict[str, Any]) -> bool:
    """Whether nobody can hold it any more: it has run out, or its process on this machine is gone."""
    if _now() >= datetime.fromisoformat(holder["expires_at"]):
        return True
    if holder["host"] != socket.gethostname():
        return False
    return _process_started(int(holder["pid"])) != str(holder["process_started"])


def _process_started(pid: int) -> str | None:
    """When the process started, as the kernel counts; None where there is none. With it, a pid means one process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else "unknown"
    return stat.rpartition(")")[2].split()[19]


def _taken(location: str, holder: dict[str, Any]) -> str:
    return (
        f"{location} is being worked on by {holder['purpose']} (process {holder['pid']} on {holder['host']}, since "
        f"{holder['acquired_at'][:19]} UTC). One run at a time works on a lake: wait until it is done. If it died, "
        f"its lease runs out by itself at {holder['expires_at'][:19]} UTC."
    )


def _now() -> datetime:
    return datetime.now(UTC)
