import re
import socket
from threading import Thread

import pytest
from pg8000.exceptions import DatabaseError as ServerError
from pg8000.exceptions import InterfaceError

from retail_etl.errors import ConfigurationError, DatabaseError
from retail_etl.postgres import Database, names, quoted
from retail_etl.source_sql import without_limits

SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def test_a_url_is_read_whole_and_its_password_is_not_shown() -> None:
    database = Database.from_url("source", "postgresql://me:p%40ss@db.example:6000/totesys")
    assert (database.host, database.port, database.database, database.user) == ("db.example", 6000, "totesys", "me")
    assert database.password == "p@ss"
    assert "p@ss" not in repr(database)
    assert "p@ss" not in str(database)
    assert "p@ss" not in database.jdbc_url
    assert Database.from_url("source", database.url) == database


def test_another_machine_is_reached_over_tls_unless_the_url_says_otherwise() -> None:
    assert Database.from_url("source", "postgresql://me:x@db.example/t").ssl_mode == "require"
    assert Database.from_url("source", "postgresql://me:x@127.0.0.1/t").ssl_mode == "disable"
    assert Database.from_url("source", "postgresql://me:x@db.example/t?sslmode=verify-full").ssl_mode == "verify-full"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:x@host/t", "postgresql://"),
        ("postgresql://host/t", "user"),
        ("postgresql://me:x@host", "database"),
        ("postgresql://me:x@host:port/t", "cannot be read"),
        ("postgresql://me:x@host/t?sslmode=maybe", "sslmode=maybe"),
    ],
)
def test_a_url_that_does_not_fit_is_named(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Database.from_url("source", url)


def test_a_password_that_breaks_the_url_is_not_told() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Database.from_url("source", "postgresql://me:hush/hush@host/t")
    assert "hush" not in f"{refused.value}"
    assert refused.value.__suppress_context__  # a traceback would tell it


def test_a_secret_without_a_key_names_it() -> None:
    secret = {"host": "h", "port": "5432", "user": "u", "password": "p", "database": "d"}
    assert Database.from_secret("warehouse", secret).port == 5432
    with pytest.raises(ConfigurationError, match="password"):
        Database.from_secret("warehouse", secret | {"password": ""})


@pytest.mark.parametrize(("mode", "asks"), [("disable", False), ("require", True), ("verify-full", True)])
def test_tls_is_asked_for_where_it_is_wanted_and_nowhere_else(mode: str, asks: bool) -> None:
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                said.append(connection.recv(8))

        listening = Thread(target=listen)
        listening.start()
        url = f"postgresql://me:x@127.0.0.1:{server.getsockname()[1]}/t?sslmode={mode}"
        with pytest.raises(DatabaseError, match="Cannot reach"):
            Database.from_url("source", url).connect()
        listening.join()
    assert (said[0] == SSL_REQUEST) is asks


def test_names_are_quoted() -> None:
    assert quoted("public", 'a"b') == '"public"."a""b"'
    assert names(["a", "b"], "t.") == 't."a", t."b"'


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InterfaceError("network error"), r"connection to the {} was lost \(network error\).* run again"),
        (ServerError({"C": "57P01", "M": "terminating connection"}), "{} refused: terminating .* run again"),
        (ServerError({"C": "57P03", "M": "starting up"}), "{} refused: starting up.* run again when it is up"),
        (ServerError({"C": "53100", "M": "could not extend file"}), "{} refused: could not .* run again"),
    ],
)
def test_an_error_that_passes_names_the_database_and_says_to_run_again(error: Exception, says: str) -> None:
    database = Database.from_url("warehouse", "postgresql://me:x@127.0.0.1:5432/star")
    name = "warehouse 'star' at 127.0.0.1:5432 as user 'me'"
    assert re.search(says.format(name), str(database.explain(error)))


def test_a_limit_is_lifted_only_where_the_server_knows_it() -> None:
    older = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0"
    assert [without_limits(version) for version in (130000, 160011)] == [older, older]
    assert without_limits(170000) == f"{older}; SET LOCAL transaction_timeout = 0"
