"""What was emptied comes back with the next run, or the next run says what is missing."""

import shutil
from pathlib import Path

import pytest

from retail_etl import lease
from retail_etl.errors import StateError
from scripts.emptying import Lake, Raw, Warehouse
from tests.integration.world import SOURCE_ROWS, World

pytestmark = pytest.mark.integration

VERSIONS = "SELECT sales_order_id, units_sold, last_updated_date FROM fact_sales_order ORDER BY units_sold"


def units_sold(world: World) -> tuple[list[int], list[int]]:
    """Of each version, in the lake and in the warehouse."""
    return [row[1] for row in world.in_lake(VERSIONS)], [row[1] for row in world.warehouse.run(VERSIONS)]


@pytest.mark.slow
@pytest.mark.long
def test_what_was_emptied_comes_back_and_a_new_lake_is_refused_by_a_warehouse_of_the_old_one(world: World):
    lake, warehouse = Lake(world.lake), Warehouse(world.databases["warehouse"])
    raw = Raw(world.lake, lake)
    world.source.run(SOURCE_ROWS)
    assert world.run().error is None
    with pytest.raises(StateError, match="make empty-transformed"):
        raw.empty()

    lake.empty()
    assert not lake.is_filled()
    assert world.run().status == "succeeded"  # nothing is new in the source
    world.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-28 09:00'")
    assert world.run().error is None
    assert units_sold(world) == ([7, 8], [7, 8])

    warehouse.empty()
    assert units_sold(world) == ([7, 8], [])
    assert world.run_job("load").error is None
    assert units_sold(world) == ([7, 8], [7, 8])

    lake.empty()
    raw.empty()
    assert raw.describe().endswith("0 objects, 0 bytes")
    refused = world.run()
    assert "loaded from another lake" in (refused.error or "")
    assert units_sold(world) == ([8], [7, 8])
    warehouse.empty()
    assert world.run_job("load").error is None
    assert units_sold(world) == ([8], [8])


def test_nothing_is_emptied_under_a_run(world: World):
    with lease.hold(world.lake, "a run"), pytest.raises(StateError, match="a run"):
        Lake(world.lake).empty()


def test_tables_that_are_gone_are_no_empty_lake(loaded: World):
    shutil.rmtree(Path(loaded.lake) / "star")
    loaded.source.run("UPDATE design SET design_name = 'Brass'")
    refused = loaded.run()
    assert "star has no table" in (refused.error or "")
    assert loaded.rebuild_lake().error is None
    assert loaded.run().error is None
    assert loaded.in_lake("SELECT design_name FROM dim_design") == [("Brass",)]
    assert units_sold(loaded) == ([7], [7])
