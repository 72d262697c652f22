"""What a large batch goes through, on few rows: JDBC, Spark's workers and joins, and copies of what the gate parsed."""

from pathlib import Path

import pytest

from retail_etl import lake_rows, model, raw, raw_gate, source_rows, spark, survey
from retail_etl.lake import Lake
from retail_etl.raw import RawZone
from tests.integration.world import SOURCE_ROWS, World

MORE = """
INSERT INTO sales_order SELECT 101, design_id, staff_id, counterparty_id, 5, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated FROM sales_order
"""
CHANGES = (
    "UPDATE design SET design_name = 'Stone'",
    "UPDATE address SET city = 'York', last_updated = now()",
    "UPDATE transaction SET transaction_type = 'PURCHASE', last_updated = '2024-02-27 15:00'",
    "UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00' WHERE sales_order_id = 100",
    "INSERT INTO transaction SELECT 41, 'SALE', 101, NULL, created_at, last_updated FROM transaction",
)


@pytest.fixture(autouse=True)
def _as_if_they_were_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_rows, "FEW", 0)
    monkeypatch.setattr(lake_rows, "_FEW_KEYS", 0)
    for module in (spark, survey, raw, raw_gate):
        monkeypatch.setattr(module, "MANY", -1)


def _copies(world: World) -> list[Path]:
    return sorted(Path(world.lake).glob("parsed/**/*.parquet"))


@pytest.mark.integration
@pytest.mark.slow
def test_many_rows_arrive_as_few_do(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run(MORE)
    assert world.run().error is None
    for change in CHANGES:
        world.source.run(change)
    assert world.run().error is None
    assert world.run().status == "nothing_changed"
    assert world.warehouse.run("SELECT design_name FROM dim_design") == [["Stone"]]
    assert world.warehouse.run("SELECT city FROM dim_location") == [["York"]]
    assert world.warehouse.run("SELECT transaction_id, transaction_type FROM dim_transaction ORDER BY 1") == [
        [40, "PURCHASE"],
        [41, "SALE"],
    ]
    # 101 is read again in the overlap, and is no new version.
    assert world.in_lake("SELECT sales_order_id, units_sold, batch_id FROM fact_sales_order ORDER BY 3, 1") == [
        (100, 7, 1),
        (101, 5, 1),
        (100, 8, 2),
    ]
    assert _copies(world) == []
    compared = world.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)


@pytest.mark.integration
@pytest.mark.slow
def test_the_transform_takes_what_the_gate_parsed_and_the_archive_where_that_is_gone(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run(MORE)
    zone = RawZone(world.lake)
    assert world.run_job("extract").error is None
    assert world.run_job("quality_gate_raw").error is None
    parsed = zone.expect_manifest(1, "quality_raw")["parsed"]
    assert parsed.keys() == {"sales_order", "transaction", "payment"}
    assert {Path(world.lake, name) for of_table in parsed.values() for name in of_table} == set(_copies(world))
    # Whoever reads the archive now fails: the object has the size that its manifest names, and nothing else.
    (archived,) = (Path(world.lake) / "raw" / "sales_order" / "batch_id=1").glob("part-*")
    kept = archived.read_bytes()
    archived.write_bytes(bytes(len(kept)))
    (gone,) = (path for path in _copies(world) if path.parent.name == "payment")
    gone.unlink()
    assert world.run_job("transform").error is None
    assert _copies(world) == []

    archived.write_bytes(kept)
    assert world.run().error is None
    assert world.warehouse.run("SELECT units_sold FROM fact_sales_order ORDER BY sales_order_id") == [[7], [5]]
    assert world.warehouse.run("SELECT payment_amount::text FROM fact_payment") == [["2529.73"]]


@pytest.mark.integration
@pytest.mark.slow
def test_of_rows_that_are_set_aside_a_copy_shows_none(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run(MORE)
    world.source.run("ALTER TABLE sales_order ALTER COLUMN units_sold TYPE bigint")
    world.source.run("UPDATE sales_order SET units_sold = 3000000000 WHERE sales_order_id = 101")
    assert world.run_job("extract").error is None
    assert world.run_job("quality_gate_raw").error is None
    assert "sales_order" in RawZone(world.lake).expect_manifest(1, "quality_raw")["parsed"]
    assert world.run().error is None
    assert world.warehouse.run("SELECT sales_order_id FROM fact_sales_order") == [[100]]
    assert world.in_lake("SELECT record_id FROM quarantine_current") == [(101,)]


@pytest.mark.integration
@pytest.mark.slow
def test_a_dimension_that_was_merged_is_compared_and_written_anew(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older versions left it, with marks of deleted rows; and with its columns in another order."""
    world, table = loaded, model.DIM_DESIGN
    session = spark.session(world.lake)
    session.sql(
        "MERGE INTO lake.star.dim_design t USING (SELECT 9 AS design_id) s ON t.design_id = s.design_id "
        "WHEN MATCHED THEN UPDATE SET design_name = 'Merged'"
    )
    session.sql("ALTER TABLE lake.star.dim_design ALTER COLUMN batch_id FIRST")
    lake = Lake(session)
    (part,) = (one for one in lake.parts(table, lake.heads(table)["main"], 1) if one.deletes)
    assert not part.has_all_rows
    for few, name in ((20_000, "Stone"), (0, "Glass")):
        monkeypatch.setattr(lake_rows, "_FEW_KEYS", few)
        world.source.run(f"UPDATE design SET design_name = '{name}'")
        world.source.run("UPDATE sales_order SET units_sold = units_sold + 1, last_updated = now()")
        assert world.run().error is None
        assert world.in_lake("SELECT design_name FROM dim_design") == [(name,)]
        assert world.warehouse.run("SELECT design_name FROM dim_design") == [[name]]
    assert world.in_lake("SELECT units_sold FROM fact_sales_order ORDER BY 1") == [(7,), (8,), (9,)]
