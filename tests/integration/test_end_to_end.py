"""The main job, from an operational PostgreSQL to lake and warehouse, on literal rows. The expected star is by hand."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pg8000.native import Connection

from retail_etl.postgres import Database
from scripts import demo_data
from scripts.embedded_postgres import EmbeddedPostgres
from tests.integration.world import NASTY, SOURCE_ROWS, World


@pytest.mark.integration
def test_two_runs_give_the_star_that_was_written_by_hand(loaded: World) -> None:
    world = loaded
    assert world.warehouse.run("SELECT first_name, department_name, location FROM dim_staff") == [[NASTY, "Sales", ""]]
    assert world.warehouse.run("SELECT currency_code, currency_name FROM dim_currency") == [["GBP", "Pound Sterling"]]
    order = world.warehouse.run(
        "SELECT sales_record_id, sales_order_id, created_date::text, created_time::text, last_updated_date::text,"
        " last_updated_time::text, sales_staff_id, counterparty_id, units_sold, unit_price, currency_id, design_id,"
        " agreed_payment_date::text, agreed_delivery_date::text, agreed_delivery_location_id FROM fact_sales_order"
    )
    moment = ["2024-02-27", "14:20:52.186"]
    assert order == [[1, 100, *moment, *moment, 5, 2, 7, Decimal("361.39"), 1, 9, "2024-02-28", "2024-03-01", 3]]
    assert world.warehouse.run("SELECT payment_amount::text, paid FROM fact_payment") == [["2529.73", False]]
    days = world.warehouse.run(
        "SELECT date_id::text, day_of_week, day_name, month_name, quarter FROM dim_date ORDER BY 1"
    )
    assert days == [
        ["2024-02-27", 2, "Tuesday", "February", 1],
        ["2024-02-28", 3, "Wednesday", "February", 1],
        ["2024-02-29", 4, "Thursday", "February", 1],
        ["2024-03-01", 5, "Friday", "March", 1],
    ]

    again = world.run()
    assert (again.status, again.batch_id) == ("nothing_changed", None)
    assert {stage.status for stage in again.stages} == {"nothing_to_do"}

    world.source.run("UPDATE department SET department_name = 'Trade'")  # last_updated stays as it was
    world.source.run("UPDATE address SET city = 'York', last_updated = now()")
    world.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00:00.5'")
    second = world.run()
    assert (second.status, second.batch_id, second.error) == ("succeeded", 2, None)
    assert world.warehouse.run("SELECT department_name FROM dim_staff") == [["Trade"]]
    assert world.warehouse.run("SELECT counterparty_legal_city FROM dim_counterparty") == [["York"]]
    assert world.warehouse.run("SELECT city FROM dim_location") == [["York"]]
    versions = world.warehouse.run(
        "SELECT units_sold, last_updated_time::text FROM fact_sales_order ORDER BY sales_record_id"
    )
    assert versions == [[7, "14:20:52.186"], [8, "15:00:00.5"]]
    assert world.warehouse.run("SELECT units_sold FROM fact_sales_order_current") == [[8]]
    assert world.warehouse.run("SELECT version, is_current FROM fact_sales_order_history ORDER BY 1") == [
        [1, False],
        [2, True],
    ]
    assert world.in_lake("SELECT units_sold, batch_id FROM fact_sales_order ORDER BY batch_id") == [(7, 1), (8, 2)]
    assert world.in_lake("SELECT first_name FROM dim_staff") == [(NASTY,)]
    assert world.in_lake("SELECT payment_id, batch_id FROM fact_payment") == [(70, 1)]


@pytest.mark.integration
@pytest.mark.long
def test_what_is_read_again_unchanged_adds_no_version(loaded: World) -> None:
    loaded.source.run(
        "INSERT INTO sales_order SELECT 101, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
        " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated"
        " FROM sales_order"
    )
    assert loaded.run().error is None
    loaded.source.run("UPDATE sales_order SET units_sold = 8 WHERE sales_order_id = 100")  # both are in the window
    second = loaded.run()
    assert (second.error, second.stages[1].rows) == (None, 2)
    versions = "SELECT sales_order_id, count(*) FROM fact_sales_order GROUP BY 1 ORDER BY 1"
    assert loaded.warehouse.run(versions) == [[100, 2], [101, 1]]
    assert loaded.in_lake(versions) == [(100, 2), (101, 1)]


@pytest.mark.integration
def test_too_many_bad_rows_reject_the_batch_and_the_next_run_repairs_all(loaded: World) -> None:
    loaded.source.run(
        "INSERT INTO sales_order SELECT n, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id, "
        "'2023-02-30', agreed_payment_date, agreed_delivery_location_id, created_at, last_updated "
        "FROM sales_order, generate_series(1, 11) n"
    )
    failed = loaded.run()
    assert [stage.status for stage in failed.stages] == ["succeeded", "succeeded", "failed", *["skipped"] * 3]
    assert "sales_order must not lose too many rows to quarantine: 11 of 12 would be set aside" in (failed.error or "")
    assert "sales_order.agreed_delivery_date" in (failed.error or "")
    assert "11 of 12 rows" in (failed.error or "")
    assert "sales_order_id 1, 2, 3, 4, 5" in (failed.error or "")
    assert loaded.in_lake("SELECT count(*) FROM quarantine") == [(0,)]

    loaded.source.run("DELETE FROM sales_order WHERE sales_order_id < 12")
    loaded.source.run("UPDATE sales_order SET agreed_payment_date = '2023-02-28'")  # last_updated stays as it was
    mended = loaded.run()
    assert (mended.status, mended.batch_id, mended.error) == ("succeeded", 3, None)
    versions = "SELECT agreed_payment_date::text FROM fact_sales_order ORDER BY sales_record_id"
    assert loaded.warehouse.run(versions) == [["2024-02-28"], ["2023-02-28"]]


@pytest.mark.integration
def test_a_changed_type_and_a_missing_table_are_named_before_anything_is_read(world: World) -> None:
    world.source.run("ALTER TABLE sales_order ALTER COLUMN units_sold TYPE text")
    world.source.run("ALTER TABLE payment RENAME TO payments")
    failed = world.run()
    assert failed.status == "failed"
    assert "public.sales_order.units_sold: expected integer or bigint, found text" in (failed.error or "")
    assert "public.payment: expected, but missing" in (failed.error or "")
    assert not (Path(world.lake) / "batches").exists()


@pytest.mark.integration
@pytest.mark.parametrize("says", ["Check user and password", "Cannot reach"])
def test_a_source_that_cannot_be_opened_is_one_sentence_with_its_cure(world: World, says: str) -> None:
    good = world.databases["source"]
    port, password = (1, good.password) if says == "Cannot reach" else (good.port, "wrong")
    world.databases["source"] = Database("source", good.host, port, good.database, good.user, password)
    failed = world.run()
    assert failed.status == "failed"
    assert says in (failed.error or "")


@pytest.mark.integration
def test_a_load_that_failed_is_made_up_for_by_the_next_run(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    good = world.databases["warehouse"]
    world.databases["warehouse"] = Database("warehouse", good.host, 1, good.database, good.user, good.password)
    assert [stage.status for stage in world.run().stages][-1] == "failed"
    world.databases["warehouse"] = good
    repaired = world.run()
    assert (repaired.status, repaired.batch_id) == ("succeeded", None)
    assert world.warehouse.run("SELECT count(*) FROM fact_payment") == [[1]]
    assert world.warehouse.run("SELECT batch_id FROM etl.ledger") == [[1]]


@pytest.mark.integration
@pytest.mark.long
def test_a_warehouse_that_somebody_else_made_is_used_as_it_is_or_refused_by_name(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.warehouse.run("CREATE TABLE dim_currency (currency_id int, currency_code varchar(3), noted text NOT NULL)")
    refused = world.run()
    assert refused.stages[-1].status == "failed"
    for difference in (
        "dim_currency.currency_code: expected character varying, found character varying(3).",
        "dim_currency.currency_name: expected character varying, but missing.",
        "dim_currency.noted: unknown, and must not be NULL",
        "dim_currency.currency_id: must be unique",
    ):
        assert difference in (refused.error or "")
    assert world.warehouse.run("SELECT to_regclass('fact_payment') IS NULL") == [[True]]

    world.warehouse.run("DROP TABLE dim_currency")
    world.warehouse.run(
        "CREATE TABLE dim_currency (currency_id bigint PRIMARY KEY, currency_code text, currency_name text NOT NULL,"
        " noted text DEFAULT 'by hand')"
    )
    assert world.run().error is None
    assert world.warehouse.run("SELECT * FROM dim_currency") == [[1, "GBP", "Pound Sterling", "by hand"]]


@pytest.mark.integration
@pytest.mark.long
def test_a_lake_is_fed_by_one_source_unless_somebody_says_that_it_moved(
    loaded: World, postgres: EmbeddedPostgres, connect: Callable[[str], Connection]
) -> None:
    postgres.create_database("moved")
    moved = connect(postgres.url("moved"))
    demo_data.create_schema(moved)
    demo_data.create_reader(moved, "reader", "only reads", "moved")
    moved.run(SOURCE_ROWS)
    loaded.databases["source"] = Database.from_url("source", postgres.url("moved", "reader", "only reads"))
    refused = loaded.run()
    assert "'moved' of system" in (refused.error or "")
    assert "--accept-source" in (refused.error or "")
    assert loaded.run(accept_source="true").error is None
    moved.close()
    loaded.source.run("DROP DATABASE moved WITH (FORCE)")


@pytest.mark.integration
@pytest.mark.long
def test_two_lakes_do_not_mix_in_one_warehouse(loaded: World) -> None:
    loaded.lake += " of somebody else"
    failed = loaded.run()
    assert failed.stages[-1].status == "failed"
    assert "was loaded from another lake" in (failed.error or "")
    assert loaded.warehouse.run("SELECT count(*) FROM fact_payment") == [[1]]
