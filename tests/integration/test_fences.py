"""No committed change is lost, whenever its transaction commits and whatever its last_updated says."""

from collections.abc import Callable

import pytest
from pg8000.native import Connection

from tests.integration.world import SOURCE_ROWS, World

Connect = Callable[[str], Connection]

ORDER = (
    "INSERT INTO sales_order SELECT {key}, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
    " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, {stamp}, {stamp} FROM sales_order LIMIT 1"
)
SEEN = "SELECT sales_order_id, count(*) FROM fact_sales_order GROUP BY 1 ORDER BY 1"


@pytest.mark.integration
@pytest.mark.usefixtures("fences_alone")
@pytest.mark.parametrize(
    "offset",
    [
        pytest.param("0 hours", id="same zone", marks=pytest.mark.long),
        pytest.param("-9 hours", id="behind", marks=pytest.mark.long),
        pytest.param("9 hours", id="ahead"),
    ],
)
def test_a_row_that_commits_after_the_run_arrives_whatever_zone_its_stamps_are_in(
    world: World, database: str, connect: Connect, offset: str
) -> None:
    stamp = f"clock_timestamp() AT TIME ZONE 'UTC' + interval '{offset}'"
    late = connect(database)
    late.run("BEGIN")
    late.run(ORDER.format(key=101, stamp=stamp))
    late.run("SELECT pg_sleep(1.1)")
    world.source.run(ORDER.format(key=102, stamp=stamp))  # newer than the late one, and seen before it
    assert world.run().error is None
    assert world.warehouse.run(SEEN) == [[100, 1], [102, 1]]
    late.run("COMMIT")
    assert world.run().error is None
    assert world.warehouse.run(SEEN) == [[100, 1], [101, 1], [102, 1]]
    assert world.run().status == "nothing_changed"


@pytest.mark.integration
def test_a_prepared_transaction_holds_the_fence(loaded: World) -> None:
    writer = loaded.owner.connect()
    if writer.run("SHOW max_prepared_transactions")[0][0] == "0":
        pytest.skip("the server takes no prepared transactions")
    writer.run("BEGIN")
    writer.run(ORDER.format(key=101, stamp="TIMESTAMP '2024-02-27 14:30'"))
    writer.run("PREPARE TRANSACTION 'late'")
    loaded.source.run(ORDER.format(key=102, stamp="TIMESTAMP '2024-03-27 14:30'"))
    assert loaded.run().error is None
    writer.run("COMMIT PREPARED 'late'")
    assert loaded.run().error is None
    assert loaded.warehouse.run(SEEN) == [[100, 1], [101, 1], [102, 1]]


@pytest.mark.integration
def test_rows_at_the_fence_with_equal_stamps_without_stamps_and_back_dated_within_the_overlap_arrive_once(
    loaded: World,
) -> None:
    loaded.source.run("ALTER TABLE sales_order ALTER COLUMN last_updated DROP NOT NULL")
    newest = "TIMESTAMP '2024-02-27 14:20:52.186'"
    loaded.source.run(ORDER.format(key=101, stamp=newest))  # equal to the greatest
    loaded.source.run(ORDER.format(key=102, stamp=newest + " - interval '15 minutes'"))  # exactly at the fence
    loaded.source.run(ORDER.format(key=103, stamp=newest + " - interval '7 minutes'"))
    loaded.source.run(ORDER.format(key=104, stamp=newest))
    loaded.source.run("UPDATE sales_order SET last_updated = NULL WHERE sales_order_id = 104")
    assert loaded.run().error is None
    assert loaded.warehouse.run(SEEN) == [[key, 1] for key in (100, 101, 102, 103, 104)]
    stands_for_null = "SELECT last_updated_time::text FROM fact_sales_order WHERE sales_order_id = 104"
    assert loaded.warehouse.run(stands_for_null) == [["14:20:52.186"]]
    assert loaded.run().status == "nothing_changed"


@pytest.mark.integration
def test_a_stamp_in_the_future_does_not_lift_the_fence(loaded: World) -> None:
    loaded.source.run(ORDER.format(key=101, stamp="TIMESTAMP '2099-01-01'"))
    assert loaded.run().error is None
    loaded.source.run(ORDER.format(key=102, stamp="(now() AT TIME ZONE 'UTC')::timestamp"))
    assert loaded.run().error is None
    assert loaded.warehouse.run(SEEN) == [[100, 1], [101, 1], [102, 1]]


@pytest.mark.integration
def test_a_role_that_sees_no_other_sessions_is_told_what_to_grant(world: World) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run("REVOKE pg_read_all_stats FROM reader")
    run = world.extract()
    assert run.error is None
    assert any('GRANT pg_read_all_stats TO "reader"' in warning for warning in run.warnings)
