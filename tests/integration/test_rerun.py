"""Doing a stage again, as after a crash before its manifest, changes nothing."""

from pathlib import Path

import pytest

from retail_etl import spark
from retail_etl.manifests import Manifests
from tests.integration.world import World


@pytest.mark.integration
@pytest.mark.parametrize(
    ("lost", "status"),
    [(("load",), "nothing_changed"), (("publish", "load"), "succeeded")],
    ids=["load", "publish"],
)
@pytest.mark.long
def test_stages_that_lost_their_manifest_are_done_again_and_nothing_is_twice(
    loaded: World, lost: tuple[str, ...], status: str
) -> None:
    loaded.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    assert loaded.run().error is None
    for name in lost:
        (Path(loaded.lake) / "batches" / "2" / f"{name}.json").unlink()
    again = loaded.run()
    assert (again.status, again.error, again.batch_id) == (status, None, None)
    versions = "SELECT units_sold FROM fact_sales_order ORDER BY units_sold"
    assert loaded.warehouse.run(versions) == [[7], [8]]
    assert loaded.in_lake(versions) == [(7,), (8,)]
    assert loaded.in_lake("SELECT count(*) FROM dim_date") == [(4,)]
    assert loaded.warehouse.run("SELECT batch_id FROM etl.ledger ORDER BY 1") == [[1], [2]]


@pytest.mark.integration
def test_a_warehouse_is_rebuilt_from_the_lake_as_it_was_and_readers_see_the_old_one_until_then(loaded: World) -> None:
    loaded.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    assert loaded.run().error is None
    facts = "SELECT * FROM fact_sales_order ORDER BY sales_record_id"
    before = loaded.warehouse.run(facts)
    assert [row[0] for row in before] == [1, 2]
    loaded.warehouse.run("UPDATE fact_sales_order SET units_sold = 99")
    loaded.warehouse.run("DELETE FROM fact_payment")
    loaded.warehouse.run("UPDATE etl.ledger SET lake_id = 'another lake'")
    assert "rebuild warehouse" in (loaded.rebuild(anew=False).error or "")
    assert loaded.rebuild(anew=True).error is None
    assert loaded.warehouse.run(facts) == before
    assert loaded.warehouse.run("SELECT count(*) FROM fact_payment") == [[1]]
    assert loaded.warehouse.run("SELECT batch_id FROM etl.ledger ORDER BY 1") == [[1], [2]]
    assert loaded.run().status == "nothing_changed"


@pytest.mark.integration
@pytest.mark.slow
def test_the_calendar_is_written_where_days_are_missing_and_not_else(loaded: World) -> None:
    def written_by_a_change(units: int) -> set[str]:
        loaded.source.run(f"UPDATE sales_order SET units_sold = {units}, last_updated = '2024-02-27 15:0{units}'")
        done = loaded.run()
        assert done.error is None
        return set(Manifests(loaded.lake).expect_manifest(done.batch_id or 0, "transform")["tables"])

    assert written_by_a_change(1) == {"fact_sales_order"}
    spark.session(loaded.lake).sql("DELETE FROM lake.star.dim_date WHERE date_id = DATE'2024-02-28'")
    assert written_by_a_change(2) == {"fact_sales_order", "dim_date"}
    assert loaded.in_lake("SELECT count(*) FROM dim_date") == [(4,)]
    loaded.source.run("UPDATE sales_order SET agreed_delivery_date = '2024-03-02'")
    assert written_by_a_change(3) == {"fact_sales_order", "dim_date"}
    assert loaded.warehouse.run("SELECT count(*), max(date_id)::text FROM dim_date") == [[5, "2024-03-02"]]
