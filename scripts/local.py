"""The embedded pair: one PostgreSQL server in `.local/` with the databases `totesys` and `warehouse`."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from pg8000.native import Connection, identifier

from retail_etl.postgres import Database
from scripts import demo_data
from scripts.embedded_postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local"
SOURCE, WAREHOUSE = "totesys", "warehouse"
READER = "etl_reader"


class LocalPair:
    """Source and warehouse on this machine, with all their state in one folder."""

    def __init__(self, home: Path = HOME) -> None:
        self.home = home
        self.lake = home / "lake"
        self._server = EmbeddedPostgres(home / "postgres")
        self._reader_password = home / "reader.password"

    def up(self, scale: float = 1.0, note: Callable[[str, int], None] | None = None) -> bool:
        """Start the server; make databases and demo data where they are missing. True where they were made now.

        `note` hears of each table of the demo data: its name and rows.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._server.start()
        self._server.create_database(WAREHOUSE)
        new = self._server.create_database(SOURCE)
        with self.owner() as connection:
            if not connection.run("SELECT to_regclass('public.payment') IS NOT NULL")[0][0]:
                demo_data.create_schema(connection)
            if not connection.run("SELECT EXISTS (SELECT FROM public.department)")[0][0]:
                demo_data.fill(connection, scale, progress=note)
                new = True
            demo_data.create_reader(connection, READER, self._password(), SOURCE)
            connection.run(f"GRANT pg_read_all_stats TO {identifier(READER)}")
        return new

    def is_up(self) -> bool:
        """Whether the embedded server runs."""
        return self._server.is_running()

    def down(self) -> None:
        """Stop the server and keep its data."""
        self._server.stop()

    def reset(self) -> None:
        """Stop the server and delete everything: databases, lake, passwords."""
        if self._server.is_running():
            self._server.stop()
        if self.home.exists():
            shutil.rmtree(self.home)

    def owner(self) -> Connection:
        """A connection to the source as its owner: what the application would have."""
        return Database.from_url("source", self._server.url(SOURCE)).connect()

    def url(self, role: str) -> str:
        """The `source` or the `warehouse`."""
        return self.source_url if role == "source" else self.warehouse_url

    @property
    def source_url(self) -> str:
        """The source, as a role that owns nothing and may only read."""
        return self._server.url(SOURCE, READER, self._password())

    @property
    def warehouse_url(self) -> str:
        """The warehouse, as its owner."""
        return self._server.url(WAREHOUSE)

    def _password(self) -> str:
        if not self._reader_password.exists():
            self._reader_password.touch(mode=0o600)
            self._reader_password.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        return self._reader_password.read_text(encoding="utf-8")
