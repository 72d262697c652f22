"""The lake as its readers see it, after two runs over demo data: through every foreign key, by named query, and as it
was. The warehouse, which PostgreSQL reads, and the source are what it is compared with.
"""

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from typer.testing import CliRunner

from retail_etl.raw import RawZone
from scripts import demo_data, etl, lake_query
from scripts.moments import find_moment
from scripts.named_queries import named_queries, named_query
from tests.integration.world import World

PAST = (
    "SELECT * FROM fact_sales_order_current ORDER BY sales_order_id",
    "SELECT * FROM dim_staff_current ORDER BY staff_id",
    "SELECT * FROM dim_design_current ORDER BY design_id",
    "SELECT count(*), min(date_id), max(date_id) FROM dim_date",
    "SELECT table_name, record_id, reasons FROM quarantine_current",
    "SELECT batch_id, layer, count(*) FROM quality_result GROUP BY 1, 2 ORDER BY 1, 2",
)
"""What is asked of the lake between the runs, and again of its past: facts, dimensions and control tables."""


@dataclass(frozen=True)
class Lake:
    """A world after two runs. `first`: what `PAST` gave between them."""

    world: World
    first: dict[str, list[tuple]]


@pytest.fixture(scope="module")
def lake(shared_world: World) -> Lake:
    world = shared_world
    demo_data.fill(world.source, 0.1)
    world.source.run("INSERT INTO design VALUES (9999, 'Short-lived', '/usr', 'd.json', '2024-01-01', '2024-01-01')")
    assert world.run().error is None
    first = {sql: world.in_lake(sql) for sql in PAST}
    world.source.run("DELETE FROM design WHERE design_id = 9999")
    demo_data.simulate(world.source, 50, seed=7, deletes=False)
    world.source.run("INSERT INTO currency VALUES (99, 'GPB', '2024-01-01', '2024-01-01')")  # no such code
    world.source.run("UPDATE staff SET first_name = 'Renamed', last_updated = now() WHERE staff_id = 1")
    world.source.run(
        "UPDATE payment SET paid = false, last_updated = now() WHERE payment_id IN (SELECT payment_id FROM payment "
        "WHERE paid AND payment_date < to_char(now() - interval '2 days', 'YYYY-MM-DD') ORDER BY payment_id LIMIT 3)"
    )
    assert world.run().error is None
    return Lake(world, first)


@pytest.mark.integration
def test_an_independent_reader_agrees_with_the_source_through_every_foreign_key(lake: Lake) -> None:
    world = lake.world
    expected = world.source.run(
        "SELECT count(*), sum(payment_amount)::text FROM payment p JOIN transaction t USING (transaction_id)"
        " JOIN counterparty USING (counterparty_id) JOIN currency USING (currency_id)"
        " JOIN payment_type USING (payment_type_id)"
    )[0]
    star = (
        "SELECT count(*), sum(payment_amount) FROM fact_payment_current p JOIN dim_transaction t USING (transaction_id)"
        " JOIN dim_counterparty USING (counterparty_id) JOIN dim_currency USING (currency_id)"
        " JOIN dim_payment_type USING (payment_type_id) JOIN dim_date d ON d.date_id = p.payment_date"
    )
    (loaded,) = world.warehouse.run(star)
    ((rows, total),) = world.in_lake(star)
    assert [loaded[0], loaded[1]] == [expected[0], Decimal(expected[1])]
    assert [rows, total] == [expected[0], Decimal(expected[1])]
    orders = "SELECT count(*), sum(units_sold * unit_price) FROM "
    (wanted,) = world.source.run(orders + "sales_order")
    assert world.warehouse.run(orders + "fact_sales_order_current JOIN dim_design USING (design_id)") == [wanted]


@pytest.mark.integration
def test_every_named_query_answers_on_a_real_lake(lake: Lake) -> None:
    given = {"order": "1"}
    for query in named_queries().values():
        values = query.values([f"{one.name}={given[one.name]}" for one in query.parameters])
        assert lake_query.query(lake.world.lake, query.sql, values).fetchall(), query.name


@pytest.mark.integration
@pytest.mark.parametrize("name", ["sales_by_day", "payments_due", "payments_overdue"])
def test_a_named_query_gives_what_the_same_question_gives_in_the_warehouse(name: str, lake: Lake) -> None:
    sql = named_query(name).sql
    in_warehouse = lake.world.warehouse.run(sqlglot.parse_one(sql, read="athena").sql("postgres"))
    assert in_warehouse
    # Whatever the order: the engines sort texts differently.
    assert Counter(lake.world.in_lake(sql)) == Counter(map(tuple, in_warehouse))


@pytest.mark.integration
def test_the_past_is_as_readers_saw_it_by_batch_and_by_time(lake: Lake) -> None:
    zone = RawZone(lake.world.lake)
    first = find_moment(zone, "1")
    assert find_moment(zone, first.published_at.isoformat()) == first
    assert find_moment(zone, "2100-01-01").batch_id == 2
    for sql, rows in lake.first.items():
        assert lake_query.query(lake.world.lake, sql, moment=first).fetchall() == rows
    changed = [sql for sql, rows in lake.first.items() if lake.world.in_lake(sql) != rows]
    assert {PAST[0], PAST[1], PAST[2], PAST[4], PAST[5]} <= set(changed)  # else the test shows nothing


@pytest.mark.integration
def test_the_command_writes_what_it_is_asked_for(lake: Lake, tmp_path: Path) -> None:
    def ask(*arguments: str) -> Any:
        return CliRunner().invoke(etl.app, ["query", *arguments, "--lake", lake.world.lake])

    order = ask("--name", "order_history", "--set", "order=1", "--format", "json")
    assert (order.exit_code, json.loads(order.stdout)[0]["version"]) == (0, 1)
    count = "SELECT count(*) AS orders FROM fact_sales_order_current"
    assert ask(count).stdout.splitlines() == ["orders", str(len(lake.world.in_lake(PAST[0])))]  # no terminal: CSV
    assert ask(count, "--as-of", "1").stdout.splitlines()[1] == str(len(lake.first[PAST[0]]))
    written = ask("--name", "sales_by_day", "--limit", "3", "--output", str(tmp_path / "days.parquet"))
    assert "3 rows in" in written.stderr
    assert ask().exit_code == 2
    assert ask(count, "--name", "sales_by_day").exit_code == 2
    assert "sales_by_day" in ask("--list").stdout
