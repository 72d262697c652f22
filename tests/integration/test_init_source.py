"""`etl.py init` on a database of somebody's own: what it says, and that it leaves the source as it was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pg8000.native import Connection
from typer.testing import CliRunner

from retail_etl import model
from retail_etl.postgres import Database
from retail_etl.source import open_snapshot
from scripts import etl
from scripts.source_facts import read_facts
from scripts.source_findings import FIRST_RUN_SECONDS, Finding, findings, first_run_seconds
from tests.integration.world import SOURCE_ROWS, World

MANY = """
INSERT INTO payment_type SELECT 2, 'x', now(), now();
INSERT INTO transaction (transaction_id, transaction_type, sales_order_id)
  SELECT 1000 + n, 'SALE', 100 FROM generate_series(1, 120000) n;
ANALYZE transaction;
"""


def _said(world: World, level: str = "") -> dict[str, Finding]:
    said = findings(read_facts(world.databases["source"]))
    return {finding.about: finding for finding in said if level in ("", finding.level)}


def _statements(world: World, level: str) -> list[str]:
    return [line for finding in _said(world, level).values() for line in finding.statements]


@contextmanager
def _untouched(source: Connection) -> Iterator[None]:
    """Fails where a row, a definition or a right is another one after the block."""

    def state() -> list[object]:
        catalogs = ("pg_class", "pg_attribute", "pg_index", "pg_authid", "pg_db_role_setting", "pg_proc")
        everything = [*model.SOURCE, *catalogs]
        # Estimates in pg_class may be renewed by autovacuum at any time.
        row = "(t.oid, t.relname, t.relkind, t.relacl)"
        return [
            source.run(f"SELECT count(*), md5(string_agg(h, '' ORDER BY h)) FROM (SELECT "
                       f"{row if name == 'pg_class' else 't'}::text AS h FROM {name} AS t) x")
            for name in everything
        ]  # fmt: skip

    before = state()
    yield
    assert state() == before


@pytest.mark.integration
def test_a_role_that_may_only_select_is_told_that_it_is_ready_and_nothing_is_written(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run("REVOKE pg_read_all_stats FROM reader")  # as the server's other tests may have left it
    world.source.run("ALTER ROLE reader SET default_transaction_read_only = on")
    try:
        with _untouched(world.source):
            done = CliRunner().invoke(etl.app, ["init", "--source", world.databases["source"].url, "--json"])
            shown = CliRunner().invoke(etl.app, ["init"], env={"SOURCE_URL": world.databases["source"].url})
    finally:
        world.source.run("ALTER ROLE reader RESET default_transaction_read_only")
    assert (done.exit_code, shown.exit_code) == (0, 0)
    body = json.loads(done.stdout)
    assert body["ready"] is True
    assert [table["table"] for table in body["tables"]] == list(model.SOURCE)
    assert body["estimated_bytes"] > 0
    assert body["estimated_first_run_seconds"] == pytest.approx(FIRST_RUN_SECONDS, abs=2)
    assert "only reads" not in done.stdout + shown.stdout
    assert "Ready." in shown.stdout
    assert 'GRANT pg_read_all_stats TO "reader";' in shown.stdout


@pytest.mark.integration
def test_all_that_must_be_done_first_is_said_at_once_and_what_it_says_mends_it(world: World) -> None:
    world.source.run("REVOKE SELECT ON payment, staff FROM reader; REVOKE USAGE ON SCHEMA public FROM reader, PUBLIC")
    world.source.run("ALTER TABLE staff DROP COLUMN email_address; DROP TABLE payment_type CASCADE")
    world.source.run("ALTER TABLE address ENABLE ROW LEVEL SECURITY")
    done = CliRunner().invoke(etl.app, ["init", "--source", world.databases["source"].url, "--json"])
    assert done.exit_code == 3
    musts = [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "must"]
    assert [line for finding in musts for line in finding["statements"]] == [
        'GRANT USAGE ON SCHEMA public TO "reader";',
        'GRANT SELECT ON "public"."staff", "public"."payment" TO "reader";',
        'ALTER ROLE "reader" BYPASSRLS;',
    ]
    assert [(finding["about"], finding["do"]) for finding in musts if not finding["statements"]] == [
        ("staff", "Restore it, or change model.py."),
        ("payment_type", "Create or rename it back, or change model.py."),
    ]
    world.source.run("CREATE TABLE payment_type (payment_type_id int, payment_type_name text,"
                     " created_at timestamp, last_updated timestamp); ALTER TABLE staff ADD email_address text;"
                     "GRANT SELECT ON payment_type TO reader")  # fmt: skip
    try:
        for statement in _statements(world, "must"):
            world.source.run(statement)
        assert _said(world, "must") == {}
        assert "ADD PRIMARY KEY" in _said(world, "should")["payment_type"].statements[0]
    finally:
        world.source.run("ALTER ROLE reader NOBYPASSRLS")


@pytest.mark.integration
def test_a_large_table_without_an_index_on_its_stamps_gets_the_statement_that_makes_one(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run("ALTER TABLE transaction DISABLE TRIGGER ALL")
    for statement in MANY.strip().split(";\n"):
        world.source.run(statement)
    assert "transaction" not in _said(world, "should")
    world.source.run("DROP INDEX transaction_last_updated_idx; DROP INDEX payment_last_updated_idx")
    said = _said(world, "should")
    assert "payment" not in said  # one row needs no index
    (statement,) = said["transaction"].statements
    assert statement == (
        'CREATE INDEX CONCURRENTLY "transaction_last_updated_idx" ON "public"."transaction" ("last_updated");'
    )
    world.source.run(statement)
    assert "transaction" not in _said(world, "should")
    world.source.run(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'transaction_last_updated_idx'::regclass"
    )
    first, second = _said(world, "should")["transaction"].statements
    assert first.startswith('DROP INDEX CONCURRENTLY "public"."transaction_last_updated_idx";')
    world.source.run(first)
    world.source.run(second)
    facts = read_facts(world.databases["source"])
    assert facts.tables["transaction"].rows == pytest.approx(120_001, rel=0.05)
    assert first_run_seconds(facts) > FIRST_RUN_SECONDS + 1


@pytest.mark.integration
def test_a_snapshot_and_those_who_adopt_it_outlast_the_limits_of_the_role(world: World) -> None:
    limits = "'transaction_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'"
    known = f"SELECT name FROM pg_settings WHERE name IN ({limits})"  # the first one from PostgreSQL 17 on
    for (limit,) in world.source.run(known):
        world.source.run(f"ALTER ROLE reader SET {limit} = '1s'")
    try:
        with open_snapshot(world.databases["source"]) as snapshot:
            # Meanwhile the snapshot's own connection is idle in its transaction.
            slow = f"SELECT pg_sleep(1.5)::text, array_agg(DISTINCT setting) FROM pg_settings WHERE name IN ({limits})"
            assert snapshot.query(slow) == [["", ["0"]]]
            assert snapshot.found(model.SOURCE).keys() == model.SOURCE.keys()
        assert _said(world, "must") == {}
    finally:
        world.source.run("ALTER ROLE reader RESET ALL")


@pytest.mark.integration
def test_what_keeps_a_run_from_reading_or_blinds_the_fences_is_told_with_its_cure(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run("UPDATE payment SET last_updated = now() + interval '9 hours'")
    world.source.run("ALTER TABLE sales_order ALTER last_updated DROP NOT NULL")
    world.source.run("UPDATE sales_order SET last_updated = NULL")
    world.source.run("ALTER ROLE reader CONNECTION LIMIT 4")
    try:
        said = _said(world)
        assert "9.0 hours ahead" in said["payment"].found
        assert "without last_updated" in said["sales_order"].found
        statements = _statements(world, "should")
        assert 'ALTER ROLE "reader" CONNECTION LIMIT 10;' in statements
        for statement in statements:
            world.source.run(statement.replace("Area/City", "Etc/GMT-9"))  # nine hours ahead
        assert _said(world, "should") == {}
        assert "Etc/GMT-9" in _said(world)["time zone"].found
    finally:
        world.source.run("ALTER ROLE reader RESET ALL; ALTER ROLE reader CONNECTION LIMIT -1")
        world.source.run("REVOKE pg_read_all_stats FROM reader")


def test_who_names_no_database_or_one_that_does_not_answer_hears_what_to_do() -> None:
    nobody = CliRunner().invoke(etl.app, ["init"], env={"SOURCE_URL": ""})
    assert "Whose database?" in str(nobody.exception)
    unreached = CliRunner().invoke(etl.app, ["init", "--source", "postgresql://me:secret@127.0.0.1:1/x"])
    assert str(unreached.exception).startswith("Cannot reach the source 'x' at 127.0.0.1:1")
    assert Database.from_url("source", "postgresql://me@h/x").user == "me"
