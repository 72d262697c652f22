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
from tests.integration.given_postgres import GivenPostgres
from tests.integration.world import SOURCE_ROWS, World

Connect = Callable[[str], Connection]


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres | GivenPostgres]:
    """The server that TEST_POSTGRES_URL names; else our own, without fsync, gone with its folder after the session."""
    if given := GivenPostgres.from_environment():
        yield given
        return
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
def world(database: str, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[World]:
    """A world whose source has its tables, and no row in them."""
    name = urlsplit(database).path[1:]
    made = _make_world(postgres, name, f"{name}_warehouse", tmp_path / "lake")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_world(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that the tests of a module only read."""
    name = f"test_{uuid4().hex}"
    postgres.create_database(name)
    made = _make_world(postgres, name, f"{name}_warehouse", tmp_path_factory.mktemp("shared") / "lake")
    yield made
    made.close()


@pytest.fixture(scope="session")
def first_run(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], World]]:
    """Makes a world in which `SOURCE_ROWS` have arrived. The run that brings them takes place once: databases and lake
    are put back, under the names and at the place that manifests and Iceberg's metadata know.
    """
    source, warehouse = f"first_{uuid4().hex}", f"first_{uuid4().hex}"
    lake = tmp_path_factory.mktemp("first") / "lake"
    kept = lake.with_name("kept")
    postgres.create_database(source)
    done = _make_world(postgres, source, warehouse, lake)
    done.source.run(SOURCE_ROWS)
    ran = done.run()
    assert (ran.status, ran.batch_id, ran.error) == ("succeeded", 1, None)
    done.close()
    lake.rename(kept)
    administrator = _connect(postgres.url("postgres"))
    for name in (source, warehouse):
        administrator.run(f"ALTER DATABASE {name} RENAME TO {name}_kept")

    def put_back() -> World:
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(kept, lake)
        for name in (source, warehouse):
            administrator.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            administrator.run(f"CREATE DATABASE {name} TEMPLATE {name}_kept")
        administrator.run(f"GRANT CONNECT ON DATABASE {source} TO reader")
        return _open_world(postgres, source, warehouse, lake)

    yield put_back
    for name in (source, warehouse):
        administrator.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        administrator.run(f"DROP DATABASE {name}_kept")
    administrator.close()


@pytest.fixture
def loaded(first_run: Callable[[], World]) -> Iterator[World]:
    """A world in which `SOURCE_ROWS` have arrived, and nothing has happened since."""
    made = first_run()
    yield made
    made.close()


def _make_world(postgres: EmbeddedPostgres, source: str, warehouse: str, lake: Path) -> World:
    postgres.create_database(warehouse)
    owner = _connect(postgres.url(source))
    demo_data.create_schema(owner)
    demo_data.create_reader(owner, "reader", "only reads", source)
    owner.close()
    return _open_world(postgres, source, warehouse, lake)


def _open_world(postgres: EmbeddedPostgres, source: str, warehouse: str, lake: Path) -> World:
    reader = postgres.url(source, "reader", "only reads")
    return World(postgres.url(source), reader, postgres.url(warehouse), lake)


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
