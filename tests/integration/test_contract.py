"""What source or warehouse change about their columns: kept, read as it is, or refused before a row is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from retail_etl import model
from retail_etl.errors import ContractError, StateError
from retail_etl.raw import Manifest, RawZone
from retail_etl.source import open_snapshot
from retail_etl.warehouse import open_warehouse
from scripts.workflow import Run
from tests.integration.world import SOURCE_ROWS, World
from tests.raw_objects import read_lines

CHANGE = "UPDATE design SET design_name = design_name || '!'"
NEW = (
    "Column public.{}: the model does not know it. Nothing is lost, the raw zone keeps it. "
    "To have it in the star, add it to model.py."
)


def _extracted(run: Run) -> tuple[int | None, list[str]]:
    """The batch, where one was made, and what it warned of."""
    assert run.error is None
    return run.batch_id, run.warnings


def _manifest(world: World, batch_id: int) -> Manifest:
    return RawZone(world.lake).expect_manifest(batch_id, "extract")


def _lines(world: World, table: str, batch_id: int) -> list[dict[str, Any]]:
    folder = Path(world.lake) / "raw" / table / f"batch_id={batch_id}"
    return [json.loads(line) for part in sorted(folder.glob("part-*")) for line in read_lines(part)]


def _refusal(world: World) -> str:
    with open_snapshot(world.databases["source"]) as snapshot, pytest.raises(ContractError) as refused:
        snapshot.check_contract(model.SOURCE)
    return str(refused.value)


@pytest.fixture
def seeing(world: World) -> World:
    """A world with `SOURCE_ROWS` whose reader is warned of nothing."""
    world.source.run(SOURCE_ROWS)
    world.source.run("GRANT pg_read_all_stats TO reader")
    return world


# ---------------------------------------------------------------------------- columns that the model does not know


@pytest.mark.integration
def test_a_new_column_is_reported_once_by_the_batch_that_first_meets_it(seeing: World) -> None:
    assert _extracted(seeing.extract()) == (1, [])
    seeing.source.run("ALTER TABLE design ADD COLUMN colour varchar(9) DEFAULT 'red'")
    colour = NEW.format("design.colour (character varying(9))")
    assert _extracted(seeing.extract()) == (2, [colour])
    assert _manifest(seeing, 2)["warnings"] == [colour]
    assert _lines(seeing, "design", 2)[0]["colour"] == "red"
    assert _extracted(seeing.extract()) == (None, [])
    seeing.source.run(CHANGE)
    assert _extracted(seeing.extract()) == (3, [])
    assert _extracted(seeing.run_job("extract", accept_deletions="design")) == (4, [])  # which reads it anew

    seeing.source.run("ALTER TABLE design ADD COLUMN weight integer")
    assert _extracted(seeing.extract()) == (5, [NEW.format("design.weight (integer)")])
    seeing.source.run("ALTER TABLE design DROP COLUMN colour")
    assert _extracted(seeing.extract()) == (6, [])
    assert _manifest(seeing, 6)["tables"]["design"]["unknown_columns"] == ["weight"]


@pytest.mark.integration
def test_a_new_column_where_nothing_is_to_be_read_is_reported_by_the_next_batch_and_not_lost(seeing: World) -> None:
    assert _extracted(seeing.extract()) == (1, [])
    seeing.source.run("ALTER TABLE purchase_order ADD COLUMN channel text")  # the table is empty
    assert _extracted(seeing.extract()) == (None, [])
    seeing.source.run(CHANGE)
    assert _extracted(seeing.extract()) == (2, [NEW.format("purchase_order.channel (text)")])
    assert _manifest(seeing, 2)["tables"]["purchase_order"]["rows"] is None
    seeing.source.run(CHANGE)
    assert _extracted(seeing.extract()) == (3, [])


# ---------------------------------------------------------------------------- what the model cannot do without


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER TABLE staff DROP COLUMN email_address",
            "Column public.staff.email_address: expected character varying or text, but missing. "
            "Restore it, or change model.py.",
        ),
        (
            "ALTER TABLE staff RENAME COLUMN email_address TO email_addr; ALTER TABLE staff ADD email_addresses int",
            "Column public.staff.email_address: expected character varying or text, but missing (perhaps it was "
            "renamed to public.staff.email_addr). Restore it, or change model.py.",
        ),
        (
            "ALTER TABLE sales_order ALTER COLUMN units_sold TYPE text",
            "Column public.sales_order.units_sold: expected integer or bigint, found text. "
            "Change it back, or change its type in model.py.",
        ),
        (
            "ALTER TABLE sales_order ALTER COLUMN units_sold TYPE smallint",
            "Column public.sales_order.units_sold: expected integer or bigint, found smallint, which is narrower. "
            "Change it back, or change its type in model.py.",
        ),
        (
            "ALTER TABLE payment_type RENAME TO kind_of_payment;"
            "CREATE TABLE payment_types (payment_type_id text, payment_type_name text)",
            "Table public.payment_type: expected, but missing (perhaps it was renamed to public.kind_of_payment). "
            "Create or rename it back, or change model.py.",
        ),
        (
            "DROP TABLE payment",
            "Table public.payment: expected, but missing. Create or rename it back, or change model.py.",
        ),
        (
            "REVOKE SELECT ON payment FROM reader",
            'Table public.payment: no right to read it. GRANT SELECT ON public.payment TO "reader".',
        ),
    ],
)
def test_what_the_model_needs_and_the_source_does_not_have_is_named_with_its_cure(
    world: World, change: str, said: str
) -> None:
    world.source.run(change)
    refusal = _refusal(world)
    assert refusal.startswith("The source 'test_")
    assert refusal.endswith(f" is not as expected, and nothing was read. {said}")


@pytest.mark.integration
def test_of_tables_with_all_columns_the_one_with_the_most_similar_name_is_proposed(world: World) -> None:
    world.source.run("CREATE TABLE people AS SELECT * FROM staff; ALTER TABLE staff RENAME TO staff_members")
    assert "perhaps it was renamed to public.staff_members" in _refusal(world)


@pytest.mark.integration
def test_a_table_that_became_a_view_is_read_as_before(seeing: World) -> None:
    assert _extracted(seeing.extract()) == (1, [])
    seeing.source.run("ALTER TABLE staff RENAME TO people; CREATE VIEW staff AS SELECT * FROM people")
    seeing.source.run("GRANT SELECT ON staff TO reader")
    assert _extracted(seeing.extract()) == (None, [])
    seeing.source.run("UPDATE people SET first_name = 'Ada'")
    assert _extracted(seeing.extract()) == (2, [])
    assert [row["first_name"] for row in _lines(seeing, "staff", 2)] == ["Ada"]


# ---------------------------------------------------------------------------- wider, and narrower

WIDE = """
ALTER TABLE sales_order ALTER COLUMN units_sold TYPE bigint, ALTER COLUMN unit_price TYPE numeric(10,2);
ALTER TABLE address ALTER COLUMN city TYPE varchar(100), ALTER COLUMN phone TYPE text;
ALTER TABLE payment ALTER COLUMN payment_amount TYPE numeric(10,2);
"""


@pytest.mark.integration
def test_what_only_a_wider_type_holds_arrives_unharmed(seeing: World) -> None:
    seeing.source.run("ALTER TABLE address ALTER COLUMN city TYPE varchar(20)")
    seeing.source.run("ALTER TABLE sales_order ALTER COLUMN unit_price TYPE numeric(10,2)")
    assert _extracted(seeing.extract()) == (1, [])
    seeing.source.run("ALTER TABLE address ALTER COLUMN city TYPE varchar(5000)")
    seeing.source.run("ALTER TABLE sales_order ALTER COLUMN unit_price TYPE numeric(38,10)")
    seeing.source.run("ALTER TABLE sales_order ALTER COLUMN units_sold TYPE bigint")
    seeing.source.run("UPDATE address SET city = repeat('é', 5000)")
    seeing.source.run("UPDATE sales_order SET unit_price = 1234567890123456789012345678.0123456789")
    seeing.source.run("UPDATE sales_order SET units_sold = 9223372036854775807")
    assert _extracted(seeing.extract()) == (2, [])
    assert _lines(seeing, "address", 2)[0]["city"] == "é" * 5000
    (order,) = _lines(seeing, "sales_order", 2)
    assert (order["unit_price"], order["units_sold"]) == (
        "1234567890123456789012345678.0123456789",
        9223372036854775807,
    )
    declared = _manifest(seeing, 2)["tables"]["sales_order"]["declared"]
    assert (declared["unit_price"], declared["units_sold"]) == ("numeric(38,10)", "bigint")


@pytest.mark.integration
def test_columns_that_hold_less_than_they_did_are_refused_by_name_before_a_row_is_read(seeing: World) -> None:
    seeing.source.run(WIDE)
    assert _extracted(seeing.extract()) == (1, [])
    assert _manifest(seeing, 1)["tables"]["address"]["declared"]["city"] == "character varying(100)"
    seeing.source.run("ALTER TABLE address ALTER COLUMN city TYPE varchar(50), ALTER COLUMN phone TYPE varchar(30)")
    seeing.source.run("ALTER TABLE sales_order ALTER COLUMN units_sold TYPE integer")
    seeing.source.run("ALTER TABLE sales_order ALTER COLUMN unit_price TYPE numeric(8,2)")
    refused = seeing.run_job("extract", accept_contract="payment")
    for said in (
        "Column public.address.city: expected character varying(100) as the last extraction saw it, found "
        "character varying(50), which is narrower: values may have been cut. Change it back; or, where it is meant "
        "so, etl.py run --accept-contract address, which reads the table whole, for what was cut kept its last_updated",
        "Column public.address.phone: expected text as the last extraction saw it, found character varying(30)",
        "Column public.sales_order.units_sold: expected bigint as the last extraction saw it, found integer",
        "public.sales_order.unit_price: expected numeric(10,2) as the last extraction saw it, found numeric(8,2)",
    ):
        assert said in (refused.error or "")
    assert RawZone(seeing.lake).latest() == 1

    one_of_two = seeing.run_job("extract", accept_contract="address").error or ""
    assert "public.sales_order." in one_of_two
    assert "public.address." not in one_of_two
    assert _extracted(seeing.run_job("extract", accept_contract="address,sales_order")) == (2, [])
    assert _manifest(seeing, 2)["tables"]["address"]["declared"]["city"] == "character varying(50)"
    assert _extracted(seeing.extract()) == (None, [])
    assert "no such source table" in (seeing.run_job("extract", accept_contract="addresses").error or "")


@pytest.mark.integration
def test_what_a_narrower_type_cut_arrives_when_it_is_accepted_though_no_stamp_tells_of_it(seeing: World) -> None:
    seeing.source.run(WIDE)
    seeing.source.run(
        "INSERT INTO payment SELECT 71, transaction_id, counterparty_id, 5.25, currency_id, payment_type_id, paid,"
        " payment_date, company_ac_number, counterparty_ac_number, '2024-05-01', '2024-05-01' FROM payment"
    )
    assert seeing.run().error is None
    seeing.source.run("ALTER TABLE payment ALTER COLUMN payment_amount TYPE numeric(10,0)")
    assert "public.payment.payment_amount: expected numeric(10,2)" in (seeing.run().error or "")
    assert "--accept-contract payment" in (seeing.reconcile(heal=True).error or "")
    assert seeing.run(accept_contract="payment").error is None
    versions = "SELECT payment_id, payment_amount::text FROM fact_payment ORDER BY payment_id, payment_record_id"
    assert seeing.warehouse.run(versions) == [[70, "2529.73"], [70, "2530"], [71, "5.25"], [71, "5"]]
    assert seeing.reconcile(heal=False).differs is False


@pytest.mark.integration
def test_where_the_last_manifest_names_no_types_there_is_nothing_to_compare(seeing: World) -> None:
    seeing.source.run(WIDE)
    assert _extracted(seeing.extract()) == (1, [])
    written = Path(seeing.lake) / "batches" / "1" / "extract.json"
    body = json.loads(written.read_text())
    for entry in body["tables"].values():
        del entry["declared"]
    written.write_text(json.dumps(body))
    seeing.source.run("ALTER TABLE address ALTER COLUMN city TYPE varchar(50)")
    assert _extracted(seeing.extract()) == (None, [])


# ---------------------------------------------------------------------------- the warehouse's side


@pytest.mark.integration
def test_a_not_null_that_nobody_meets_is_refused_by_name_before_a_row_is_written(world: World) -> None:
    database = world.databases["warehouse"]
    with open_warehouse(database, "this lake"):
        pass
    world.warehouse.run("ALTER TABLE dim_location ALTER COLUMN address_line_2 SET NOT NULL")
    world.warehouse.run("ALTER TABLE dim_staff ADD COLUMN badge text NOT NULL")
    with pytest.raises(StateError) as refused, open_warehouse(database, "this lake"):
        pass
    for said in (
        "and nothing was changed: ",
        "public.dim_location.address_line_2: expected a column that takes NULL, found NOT NULL. "
        "ALTER TABLE public.dim_location ALTER COLUMN address_line_2 DROP NOT NULL.",
        "public.dim_staff.badge: unknown, and must not be NULL: nobody would fill it. Give it a default, or "
        "ALTER TABLE public.dim_staff ALTER COLUMN badge DROP NOT NULL.",
    ):
        assert said in str(refused.value)

    world.warehouse.run("ALTER TABLE dim_location ALTER COLUMN address_line_2 DROP NOT NULL")
    world.warehouse.run("ALTER TABLE dim_staff ALTER COLUMN badge SET DEFAULT 'none'")
    world.warehouse.run("ALTER TABLE dim_staff ADD COLUMN place bigint NOT NULL GENERATED ALWAYS AS IDENTITY")
    world.warehouse.run("ALTER TABLE fact_payment ADD COLUMN noted text")
    with open_warehouse(database, "this lake"):
        pass
