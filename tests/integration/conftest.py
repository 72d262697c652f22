"""Real servers for the integration tests: one PostgreSQL a session, one fresh database a test."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from pg8000.native import Connection, identifier

from scripts import demo_data
from scripts.embedded_postgres import EmbeddedPostgres
from tests.integration.world import SOURCE_ROWS, World

Connect = Callable[[str], Connection]


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server without fsync, gone with its folder at the end of the session."""
    folder = Path(tempfile.mkdtemp(prefix="retail-etl-postgres-"))
    try:
        with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's URL of an empty database, which is dropped after the test with whoever is connected."""
    name = f"test_{uuid4().hex}"
    postgres.create_database(name)
    yield postgres.url(name)
    administrator = _connect(postgres.url("postgres"))
    try:
        administrator.run(f"DROP DATABASE {identifier(name)} WITH (FORCE)")
    finally:
        administrator.close()


@pytest.fixture(scope="session")
def connect() -> Connect:
    """Opens a connection to a URL; the caller closes it, or the drop of its database does."""
    return _connect


@pytest.fixture
def world(database: str, postgres: EmbeddedPostgres, connect: Connect, tmp_path: Path) -> Iterator[World]:
    name = database.rsplit("/", 1)[1]
    postgres.create_database(f"{name}_warehouse")
    owner = connect(database)
    demo_data.create_schema(owner)
    demo_data.create_reader(owner, "reader", "only reads", name)
    made = World(
        database, postgres.url(name, "reader", "only reads"), postgres.url(f"{name}_warehouse"), tmp_path / "lake"
    )
    yield made
    made.source.close()
    made.warehouse.close()


@pytest.fixture
def fences_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with `SOURCE_ROWS` that has no overlap: no second reading mends what the fences or the snapshot miss."""
    monkeypatch.setattr("retail_etl.source.OVERLAP", "0 seconds")
    world.source.run(SOURCE_ROWS)
    world.source.run("GRANT pg_read_all_stats TO reader")
    return world


def _connect(url: str) -> Connection:
    parts = urlsplit(url)
    return Connection(
        unquote(parts.username or ""),
        host=parts.hostname,
        port=parts.port,
        database=unquote(parts.path[1:]),
        password=unquote(parts.password or ""),
    )
