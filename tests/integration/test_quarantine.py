"""What happens to a row that breaks a rule: it is set aside with its reason, and comes in once it is mended."""

from dataclasses import replace

import pytest

from retail_etl import model
from retail_etl.raw import RawZone
from tests.integration.world import SOURCE_ROWS, World

CHAIN = """
INSERT INTO sales_order SELECT 101, design_id, staff_id, counterparty_id, -1, unit_price, currency_id,
    '2023-02-30', agreed_payment_date, agreed_delivery_location_id, created_at, last_updated FROM sales_order;
INSERT INTO transaction SELECT 41, transaction_type, 101, NULL, created_at, last_updated FROM transaction;
INSERT INTO payment SELECT 71, 41, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,
    company_ac_number, counterparty_ac_number, created_at, last_updated FROM payment;
"""
"""An order that breaks two rules, its transaction, and the payment of that."""

HELD = "SELECT table_name, record_id, waits, reasons FROM quarantine_current ORDER BY table_name"
MINUS_ONE = "units_sold must be 0 or more: found '-1'"
NO_DATE = "agreed_delivery_date must be a date YYYY-MM-DD from 1970-01-01 to 2100-12-31: found '2023-02-30'"


def _agrees(world: World) -> bool:
    done = world.reconcile(heal=False)
    assert done.error is None
    return not done.differs


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_a_bad_row_and_those_that_refer_to_it_are_set_aside_and_come_in_when_it_is_mended(world: World) -> None:
    world.source.run(SOURCE_ROWS + CHAIN)
    first = world.run()
    assert first.error is None
    assert [line.partition(":")[0] for line in first.warnings[-3:]] == ["sales_order", "transaction", "payment"]
    assert world.in_lake(HELD) == [
        ("payment", 71, True, ["transaction_id must be in transaction.transaction_id: 41 is in quarantine"]),
        ("sales_order", 101, False, [MINUS_ONE, NO_DATE]),
        ("transaction", 41, True, ["sales_order_id must be in sales_order.sales_order_id: 101 is in quarantine"]),
    ]
    for table, key, good in (("fact_sales_order", "sales_order_id", 100), ("dim_transaction", "transaction_id", 40)):
        assert world.warehouse.run(f"SELECT {key} FROM {table}") == [[good]]
    assert world.warehouse.run("SELECT payment_id FROM fact_payment") == [[70]]
    assert RawZone(world.lake).held() == {"sales_order": 1, "transaction": 1, "payment": 1}
    assert _agrees(world)  # but for what is in quarantine

    # Read again in the overlap, still bad: nothing new is said of it. One of its faults is mended: that is.
    world.source.run("UPDATE sales_order SET units_sold = 8 WHERE sales_order_id = 100")
    assert world.run().error is None
    assert world.in_lake("SELECT count(*) FROM quarantine") == [(3,)]
    world.source.run("UPDATE sales_order SET units_sold = 3 WHERE sales_order_id = 101")
    assert world.run().error is None
    assert [row[3] for row in world.in_lake(HELD) if row[0] == "sales_order"] == [[NO_DATE]]

    world.source.run("UPDATE sales_order SET agreed_delivery_date = '2024-03-02' WHERE sales_order_id = 101")
    mended = world.run()
    assert (mended.error, mended.warnings[1:]) == (None, [])
    assert world.in_lake(HELD) == []
    assert world.warehouse.run("SELECT sales_order_id, units_sold FROM fact_sales_order_current ORDER BY 1") == [
        [100, 8],
        [101, 3],
    ]
    assert world.warehouse.run("SELECT transaction_id FROM dim_transaction ORDER BY 1") == [[40], [41]]
    assert world.warehouse.run("SELECT payment_id FROM fact_payment ORDER BY 1") == [[70], [71]]
    assert world.in_lake("SELECT count(*) FROM fact_payment") == [(2,)]
    assert _agrees(world)
    assert world.run().status == "nothing_changed"


@pytest.mark.integration
@pytest.mark.slow
def test_a_changed_rule_lets_rows_in_by_redrive_and_a_deleted_row_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run("UPDATE sales_order SET units_sold = -1")
    world.source.run("INSERT INTO currency VALUES (2, 'GPB', '2024-01-01', '2024-01-01')")
    world.source.run("INSERT INTO department VALUES (2, 'Ghosts', NULL, NULL, '1066-10-14', '2024-01-01')")
    world.source.run("INSERT INTO staff VALUES (6, 'A', 'B', 2, 'a@b.example', '2024-01-01', '2024-01-01')")
    assert world.run().error is None
    assert [(row[0], row[2]) for row in world.in_lake(HELD)] == [
        ("currency", False),
        ("department", False),
        ("payment", True),
        ("sales_order", False),
        ("staff", True),
        ("transaction", True),
    ]
    assert _agrees(world)

    unbounded = tuple(replace(one, minimum=None) for one in model.SALES_ORDER.columns)
    monkeypatch.setitem(model.SOURCE, "sales_order", replace(model.SALES_ORDER, columns=unbounded))
    assert world.run().status == "nothing_changed"
    world.source.run("DELETE FROM currency WHERE currency_id = 2")
    redriven = world.run(redrive="sales_order")
    assert redriven.error is None
    assert [row[0] for row in world.in_lake(HELD)] == ["department", "staff"]
    left = "SELECT reasons[1] FROM quarantine WHERE NOT is_held AND table_name = '{}'"
    assert world.in_lake(left.format("sales_order")) == [("came in",)]
    assert world.in_lake(left.format("currency")) == [("deleted in the source",)]
    assert world.warehouse.run("SELECT units_sold FROM fact_sales_order") == [[-1]]
    assert world.warehouse.run("SELECT payment_id FROM fact_payment") == [[70]]

    assert "no such source table" in (world.run(redrive="sales").error or "")
    assert world.run(redrive="all").error is None  # nothing is mended, nothing comes in, nothing is said twice
    assert [row[0] for row in world.in_lake(HELD)] == ["department", "staff"]
    world.source.run("UPDATE department SET created_at = '2024-01-01'")
    assert world.run().error is None
    assert world.in_lake(HELD) == []
    assert world.warehouse.run("SELECT staff_id, department_name FROM dim_staff ORDER BY 1") == [
        [5, "Sales"],
        [6, "Ghosts"],
    ]
    assert _agrees(world)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_a_row_that_goes_bad_stays_as_it_was_and_reconcile_knows_it(loaded: World) -> None:
    loaded.source.run("UPDATE sales_order SET units_sold = -1, last_updated = '2024-02-28'")
    loaded.source.run("UPDATE department SET department_name = 'Buying', created_at = '1066-10-14'")
    assert loaded.run().error is None
    assert [row[:3] for row in loaded.in_lake(HELD)] == [("department", 1, False), ("sales_order", 100, False)]
    for name in ("units_sold FROM fact_sales_order_current", "units_sold FROM fact_sales_order"):
        assert loaded.warehouse.run(f"SELECT {name}") == [[7]]
    assert loaded.warehouse.run("SELECT department_name FROM dim_staff") == [["Sales"]]
    assert _agrees(loaded)

    # Silently: no stamp tells of it, so quarantine is not as the source is any more.
    loaded.source.run("UPDATE sales_order SET units_sold = -2")
    assert not _agrees(loaded)
    assert loaded.reconcile(heal=True).error is None
    assert "-2" in str([row[3] for row in loaded.in_lake(HELD) if row[0] == "sales_order"])
    assert _agrees(loaded)
    loaded.source.run("UPDATE sales_order SET units_sold = 6")
    assert loaded.reconcile(heal=True).error is None
    assert [row[0] for row in loaded.in_lake(HELD)] == ["department"]
    assert loaded.warehouse.run("SELECT units_sold FROM fact_sales_order ORDER BY 1") == [[6], [7]]
    certificate = RawZone(loaded.lake).last_certificate() or {}
    assert all(entry["agrees"] for entry in certificate["tables"].values())
