"""What the raw gate let through must be in the star, row by row and sum by sum, or the batch is rejected."""

from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import star
from tests.integration.world import SOURCE_ROWS, World

MORE = """
INSERT INTO sales_order SELECT 101, design_id, staff_id, counterparty_id, 5, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated FROM sales_order
"""


def _spoil(patch: pytest.MonkeyPatch, spoilt: Callable[[DataFrame], DataFrame]) -> None:
    honest = star.BUILDERS["fact_sales_order"]
    patch.setitem(star.BUILDERS, "fact_sales_order", lambda sales_order: spoilt(honest(sales_order)))


@pytest.mark.integration
@pytest.mark.slow
def test_a_transform_that_loses_or_changes_a_row_is_caught_by_rows_and_sums(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source.run(SOURCE_ROWS + MORE)
    with monkeypatch.context() as patch:
        _spoil(patch, lambda rows: rows.where("sales_order_id = 100"))
        lost = world.run().error or ""
    assert "fact_sales_order must show every row that was let through: 2 let through, 1 here" in lost
    assert "fact_sales_order.units_sold must add up to what was let through: 12 let through, 7 here" in lost

    with monkeypatch.context() as patch:
        _spoil(
            patch, lambda rows: rows.withColumn("unit_price", F.col("unit_price") + F.lit("0.01").cast("decimal(10,2)"))
        )
        changed = world.run().error or ""
    assert "unit_price must add up to what was let through: 722.78 let through, 722.8" in changed
    assert "units_sold" not in changed

    assert world.run().error is None
    # Read again in the overlap: one is as it was, one is new, and all of it is lost.
    world.source.run("UPDATE sales_order SET units_sold = 6 WHERE sales_order_id = 101")
    with monkeypatch.context() as patch:
        _spoil(patch, lambda rows: rows.limit(0))
        nothing = world.run().error or ""
    assert "fact_sales_order must show every row that was let through" in nothing
    assert "units_sold: 13 let through, 12 here" in nothing

    assert world.run().error is None
    assert world.warehouse.run("SELECT units_sold FROM fact_sales_order_current ORDER BY 1") == [[6], [7]]
