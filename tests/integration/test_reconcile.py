"""Source, lake and warehouse are compared key range by key range, and what differs is healed as an ordinary batch."""

from decimal import Decimal

import pytest

from glue_jobs import reconcile
from retail_etl.errors import StateError
from retail_etl.raw import STAGES, RawZone
from retail_etl.runtime import Job
from scripts import demo_data
from tests.integration.world import SOURCE_ROWS, World

COPY = (
    "INSERT INTO sales_order SELECT {key}, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
    " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, {stamp}, {stamp} FROM sales_order LIMIT 1"
)
VERSIONS = "SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_order_id, {}"
CURRENT = "SELECT sales_order_id, units_sold FROM fact_sales_order_current ORDER BY 1"


def _certified(world: World) -> dict[str, bool]:
    certificate = RawZone(world.lake).last_certificate() or {"tables": {}}
    return {name: entry["agrees"] for name, entry in certificate["tables"].items()}


@pytest.mark.integration
def test_what_no_stamp_tells_of_is_found_and_healed_as_versions(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    for key in (101, 102, 103):
        world.source.run(COPY.format(key=key, stamp="TIMESTAMP '2024-02-01'"))
    assert world.run().error is None
    clean = world.reconcile(heal=False)
    assert (clean.error, clean.differs, clean.batch_id) == (None, False, None)
    assert len(_certified(world)) == 10
    assert all(_certified(world).values())

    world.source.run("UPDATE sales_order SET units_sold = 8 WHERE sales_order_id = 101")  # a silent edit
    world.source.run("DELETE FROM sales_order WHERE sales_order_id = 102")
    world.source.run(COPY.format(key=7, stamp="TIMESTAMP '2023-01-01'"))  # back-dated by a year
    assert world.run().status == "nothing_changed"
    reported = world.reconcile(heal=False)
    assert (reported.error, reported.differs, reported.batch_id) == (None, True, None)
    assert "fact_sales_order" in " ".join(reported.warnings)
    assert "sales_order_id 7" in " ".join(reported.warnings)
    assert not _certified(world)["fact_sales_order"]

    healed = world.reconcile(heal=True)
    assert (healed.error, healed.differs, healed.needs_attention) == (None, False, False)
    assert all(_certified(world).values())
    assert world.warehouse.run(CURRENT) == [[7, 7], [100, 7], [101, 8], [103, 7]]
    assert world.in_lake(CURRENT) == [(7, 7), (100, 7), (101, 8), (103, 7)]
    versions = [[7, 7], [100, 7], [101, 7], [101, 8], [102, 7], [103, 7]]
    assert world.warehouse.run(VERSIONS.format("sales_record_id")) == versions
    assert world.warehouse.run("SELECT sales_order_id FROM fact_sales_order_history WHERE deleted_at IS NOT NULL") == [
        [102]
    ]
    assert world.run().status == "nothing_changed"

    world.source.run("UPDATE sales_order SET units_sold = 7 WHERE sales_order_id = 101")  # A → B → A
    world.source.run(COPY.format(key=102, stamp="TIMESTAMP '2024-02-01'"))  # back, exactly as it was
    assert world.reconcile(heal=True).error is None
    assert world.warehouse.run(CURRENT) == [[7, 7], [100, 7], [101, 7], [102, 7], [103, 7]]
    assert world.in_lake(VERSIONS.format("batch_id")) == [tuple(v) for v in [*versions[:4], [101, 7], *versions[4:]]]


@pytest.mark.integration
@pytest.mark.long
def test_what_a_failed_run_left_waiting_is_compared_too(loaded: World) -> None:
    loaded.source.run(COPY.format(key=101, stamp="TIMESTAMP '2024-02-27 15:00'"))
    edit = "UPDATE sales_order SET units_sold = {}, last_updated = '{}' WHERE sales_order_id = 100"
    loaded.source.run(edit.format(8, "2024-02-27 16:00"))
    assert loaded.extract().error is None  # and no further
    loaded.source.run("DELETE FROM sales_order WHERE sales_order_id = 101")
    loaded.source.run(edit.format(7, "2024-02-27 14:20:52.186"))  # as the lake has it, and behind the fence
    assert loaded.reconcile(heal=True).error is None
    assert all(_certified(loaded).values())
    assert loaded.warehouse.run(CURRENT) == [[100, 7]]
    assert loaded.in_lake(CURRENT) == [(100, 7)]
    assert loaded.warehouse.run(VERSIONS.format("sales_record_id")) == [[100, 7], [100, 8], [100, 7], [101, 7]]
    assert not loaded.reconcile(heal=False).differs


@pytest.mark.integration
def test_a_warehouse_that_somebody_changed_is_made_what_the_lake_is(loaded: World) -> None:
    loaded.warehouse.run("UPDATE fact_payment SET payment_amount = 1")
    loaded.warehouse.run("DELETE FROM fact_sales_order")
    loaded.warehouse.run("UPDATE dim_staff SET first_name = 'Eve'")
    found = loaded.reconcile(heal=False)
    assert found.differs
    assert len(found.warnings) == 3
    assert loaded.reconcile(heal=True).error is None
    assert loaded.warehouse.run("SELECT payment_amount FROM fact_payment_current") == [[Decimal("2529.73")]]
    assert loaded.warehouse.run(CURRENT) == [[100, 7]]
    assert not loaded.reconcile(heal=False).differs


@pytest.mark.integration
@pytest.mark.long
def test_an_emptied_fact_table_waits_for_a_word_and_the_rest_is_healed(loaded: World) -> None:
    loaded.source.run("DELETE FROM payment")
    loaded.source.run("UPDATE sales_order SET units_sold = 8")
    guarded = loaded.reconcile(heal=True)
    assert (guarded.error, guarded.needs_attention) == (None, True)
    assert "reconcile --heal --accept-deletions payment" in " ".join(guarded.warnings)
    assert loaded.warehouse.run("SELECT count(*) FROM fact_payment_current") == [[1]]
    assert loaded.warehouse.run(CURRENT) == [[100, 8]]
    accepted = loaded.reconcile(heal=True, accept_deletions="payment")
    assert (accepted.error, accepted.needs_attention) == (None, False)
    assert loaded.warehouse.run("SELECT count(*) FROM fact_payment_current") == [[0]]
    assert loaded.in_lake("SELECT count(*) FROM fact_payment_current") == [(0,)]


@pytest.mark.integration
def test_text_numbers_and_times_of_demo_data_are_spelled_alike_by_all_three(world: World) -> None:
    demo_data.fill(world.source, 0.2)
    assert world.run().error is None
    demo_data.simulate(world.source, 60, seed=3)
    healed = world.reconcile(heal=True)
    assert healed.error is None
    assert all(_certified(world).values())
    for source, star in (("sales_order", "fact_sales_order"), ("payment", "fact_payment"), ("design", "dim_design")):
        expected = world.source.run(f"SELECT count(*), sum({source}_id) FROM {source}")
        assert world.warehouse.run(f"SELECT count(*), sum({source}_id) FROM {star}_current") == expected


@pytest.mark.integration
def test_nothing_is_mended_while_a_batch_of_another_run_is_published_and_not_loaded(world: World) -> None:
    """Its load would add the versions again that mending had brought along."""
    zone = RawZone(world.lake)
    batch_id = zone.claim()
    for stage in STAGES[:-1]:
        zone.finish(batch_id, stage, {"withheld_deletions": {}})
    zone.expect_verification({"tables": {"fact_sales_order": {"agrees": False}}})
    job = Job("certify", {"lake": world.lake, "phase": "certify"}, world.databases)
    with pytest.raises(StateError, match="Batch 1 is published and not loaded"):
        reconcile.run(job)
