"""What was emptied comes back with the next run, or the next run says what is missing."""

import pytest

from retail_etl.errors import StateError
from scripts.emptying import Lake, Raw, Warehouse
from tests.integration.world import SOURCE_ROWS, World

pytestmark = pytest.mark.integration

VERSIONS = (
    "SELECT sales_order_id, units_sold, last_updated_date, last_updated_time FROM fact_sales_order ORDER BY 1, 3, 4"
)


def places(world: World) -> tuple[Raw, Lake, Warehouse]:
    lake = Lake(world.lake)
    return Raw(world.lake, lake), lake, Warehouse(world.databases["warehouse"])


@pytest.mark.slow
def test_lake_and_warehouse_come_back_as_they_were(world: World):
    _, lake, warehouse = places(world)
    world.source.run(SOURCE_ROWS)
    assert world.run().status == "succeeded"
    world.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-28 09:00'")
    assert world.run().status == "succeeded"
    in_lake, in_warehouse = world.in_lake(VERSIONS), world.warehouse.run(VERSIONS)
    assert len(in_lake) == len(in_warehouse) == 2

    assert "rows in 13 tables" in warehouse.describe()
    warehouse.empty()
    assert set(warehouse.rows().values()) == {0}
    assert world.run().status == "succeeded"  # nothing is new in the source
    assert world.warehouse.run(VERSIONS) == in_warehouse

    lake.empty()
    assert not lake.is_filled()
    world.source.run("UPDATE sales_order SET units_sold = 9, last_updated = '2024-02-28 10:00'")
    assert world.run().status == "succeeded"
    assert world.in_lake(VERSIONS)[:2] == in_lake
    assert len(world.in_lake(VERSIONS)) == 3
    assert world.warehouse.run(VERSIONS) == [list(row) for row in world.in_lake(VERSIONS)]


@pytest.mark.slow
def test_the_raw_zone_goes_last_and_a_warehouse_of_the_old_lake_refuses_the_new_one(world: World):
    raw, lake, warehouse = places(world)
    world.source.run(SOURCE_ROWS)
    assert world.run().status == "succeeded"
    with pytest.raises(StateError, match="make empty-transformed"):
        raw.empty()

    lake.empty()
    raw.empty()
    assert raw.describe().endswith("0 objects, 0 bytes")
    refused = world.run()
    assert refused.status == "failed"
    assert "loaded from another lake" in (refused.error or "")

    warehouse.empty()
    assert world.run().status == "succeeded"
    assert world.warehouse.run(VERSIONS) == [list(row) for row in world.in_lake(VERSIONS)]
    assert len(world.in_lake(VERSIONS)) == 1


def test_nothing_is_emptied_under_a_run(world: World):
    from retail_etl import lease

    _, lake, _ = places(world)
    with lease.hold(world.lake, "a run"), pytest.raises(StateError, match="a run"):
        lake.empty()
