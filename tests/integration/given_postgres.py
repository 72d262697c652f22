"""PostgreSQL servers that are there already, instead of the embedded one: what `make docker-test` gives.

TEST_POSTGRES_URL             its superuser's URL
TEST_WAREHOUSE_POSTGRES_URL   where the databases `…_warehouse` are, if on another server

A server needs max_prepared_transactions=10 and timezone=UTC, as `scripts/embedded_postgres.py` sets them. What tests
the embedded server itself, or stops it, needs that one.
"""

import os
from urllib.parse import quote, urlsplit

from retail_etl.postgres import Database
from scripts.embedded_postgres import create_database


class GivenPostgres:
    """What the tests use of an embedded server: URLs, and databases that are made."""

    def __init__(self, url: str, warehouse_url: str) -> None:
        self._url = url
        self._warehouse_url = warehouse_url

    @classmethod
    def from_environment(cls) -> "GivenPostgres | None":
        """The servers that the environment names; None where it names none."""
        url = os.environ.get("TEST_POSTGRES_URL")
        return cls(url, os.environ.get("TEST_WAREHOUSE_POSTGRES_URL", url)) if url else None

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Where a client connects to, as `user` or else as the superuser."""
        parts = urlsplit(self._server(database))
        credentials, _, place = parts.netloc.rpartition("@")
        if user is not None:
            credentials = ":".join(quote(part, safe="") for part in (user, password) if part is not None)
        return f"postgresql://{credentials}@{place}/{quote(database, safe='')}?{parts.query or 'sslmode=disable'}"

    def create_database(self, name: str) -> bool:
        """Create the database where it does not exist; True where it was made now."""
        connection = Database.from_url("tests", self._server(name)).connect()
        try:
            return create_database(connection, name)
        finally:
            connection.close()

    def _server(self, database: str) -> str:
        return self._warehouse_url if database.endswith("_warehouse") else self._url
