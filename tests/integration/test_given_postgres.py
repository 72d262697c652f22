"""The tests run on servers that are there already as they do on the embedded one."""

import pytest
from pg8000.native import Connection

from scripts.embedded_postgres import EmbeddedPostgres
from tests.integration.conftest import Connect
from tests.integration.given_postgres import GivenPostgres

pytestmark = pytest.mark.integration


def test_databases_are_made_on_their_servers(
    postgres: EmbeddedPostgres, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TEST_POSTGRES_URL", postgres.url("postgres"))
    given = GivenPostgres.from_environment()
    assert given is not None
    assert given.create_database("given d/b")
    assert not given.create_database("given d/b")
    connection: Connection = connect(given.url("given d/b"))
    assert connection.run("SELECT current_database()") == [["given d/b"]]
    connection.close()

    monkeypatch.setenv("TEST_WAREHOUSE_POSTGRES_URL", "postgresql://w:1@elsewhere:6000/postgres?sslmode=require")
    given = GivenPostgres.from_environment()
    assert given is not None
    assert given.url("test_1_warehouse") == "postgresql://w:1@elsewhere:6000/test_1_warehouse?sslmode=require"
    assert given.url("test_1", "re@der", "p w").startswith("postgresql://re%40der:p%20w@127.0.0.1:")


def test_without_a_name_in_the_environment_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    assert GivenPostgres.from_environment() is None
