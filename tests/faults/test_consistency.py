"""Orders are committed together with their transactions and payments, hundreds a second, while runs go on: no run
may show one without the others. More runs: `make consistency RUNS=20`.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from pg8000.native import Connection

from tests.integration.world import World

RUNS = int(os.environ.get("RUNS", "1"))

NOW = "clock_timestamp() AT TIME ZONE 'UTC'"
DESIGN = f"INSERT INTO design SELECT {{key}}, 'New', '/usr', 'n.json', {NOW}, {NOW}"
SALE = (
    f"INSERT INTO sales_order SELECT {{key}}, {{design}}, staff_id, counterparty_id, {{units}}, unit_price,"
    f" currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, {NOW}, {NOW}"
    " FROM sales_order WHERE sales_order_id = 100",
    f"INSERT INTO transaction SELECT {{key}}, 'SALE', {{key}}, NULL, {NOW}, {NOW}",
)
PURCHASE = (
    "INSERT INTO purchase_order SELECT {key}, staff_id, counterparty_id, 'ITEM', {units}, unit_price, currency_id,"
    f" agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, {NOW}, {NOW}"
    " FROM sales_order WHERE sales_order_id = 100",
    f"INSERT INTO transaction SELECT {{key}}, 'PURCHASE', NULL, {{key}}, {NOW}, {NOW}",
)
PAYMENT = (
    "INSERT INTO payment SELECT {key}, {key}, counterparty_id, {units}, currency_id, payment_type_id, paid,"
    f" payment_date, company_ac_number, counterparty_ac_number, {NOW}, {NOW} FROM payment WHERE payment_id = 70"
)
CHANGE = (
    f"UPDATE sales_order SET units_sold = {{units}}, last_updated = {NOW} WHERE sales_order_id = {{earlier}}",
    f"UPDATE payment SET payment_amount = {{units}}, last_updated = {NOW} WHERE payment_id = {{earlier}}",
)

TORN = {
    "payments without their transaction": "fact_payment p WHERE NOT EXISTS"
    " (SELECT 1 FROM dim_transaction t WHERE t.transaction_id = p.transaction_id)",
    "transactions without their order": "dim_transaction t WHERE NOT EXISTS"
    " (SELECT 1 FROM fact_sales_order o WHERE o.sales_order_id = t.sales_order_id) AND NOT EXISTS"
    " (SELECT 1 FROM fact_purchase_order o WHERE o.purchase_order_id = t.purchase_order_id)",
    "orders without their design": "fact_sales_order o WHERE NOT EXISTS"
    " (SELECT 1 FROM dim_design d WHERE d.design_id = o.design_id)",
    "sales orders without their transaction": "fact_sales_order o WHERE NOT EXISTS"
    " (SELECT 1 FROM dim_transaction t WHERE t.sales_order_id = o.sales_order_id)",
    "purchase orders without their transaction": "fact_purchase_order o WHERE NOT EXISTS"
    " (SELECT 1 FROM dim_transaction t WHERE t.purchase_order_id = o.purchase_order_id)",
    "transactions without their payment": "dim_transaction t WHERE NOT EXISTS"
    " (SELECT 1 FROM fact_payment p WHERE p.transaction_id = t.transaction_id)",
    "orders changed without their payment": "fact_sales_order_current o"
    " JOIN dim_transaction t ON t.sales_order_id = o.sales_order_id"
    " JOIN fact_payment_current p ON p.transaction_id = t.transaction_id WHERE p.payment_amount <> o.units_sold",
}
"""What a moment of the source never shows, as what follows FROM."""
ALL_TORN = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {rows}" for name, rows in TORN.items())

HELD = {
    "SELECT count(*), sum(CAST(sales_order_id AS bigint) * units_sold) FROM ": ("sales_order", "fact_sales_order"),
    "SELECT count(*), sum(CAST(purchase_order_id AS bigint) * item_quantity) FROM ": (
        "purchase_order",
        "fact_purchase_order",
    ),
    "SELECT count(*), sum(CAST(transaction_id AS bigint)) FROM ": ("transaction", "dim_transaction"),
    "SELECT count(*), sum(payment_id * payment_amount) FROM ": ("payment", "fact_payment"),
    "SELECT count(*), sum(design_id) FROM ": ("design", "dim_design"),
}


def _write(connection: Connection, number: int, pause: str, stopped: threading.Event) -> int:
    """Commit one transaction after another until told to stop; gives how many. `pause`: between the statements."""
    choice = random.Random(number)
    first = (number + 1) * 10_000_000
    committed = 0
    for key in count(first):
        if stopped.is_set():
            break
        new_design = choice.random() < 0.05
        sale = (*((DESIGN,) if new_design else ()), *SALE, PAYMENT)
        statements = choice.choices((sale, (*PURCHASE, PAYMENT), CHANGE), (6, 2, 2))[0]
        ends = choice.choices(("COMMIT", "ROLLBACK"), (9, 1))[0]
        values = {
            "key": key,
            "design": key if new_design else 9,
            "units": choice.randint(1, 9),
            "earlier": choice.randint(first, key),
        }
        time.sleep(0.003)  # leaves the runs a part of the machine
        connection.run("; ".join(["BEGIN", pause.join(statements).format(**values), ends]))
        committed += ends == "COMMIT"
    connection.close()
    return committed


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("fences_alone")
def test_what_was_committed_together_arrives_together(
    world: World,
    database: str,
    connect: Callable[[str], Connection],
    record_property: Callable[[str, object], None],
) -> None:
    world.source.run("UPDATE payment SET payment_amount = 7")  # as many as the units of its order
    whole = dict.fromkeys(TORN, 0)
    stopped = threading.Event()
    with ThreadPoolExecutor() as threads:
        writers = [
            threads.submit(_write, connect(database), number, pause, stopped)
            for number, pause in enumerate(("; ", "; SELECT pg_sleep(0.003); ", "; SELECT pg_sleep(0.02); "))
        ]
        try:
            for _ in range(RUNS):
                run = world.run()
                assert (run.error, run.status) == (None, "succeeded")
                assert dict(world.warehouse.run(ALL_TORN)) == whole, "in the warehouse"
                assert dict(world.in_lake(ALL_TORN)) == whole, "in the lake"
        finally:
            stopped.set()
    committed = sum(writer.result() for writer in writers)
    assert world.run().error is None
    for sums, (source, star) in HELD.items():
        expected = world.source.run(f"{sums}{source}")
        assert world.warehouse.run(f"{sums}{star}_current") == expected, star
        assert [list(row) for row in world.in_lake(f"{sums}{star}_current")] == expected, star
    compared = world.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)
    record_property("consistency", f"{RUNS} runs, {committed} transactions committed meanwhile, none torn")
