"""The process is killed at every boundary of a run, one after another, while the source goes on changing."""

import os

import pytest

from retail_etl import model, spark
from retail_etl.lake import MAIN, Lake
from tests.faults.crash_run import POINTS
from tests.faults.killed import killed_run
from tests.integration.world import World

UNSEEN = ("one table is in the raw zone", "all tables are in the raw zone")
# Each kill costs a start of Python and of a JVM: `make crashes` does all of them.
EVERYWHERE = os.environ.get("CRASH_POINTS") == "all"
CHOSEN = ("one table is published",)

CHANGE = """
UPDATE sales_order SET units_sold = {round}, last_updated = '2024-02-27 15:00:{round:02d}' WHERE sales_order_id = 100;
UPDATE design SET design_name = 'Design {round}';
INSERT INTO payment SELECT {round}, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid,
    payment_date, company_ac_number, counterparty_ac_number, created_at, '2024-02-27 15:00:{round:02d}'
  FROM payment WHERE payment_id = 70;
"""


@pytest.mark.integration
@pytest.mark.slow
def test_a_kill_at_any_boundary_loses_nothing_and_doubles_nothing(loaded: World) -> None:
    points = list(POINTS) if EVERYWHERE else [point for point in POINTS if point in CHOSEN]
    for number, point in enumerate(points, start=1):
        for statement in CHANGE.format(round=number).split(";")[:3]:
            loaded.source.run(statement)
        killed_run(loaded, point)
    repaired = loaded.run()
    assert repaired.error is None

    # What a round read that died before its manifest did not happen, and was overwritten since.
    versions = [[7], *([number] for number, point in enumerate(points, start=1) if point not in UNSEEN)]
    of_order = "SELECT units_sold FROM fact_sales_order WHERE sales_order_id = 100 ORDER BY "
    assert loaded.warehouse.run(of_order + "sales_record_id") == versions
    assert loaded.in_lake(of_order + "batch_id") == [tuple(version) for version in versions]
    payments = "SELECT payment_id, count(*) FROM fact_payment GROUP BY 1 ORDER BY 1"
    once = [[key, 1] for key in (*range(1, len(points) + 1), 70)]
    assert loaded.warehouse.run(payments) == once
    assert loaded.in_lake(payments) == [tuple(row) for row in once]
    assert loaded.in_lake("SELECT design_name FROM dim_design") == [(f"Design {len(points)}",)]

    lake = Lake(spark.session(loaded.lake))
    assert {name for table in model.STAR.values() for name in lake.heads(table)} == {MAIN}
    compared = loaded.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)
    assert loaded.run().status == "nothing_changed"
