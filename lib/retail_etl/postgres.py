"""What source and warehouse share: where a PostgreSQL is, a connection to it, and errors that say what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pg8000.native
from pg8000.exceptions import DatabaseError as ServerError
from pg8000.exceptions import InterfaceError

from retail_etl.errors import ConfigurationError, DatabaseError

APPLICATION = "retail-etl"
CONNECT_TIMEOUT_SECONDS = 10

FAILURES = (ServerError, InterfaceError, OSError)
"""What a query on an open connection may raise."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SSL_MODES = ("disable", "require", "verify-full")
_CURES = {
    "28P01": "Check user and password.",
    "28000": "Check that pg_hba.conf lets this user in.",
    "3D000": "Check the name of the database.",
    "57P01": "Somebody ended the connection. Nothing is half done: run again.",
    "57P03": "It is starting or stopping: run again when it is up.",
    "53100": "Its disk is full: make room, then run again.",
    "53300": "The server has no connection left: raise max_connections, or wait.",
}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database and how to reach it. `role` is what it is to us: `source` or `warehouse`."""

    role: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    ssl_mode: str = "disable"

    @classmethod
    def from_url(cls, role: str, url: str) -> Database:
        """From `postgresql://user:password@host:port/database[?sslmode=…]`; ConfigurationError where it is not one."""
        form = "postgresql://user:password@host:port/database"
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError:  # its text may hold a part of the password: what is before a / is taken for host and port
            raise ConfigurationError(
                f"The URL of the {role} cannot be read; its form is {form}, with / and @ of a password as %2F and %40."
            ) from None
        missing = [
            name
            for name, value in (
                ("postgresql://", parts.scheme in ("postgresql", "postgres")),
                ("host", parts.hostname),
                ("user", parts.username),
                ("database", parts.path.strip("/")),
            )
            if not value
        ]
        if missing:
            raise ConfigurationError(f"The URL of the {role} has no {', '.join(missing)}; its form is {form}.")
        host = parts.hostname or ""
        mode = parse_qs(parts.query).get("sslmode", ["disable" if host in _LOOPBACK else "require"])[0]
        if mode not in _SSL_MODES:
            raise ConfigurationError(f"sslmode={mode} of the {role} is not one of {', '.join(_SSL_MODES)}.")
        password = unquote(parts.password or "")
        return cls(role, host, port, unquote(parts.path.strip("/")), unquote(parts.username or ""), password, mode)

    @classmethod
    def from_secret(cls, role: str, secret: dict[str, Any]) -> Database:
        """From the JSON object of a secret; its keys are `host port user password database` and perhaps `sslmode`."""
        missing = [key for key in ("host", "port", "user", "password", "database") if not secret.get(key)]
        if missing:
            raise ConfigurationError(
                f"The secret of the {role} has no {', '.join(missing)}: run its make target again."
            )
        return cls(
            role,
            secret["host"],
            int(secret["port"]),
            secret["database"],
            secret["user"],
            secret["password"],
            secret.get("sslmode", "require"),
        )

    def __str__(self) -> str:
        return f"{self.role} '{self.database}' at {self.host}:{self.port} as user '{self.user}'"

    @property
    def url(self) -> str:
        """The URL with its password; for handing on, never for a log."""
        credentials = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{credentials}@{self.host}:{self.port}/{quote(self.database)}?sslmode={self.ssl_mode}"

    @property
    def jdbc_url(self) -> str:
        """The JDBC URL, without credentials."""
        return f"jdbc:postgresql://{self.host}:{self.port}/{quote(self.database)}?sslmode={self.ssl_mode}"

    def connect(self) -> pg8000.native.Connection:
        """A new connection, in autocommit. DatabaseError says what stood in the way."""
        try:
            return pg8000.native.Connection(
                self.user,
                host=self.host,
                database=self.database,
                password=self.password,
                sock=self._socket(),
                ssl_context=_tls(self.ssl_mode) or False,  # None would try TLS all the same
                application_name=APPLICATION,
            )
        except ServerError as error:
            raise self.explain(error) from error
        except (InterfaceError, OSError) as error:
            raise DatabaseError(
                f"Cannot reach the {self}: {error}. Check host and port, that the server runs and lets this "
                f"machine in, and sslmode (now '{self.ssl_mode}'); then run again."
            ) from error

    def query(self, sql: str, *, first: Sequence[str] = ()) -> Any:
        """The rows of a query, over a connection of its own, so that threads may call it side by side.

        `first`: statements that go before it on that connection.
        """
        connection = self.connect()
        try:
            for statement in first:
                connection.run(statement)
            return connection.run(sql)
        except FAILURES as error:
            raise self.explain(error) from error
        finally:
            close(connection)

    def explain(self, error: Exception) -> DatabaseError:
        """One of `FAILURES` in a sentence: a lost connection, or the refusal with its cure where that is known."""
        if not isinstance(error, ServerError):
            return DatabaseError(f"The connection to the {self} was lost ({error}). Nothing is half done: run again.")
        details = _details(error)
        more = f" ({details['D']})" if details.get("D") else ""
        cure = _CURES.get(details.get("C", ""), "")
        return DatabaseError(f"The {self} refused: {details.get('M')}{more}. {cure}".strip())

    def _socket(self) -> socket.socket:
        # A timeout for the connection alone: afterwards a COPY or a large query may take as long as it needs.
        connected = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_SECONDS)
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connected


@cache
def _tls(mode: str) -> ssl.SSLContext | None:
    """One for all connections: reading the system's certificates takes ten times as long as connecting does."""
    if mode == "disable":
        return None
    context = ssl.create_default_context()
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _details(error: ServerError) -> dict[str, str]:
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {"M": str(error)}


def is_refusal(error: DatabaseError) -> bool:
    """Whether the server answered, and would not."""
    return isinstance(error.__cause__, ServerError)


def reason(error: DatabaseError) -> str:
    """What went wrong, in the words of the server or of the system."""
    cause = error.__cause__
    return str(_details(cause).get("M") if isinstance(cause, ServerError) else cause or error)


def is_in_use(error: DatabaseError) -> bool:
    """Whether a lock was not to be had at once, for somebody uses the table."""
    said = error.__cause__.args[0] if isinstance(error.__cause__, ServerError) and error.__cause__.args else None
    return isinstance(said, dict) and said.get("C") == "55P03"


def close(connection: pg8000.native.Connection) -> None:
    """Close it; one that is lost is closed already, and what lost it has been told."""
    with suppress(*FAILURES):
        connection.close()


def names(columns: Iterable[str], prefix: str = "") -> str:
    """Column names as a quoted list for SQL, each after the prefix (`t.`)."""
    return ", ".join(prefix + quoted(column) for column in columns)


def quoted(*parts: str) -> str:
    """A name for SQL, quoted: `"schema"."table"`."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
