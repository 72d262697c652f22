"""The page's own sums, as its script makes them: by Node.js, where there is one (the platform itself needs none)."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from scripts import query_docs
from scripts.report import render
from tests.unit.test_report import Sample

NODE = shutil.which("node")
HARNESS = """
globalThis.document = { getElementById: () => ({ textContent: require("fs").readFileSync(0, "utf8") }) };
const filter = (from, to, ...codes) => ({ from, to, by: "month", currencies: new Set(codes) });
const plain = (found) => (found instanceof Map ? Object.fromEntries([...found].map(([k, v]) => [k, plain(v)])) : found);
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js here")


@pytest.fixture(scope="module")
def data() -> str:
    sample = Sample(query_docs.sample_lake())
    sample.connection.execute("INSERT INTO sample.dim_design VALUES (7, 'Steel Mug', '', '', 2)")
    sample.connection.execute("""
        INSERT INTO sample.fact_sales_order VALUES (105, '2024-06-30', '09:00:00', '2024-06-30', '09:00:00', 6, 2, 3,
            10.10, 1, 7, '2024-07-08', '2024-07-06', 3, 2)""")
    return render.as_json(sample.figures())


def _told(data: str, expression: str) -> Any:
    own = "\n".join((render.PAGE / name).read_text() for name in render.SCRIPTS if name != "page.js")
    script = f"{HARNESS}\n{own}\nconsole.log(JSON.stringify(plain({expression})));"
    done = subprocess.run([str(NODE), "-e", script], input=data, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_filter_takes_days_at_both_ends_and_currencies(data: str) -> None:
    def sums(measure: str, chosen: str) -> Any:
        return _told(data, f'Data.sums("sales", filter({chosen}), "{measure}", "currency")')

    assert sums("amount", '"", "", "GBP", "EUR"') == {"GBP": pytest.approx(3591.12 + 30.30), "EUR": 90.0}
    assert sums("units", '"2024-03-01", "2024-03-01", "GBP", "EUR"') == {"GBP": 10}
    assert sums("orders", '"2024-03-02", "2024-06-30", "GBP"') == {"GBP": 1}
    assert sums("orders", '"", ""') == {}


def test_months_without_orders_are_shown_as_none(data: str) -> None:
    found = _told(data, '{ ...Data.overTime("sales", filter("", "", "GBP"), "units"), series: 0 }')
    assert found["periods"] == ["2024-03-01", "2024-04-01", "2024-05-01", "2024-06-01"]
    assert _told(data, 'Data.overTime("sales", filter("", "", "GBP"), "units").series') == {"GBP": [10, 0, 0, 3]}


def test_members_of_one_name_stay_two_and_come_by_their_share_of_a_currency(data: str) -> None:
    def members(measure: str, more: str) -> Any:
        return _told(data, f'Data.members("sales_by_design", filter("", "", "GBP", "EUR"), "{measure}"{more}')

    found = members("amount", ").map((one) => one.label)")
    assert found == ["Steel Mug (8)", "Wooden Chair", "Steel Mug (7)"]  # all of the euros, nearly all of the pounds
    assert members("orders", ", 1).map((one) => plain(one.values))") == [{"EUR": 1}, {"GBP": 3}]


def test_weeks_are_not_shown_as_months_that_they_do_not_make_up(data: str) -> None:
    def offered(period: str) -> Any:
        return _told(json.dumps(json.loads(data) | {"period": period}), "[...Data.offered, Data.byAtFirst]")

    assert offered("day") == ["day", "week", "month", "month"]
    assert offered("week") == ["week", "week"]
    assert offered("month") == ["month", "month"]


def test_the_currencies_with_the_most_orders_come_first(data: str) -> None:
    assert _told(data, "[Data.used, Data.byOrders, Data.busiest(1), Data.busiest(6)]") == [
        ["EUR", "GBP"],
        ["GBP", "EUR"],
        ["GBP"],
        ["EUR", "GBP"],
    ]


def test_what_comes_in_and_what_goes_out_are_not_added_up(data: str) -> None:
    found = _told(data, 'Data.paymentSums(filter("", "", "GBP", "EUR"), "amount", "currency", "state")')
    assert found == {
        "incoming": {"GBP": {"overdue_1_30": 2891.12}, "EUR": {"due_0_30": 90.0}},
        "outgoing": {"EUR": {"due_0_30": 612.5}},
    }
    kinds = ["SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND", "GIFT"]
    assert _told(data, f"{kinds}.map(Data.directionOf)") == ["incoming", "outgoing", "outgoing", "incoming", "other"]


def test_a_version_never_ends_before_it_began(data: str) -> None:
    began, deleted = "2024-03-01 09:30:00.000000", "2024-03-02 18:00:00.000000"
    ahead = "2024-03-10 20:00:00.000000"  # the clock of a source east of UTC, when the report is made
    versions = [
        {"valid_from": began, "valid_to": "2024-03-02 11:00:00.500000"},
        {"valid_from": began},
        {"valid_from": ahead},
        {"valid_from": began, "deleted_at": deleted},
        {"valid_from": ahead, "deleted_at": deleted},
    ]
    assert _told(data, f"{json.dumps(versions)}.map((row) => [Order.end(row), Order.until(row)])") == [
        ["2024-03-02 11:00:00.500000", "2024-03-02 11:00:00"],
        ["2024-03-10 12:00:00", "now"],
        [ahead, "now"],
        [deleted, "deleted 2024-03-02 18:00:00 UTC"],
        [ahead, "deleted 2024-03-02 18:00:00 UTC"],
    ]
