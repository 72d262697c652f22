"""The embedded server, as `up` and `down` use it: each test that needs its own has one under tmp_path."""

import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pg8000.native import Connection, DatabaseError

from scripts.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError

Connect = Callable[[str], Connection]
NO_FSYNC = {"fsync": "off"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, not started, in a folder that only its owner may enter."""
    parent = tmp_path / "private"
    parent.mkdir(mode=0o700)
    server = EmbeddedPostgres(parent / "server", settings=NO_FSYNC)
    yield server
    server.stop()


def value(connect: Connect, url: str, statement: str) -> object:
    connection = connect(url)
    try:
        return connection.run(statement)[0][0]
    finally:
        connection.close()


def test_a_restart_keeps_data_port_and_password(own: EmbeddedPostgres, connect: Connect) -> None:
    own.start()
    url = own.url("postgres")
    value(connect, url, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    own.stop()
    own.start()

    assert own.url("postgres") == url
    assert value(connect, url, "SELECT answer FROM kept") == 42


def test_a_second_start_and_a_second_stop_do_nothing(own: EmbeddedPostgres, connect: Connect) -> None:
    own.stop()
    assert not own.is_running()
    own.start()
    started = value(connect, own.url("postgres"), "SELECT pg_postmaster_start_time()")
    own.start()
    assert own.is_running()
    assert value(connect, own.url("postgres"), "SELECT pg_postmaster_start_time()") == started
    own.stop()
    own.stop()
    assert not own.is_running()


def test_another_object_finds_the_server_that_runs_in_the_folder(own: EmbeddedPostgres, tmp_path: Path) -> None:
    own.start()
    other = EmbeddedPostgres(tmp_path / "private" / "server", settings=NO_FSYNC)

    assert other.is_running()
    assert other.url("postgres") == own.url("postgres")
    other.stop()
    assert not own.is_running()


def test_a_port_that_somebody_took_meanwhile_is_given_up(own: EmbeddedPostgres, connect: Connect) -> None:
    own.start()
    own.stop()
    port = urlsplit(own.url("postgres")).port
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        own.start()

    assert urlsplit(own.url("postgres")).port != port
    assert value(connect, own.url("postgres"), "SELECT 1") == 1


def test_a_setting_that_is_wrong_is_told_with_the_log(own: EmbeddedPostgres, tmp_path: Path) -> None:
    own.start()
    own.stop()
    wrong = EmbeddedPostgres(tmp_path / "private" / "server", settings={"shared_buffers": "a lot"})

    with pytest.raises(EmbeddedPostgresError, match=r"(?s)pg_ctl start failed.*shared_buffers.*a lot"):
        wrong.start()


def test_a_server_that_was_never_started_has_no_url(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="never started"):
        EmbeddedPostgres(tmp_path / "nothing").url("postgres")
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_the_wheel_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PostgreSQL 9 is not in the wheel: it brings 16 and 18"):
        EmbeddedPostgres(tmp_path, postgres_version=9)


def test_the_wheels_other_version_runs_as_well(tmp_path: Path, connect: Connect) -> None:
    with EmbeddedPostgres(tmp_path / "sixteen", settings=NO_FSYNC, postgres_version=16) as server:
        assert str(value(connect, server.url("postgres"), "SHOW server_version")).startswith("16.")
    assert not server.is_running()


def test_the_server_leaves_nothing_outside_its_folder(own: EmbeddedPostgres, tmp_path: Path, connect: Connect) -> None:
    own.start()

    assert [path.name for path in (tmp_path / "private").iterdir()] == ["server"]
    assert value(connect, own.url("postgres"), "SHOW unix_socket_directories") == ""
    assert value(connect, own.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"


def test_only_who_has_the_password_comes_in(own: EmbeddedPostgres, tmp_path: Path, connect: Connect) -> None:
    own.start()
    password = tmp_path / "private" / "server" / "password"

    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    with pytest.raises(DatabaseError, match="28P01"):
        connect(own.url("postgres", user="postgres", password="guessed"))


@pytest.mark.parametrize("name", ["plain", "With Space", 'quote"d', "per%cent/slash", "naïve"])
def test_a_database_is_created_once_whatever_its_name(postgres: EmbeddedPostgres, connect: Connect, name: str) -> None:
    assert postgres.create_database(name)
    assert not postgres.create_database(name)
    assert value(connect, postgres.url(name), "SELECT current_database()") == name


def test_a_url_carries_any_user_and_password(postgres: EmbeddedPostgres) -> None:
    url = postgres.url("shop", user="re@der", password="p:a/s?s #1%")

    assert url.startswith("postgresql://re%40der:p%3Aa%2Fs%3Fs%20%231%25@127.0.0.1:")
    assert url.endswith("/shop")
    assert "//re%40der@" in postgres.url("shop", user="re@der")


def test_the_database_is_utf8_in_utc_and_ready_for_prepared_transactions(database: str, connect: Connect) -> None:
    shown = [value(connect, database, f"SHOW {name}") for name in ("server_encoding", "timezone", "fsync")]

    assert shown == ["UTF8", "UTC", "off"]
    assert value(connect, database, "SHOW max_prepared_transactions") == "10"
    assert value(connect, database, "SHOW max_connections") == "100"
