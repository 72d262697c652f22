"""The first load puts foreign keys and indexes aside: what comes of that, and of what cuts it off."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from pg8000.native import Connection

from retail_etl import first_load
from retail_etl.data_files import Slice
from retail_etl.first_load import put_aside
from retail_etl.postgres import Database
from retail_etl.schema import StarTable
from retail_etl.warehouse import Warehouse, open_warehouse
from tests.integration.world import SOURCE_ROWS, World

SHAPE = """
SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
  FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'etl'::regnamespace)
 UNION ALL
SELECT indrelid::regclass::text, indexrelid::regclass::text, indisvalid AND indisready, pg_get_indexdef(indexrelid),
       NULL
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE relnamespace IN ('public'::regnamespace, 'etl'::regnamespace)
 UNION ALL
SELECT attrelid::regclass::text, attname, attnotnull, atttypid::regtype::text, NULL
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
 WHERE attnum > 0 AND relnamespace IN ('public'::regnamespace, 'etl'::regnamespace)
 UNION ALL
SELECT t.tgrelid::regclass::text, c.conname, t.tgenabled = 'O', t.tgtype || ' ' || t.tgfoid::regproc, NULL
  FROM pg_trigger t JOIN pg_constraint c ON c.oid = t.tgconstraint
 ORDER BY 1, 2, 4
"""
VERSIONS = "SELECT units_sold FROM fact_sales_order ORDER BY sales_record_id"


def _emptied(world: World) -> None:
    """The warehouse as it was before the first load, with its tables."""
    world.warehouse.run("DROP SCHEMA public, etl CASCADE")
    world.warehouse.run("CREATE SCHEMA public")
    with open_warehouse(world.databases["warehouse"], "no lake yet"):
        pass


def _shape(connection: Connection) -> list[Any]:
    """All constraints, indexes, columns and triggers of the warehouse, what is only staged left out."""
    return [row for row in connection.run(SHAPE) if not row[0].startswith("etl.staging_")]


def _holds_nothing(world: World) -> bool:
    found = world.warehouse.run(
        "SELECT EXISTS (SELECT FROM fact_payment) OR EXISTS (SELECT FROM dim_date) OR EXISTS (SELECT FROM etl.ledger)"
    )
    return found == [[False]]


@pytest.mark.integration
def test_a_first_load_leaves_all_constraints_as_the_model_makes_them(
    loaded: World, database: str, connect: Callable[[str], Connection]
) -> None:
    with open_warehouse(Database.from_url("warehouse", database), "this lake"):
        pass
    created = connect(database)
    assert _shape(loaded.warehouse) == _shape(created)
    assert sum("FOREIGN KEY" in definition for _, _, _, definition, _ in _shape(created)) == 24


@pytest.mark.integration
def test_what_somebody_made_of_the_tables_stays_or_comes_back_as_it_was(
    database: str, connect: Callable[[str], Connection]
) -> None:
    with open_warehouse(Database.from_url("warehouse", database), "this lake") as warehouse:
        warehouse._run("CREATE TABLE note (payment_record_id int REFERENCES fact_payment)")
        warehouse._run("CREATE VIEW kinds AS SELECT * FROM dim_transaction GROUP BY transaction_id")
        warehouse._run("COMMENT ON CONSTRAINT fact_payment_currency_id_fkey ON fact_payment IS 'mine'")
        warehouse._run("CREATE UNIQUE INDEX own ON fact_payment (payment_id) INCLUDE (paid) WHERE paid")
        warehouse._run("ALTER TABLE fact_payment ALTER CONSTRAINT fact_payment_payment_date_fkey DEFERRABLE")
        watching = connect(database)
        before = _shape(watching)
        with warehouse._transaction():
            aside = put_aside(warehouse._run) or {}
            there = [name for _, name, *_ in _shape(warehouse._connection)]
            for statement in chain.from_iterable(aside.values()):
                warehouse._run(statement)
        assert _shape(watching) == before
    assert not {"own", "fact_payment_versions", "fact_payment_payment_date_fkey", "fact_sales_order_pkey"} & set(there)
    assert {"fact_payment_pkey", "dim_transaction_pkey", "fact_payment_currency_id_fkey", "dim_date_pkey"} <= set(there)


@pytest.mark.integration
def test_a_warehouse_that_holds_a_row_is_left_as_it_is(database: str, connect: Callable[[str], Connection]) -> None:
    reading = connect(database)
    with open_warehouse(Database.from_url("warehouse", database), "this lake") as warehouse:
        warehouse._run("INSERT INTO dim_currency VALUES (1, 'GBP', 'Pound')")
        before = _shape(warehouse._connection)
        with warehouse._transaction():
            assert put_aside(warehouse._run) is None
            assert _shape(warehouse._connection) == before
            assert reading.run("SELECT count(*) FROM fact_payment") == [[0]]  # and nobody waits


@pytest.mark.integration
@pytest.mark.slow
def test_a_first_load_that_comes_to_nothing_leaves_an_empty_warehouse_and_is_done_by_the_next(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    assert loaded.run().error is None
    _emptied(loaded)
    before = _shape(loaded.warehouse)
    stage, take_over_all = Warehouse.stage, Warehouse._take_over_all

    def without_staff(self: Warehouse, table: StarTable, rows: Slice) -> int:
        return stage(self, table, replace(rows, parts=()) if table.name == "dim_staff" else rows)

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "stage", without_staff)
        refused = loaded.run_job("load").error or ""
    assert 'violates foreign key constraint "fact_sales_order_sales_staff_id_fkey"' in refused
    assert "Key (sales_staff_id)=(5)" in refused
    assert _holds_nothing(loaded)
    assert _shape(loaded.warehouse) == before

    def and_lose(self: Warehouse, *arguments: Any) -> dict[str, int]:
        written = take_over_all(self, *arguments)
        self._run("SELECT pg_terminate_backend(pg_backend_pid())")
        return written

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "_take_over_all", and_lose)
        assert "run again" in (loaded.run_job("load").error or "")
    assert _holds_nothing(loaded)
    assert _shape(loaded.warehouse) == before

    # What other connections stage while the transaction is open is seen, whatever somebody made the default.
    ((name,),) = loaded.warehouse.run("SELECT current_database()")
    loaded.warehouse.run(f"ALTER DATABASE {name} SET default_transaction_isolation TO 'repeatable read'")
    repaired = loaded.run_job("load")
    assert (repaired.error, repaired.status) == (None, "succeeded")
    assert loaded.warehouse.run(VERSIONS) == [[7], [8]]
    assert loaded.warehouse.run("SELECT batch_id FROM etl.ledger ORDER BY 1") == [[1], [2]]
    assert _shape(loaded.warehouse) == before


@pytest.mark.integration
def test_a_first_load_makes_nobody_wait_who_is_reading_already(loaded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _emptied(loaded)
    monkeypatch.setattr(first_load, "PATIENCE_SECONDS", 0)
    loaded.warehouse.run("COMMENT ON CONSTRAINT fact_payment_currency_id_fkey ON fact_payment IS 'mine'")
    before = _shape(loaded.warehouse)
    loaded.warehouse.run("BEGIN")
    assert loaded.warehouse.run(VERSIONS) == []  # from now on, the table cannot be had alone
    assert loaded.run_job("load").error is None
    loaded.warehouse.run("COMMIT")
    assert loaded.warehouse.run(VERSIONS) == [[7]]
    assert _shape(loaded.warehouse) == before

    _emptied(loaded)
    loaded.warehouse.run("COMMENT ON CONSTRAINT fact_payment_currency_id_fkey ON fact_payment IS 'mine'")
    assert loaded.run_job("load").error is None
    assert _shape(loaded.warehouse) == before


@pytest.mark.integration
@pytest.mark.slow
def test_what_a_later_batch_changed_before_the_load_arrives_once_and_as_it_is_now(world: World) -> None:
    for change in (SOURCE_ROWS, "UPDATE design SET design_name = 'Oak', last_updated = '2024-02-27 15:00'"):
        world.source.run(change)
        for job in ("extract", "quality_gate_raw", "transform", "quality_gate_star"):
            assert world.run_job(job).error is None
    assert world.run_job("load").error is None
    assert world.warehouse.run("SELECT design_id, design_name FROM dim_design") == [[9, "Oak"]]
