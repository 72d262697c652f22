"""What the report asks: each query by name, its grain, and its SQL as Athena has it.

The lake answers by DuckDB or Athena, the warehouse by PostgreSQL (`engines.py` translates). All aggregation is here:
the page adds up what it is given, and never amounts of two currencies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from retail_etl import model

MEMBERS = 12
"""Of a dimension, so many are shown by name: those with the greatest amounts in any one currency."""

VERSIONS = 100
"""Of one order and its payments, so many versions are shown."""

Period = Literal["day", "week", "month"]
Engine = Literal["lake", "warehouse"]


@dataclass(frozen=True)
class Query:
    """One question. `grain`: what a row of its answer is. `needs`: who alone can answer, None where both can."""

    name: str
    grain: str
    sql: str
    needs: Engine | None = None


@dataclass(frozen=True)
class Dimension:
    """What amounts are broken down by. `key` and `label`: expressions on the fact `f` and the dimension `d`."""

    name: str
    table: str
    on: str
    key: str
    label: str


@dataclass(frozen=True)
class Measures:
    """A fact and what is added up of it: a count of its rows, a number of things, and money."""

    name: str
    fact: str
    things: str
    money: str

    @property
    def columns(self) -> str:
        """The three sums, under the names that the page knows."""
        return f"count(*) AS orders, sum({self.things}) AS units, sum({self.money}) AS amount"


SALES = Measures("sales", "fact_sales_order_current", "f.units_sold", "f.units_sold * f.unit_price")
PURCHASES = Measures(
    "purchases", "fact_purchase_order_current", "f.item_quantity", "f.item_quantity * f.item_unit_price"
)

COUNTRY = Dimension(
    "country",
    "dim_counterparty",
    "d.counterparty_id = f.counterparty_id",
    "d.counterparty_legal_country",
    "d.counterparty_legal_country",
)
DESIGN = Dimension("design", "dim_design", "d.design_id = f.design_id", "d.design_id", "d.design_name")
STAFF = Dimension(
    "staff", "dim_staff", "d.staff_id = f.sales_staff_id", "d.staff_id", "concat(d.first_name, ' ', d.last_name)"
)
COUNTERPARTY = Dimension(
    "counterparty",
    "dim_counterparty",
    "d.counterparty_id = f.counterparty_id",
    "d.counterparty_id",
    "d.counterparty_legal_name",
)


# ---------------------------------------------------------------------------- what there is

CURRENCIES = Query(
    "currencies",
    "one row per currency code",
    "SELECT currency_code AS currency, max(currency_name) AS name FROM dim_currency GROUP BY currency_code ORDER BY 1",
)

EXTENT = Query(
    "extent",
    "one row per fact that has any row",
    "\nUNION ALL\n".join(
        f"SELECT '{name}' AS fact, count(*) AS facts, min({day}) AS first_day, max({day}) AS last_day,\n"
        f"       count(DISTINCT {day}) AS days, count(DISTINCT date_trunc('week', {day})) AS weeks,\n"
        f"       count(DISTINCT currency_id) AS currencies\n"
        f"  FROM {fact}\nHAVING count(*) > 0"
        for name, fact, day in (
            ("sales", SALES.fact, "created_date"),
            ("purchases", PURCHASES.fact, "created_date"),
            ("payments", "fact_payment_current", "payment_date"),
        )
    ),
)

ORDER_WITH_MOST_VERSIONS = Query(
    "order_with_most_versions",
    "one row: the sales order that changed most often, of several the one that changed last",
    """SELECT sales_order_id
  FROM fact_sales_order
 GROUP BY sales_order_id
 ORDER BY count(*) DESC, max(last_updated_date) DESC, sales_order_id DESC
 LIMIT 1""",
)


# ---------------------------------------------------------------------------- business


def business(period: Period, today: date) -> Iterator[Query]:
    """Sales, purchases and payments as they are now, by period. `today`: from when on an open payment is overdue."""
    for measures in (SALES, PURCHASES):
        yield _over_time(measures, period)
    for dimension in (COUNTRY, DESIGN, STAFF, COUNTERPARTY):
        yield _broken_down(SALES, dimension, period)
    yield _broken_down(PURCHASES, COUNTERPARTY, period)
    yield _payments(period, today)


def _of(period: Period, day: str) -> str:
    return f"CAST(date_trunc('{period}', {day}) AS date)"


def _over_time(measures: Measures, period: Period) -> Query:
    return Query(
        measures.name,
        f"one row per {period} on which orders were placed, and currency",
        f"""SELECT {_of(period, "f.created_date")} AS period, c.currency_code AS currency, {measures.columns}
  FROM {measures.fact} f
  JOIN dim_currency c ON c.currency_id = f.currency_id
 GROUP BY 1, 2
 ORDER BY 1, 2""",
    )


def _broken_down(measures: Measures, dimension: Dimension, period: Period) -> Query:
    source = f"""{measures.fact} f
  JOIN dim_currency c ON c.currency_id = f.currency_id
  JOIN {dimension.table} d ON {dimension.on}"""
    return Query(
        f"{measures.name}_by_{dimension.name}",
        f"one row per {period} on which orders were placed, currency and {dimension.name}; those that are not among "
        f"the first {MEMBERS} of any currency together (member NULL)",
        f"""WITH totals AS (
    SELECT c.currency_code, {dimension.key} AS member, sum({measures.money}) AS amount
      FROM {source}
     GROUP BY 1, 2
),
places AS (
    SELECT member, row_number() OVER (PARTITION BY currency_code ORDER BY amount DESC, member) AS place FROM totals
),
shown AS (
    SELECT DISTINCT member FROM places WHERE place <= {MEMBERS}
)
SELECT {_of(period, "f.created_date")} AS period, c.currency_code AS currency, s.member,
       max(CASE WHEN s.member IS NOT NULL THEN {dimension.label} END) AS label, {measures.columns}
  FROM {source}
  LEFT JOIN shown s ON s.member = {dimension.key}
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3""",
    )


STATES = ("paid", "overdue_over_90", "overdue_61_90", "overdue_31_60", "overdue_1_30", "due_0_30", "due_later")
"""What a payment is today: paid, so many days overdue, or due within so many days."""


def _payments(period: Period, today: date) -> Query:
    def days(count: int) -> str:
        return f"DATE '{date.fromordinal(today.toordinal() + count)}'"

    paid, over_90, to_90, to_60, to_30, soon, later = STATES
    return Query(
        "payments",
        f"one row per {period} for which payments are agreed, currency, kind of payment and state",
        f"""SELECT {_of(period, "f.payment_date")} AS period, c.currency_code AS currency, k.payment_type_name AS kind,
       CASE WHEN f.paid THEN '{paid}'
            WHEN f.payment_date < {days(-90)} THEN '{over_90}'
            WHEN f.payment_date < {days(-60)} THEN '{to_90}'
            WHEN f.payment_date < {days(-30)} THEN '{to_60}'
            WHEN f.payment_date < {days(0)} THEN '{to_30}'
            WHEN f.payment_date <= {days(30)} THEN '{soon}'
            ELSE '{later}' END AS state,
       count(*) AS payments, sum(f.payment_amount) AS amount
  FROM fact_payment_current f
  JOIN dim_currency c ON c.currency_id = f.currency_id
  JOIN dim_payment_type k ON k.payment_type_id = f.payment_type_id
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 2, 3, 4""",
    )


# ---------------------------------------------------------------------------- one order


def order_history(order: int) -> Iterator[Query]:
    """All that became of one sales order, and of the payments for it."""
    yield Query(
        "order_versions",
        f"one row per version of the order, the last {VERSIONS}",
        f"""SELECT *
  FROM (
SELECT o.sales_order_id, o.version, o.valid_from, o.valid_to, o.is_current, o.deleted_at,
       o.created_date, o.units_sold, o.unit_price, o.units_sold * o.unit_price AS amount, c.currency_code AS currency,
       o.agreed_delivery_date, o.agreed_payment_date, d.design_name AS design,
       b.counterparty_legal_name AS counterparty, concat(s.first_name, ' ', s.last_name) AS staff
  FROM fact_sales_order_history o
  JOIN dim_currency c ON c.currency_id = o.currency_id
  JOIN dim_design d ON d.design_id = o.design_id
  JOIN dim_counterparty b ON b.counterparty_id = o.counterparty_id
  JOIN dim_staff s ON s.staff_id = o.sales_staff_id
 WHERE o.sales_order_id = {order:d}
 ORDER BY o.version DESC
 LIMIT {VERSIONS}
) newest
 ORDER BY version""",
    )
    yield Query(
        "order_payments",
        f"one row per version of a payment for the order, the last {VERSIONS}",
        f"""SELECT *
  FROM (
SELECT p.payment_id, p.version, p.valid_from, p.valid_to, p.is_current, p.deleted_at, p.paid,
       p.payment_date, p.payment_amount AS amount, c.currency_code AS currency, k.payment_type_name AS kind
  FROM fact_payment_history p
  JOIN dim_transaction t ON t.transaction_id = p.transaction_id
  JOIN dim_currency c ON c.currency_id = p.currency_id
  JOIN dim_payment_type k ON k.payment_type_id = p.payment_type_id
 WHERE t.sales_order_id = {order:d}
 ORDER BY p.valid_from DESC, p.payment_id, p.version
 LIMIT {VERSIONS}
) newest
 ORDER BY payment_id, version""",
    )


# ---------------------------------------------------------------------------- pipeline

_STAR = [table for table in model.STAR.values() if not table.is_control]

ROWS = Query(
    "table_rows",
    "one row per star table",
    "\nUNION ALL\n".join(
        f"SELECT {place} AS place, '{table.name}' AS table_name, count(*) AS all_rows,\n"
        f"       (SELECT count(*) FROM {table.name}_current) AS current_rows\n  FROM {table.name}"
        for place, table in enumerate(_STAR, start=1)
    )
    + "\n ORDER BY place",
)

QUARANTINE = Query(
    "quarantine",
    "one row per source table and rule that rows in quarantine break; a row that breaks two rules is in two",
    """SELECT q.table_name, split_part(r.reason, ': ', 1) AS rule, count(*) AS held,
       sum(CASE WHEN q.waits THEN 1 ELSE 0 END) AS waiting, min(q.found_at) AS first_found_at
  FROM quarantine_current q
 CROSS JOIN UNNEST(q.reasons) AS r(reason)
 GROUP BY 1, 2
 ORDER BY 3 DESC, 1, 2""",
    needs="lake",
)

QUALITY = Query(
    "quality",
    "one row per batch and gate, of the last 40 batches that a gate judged",
    f"""SELECT q.batch_id, q.layer, count(*) AS expectations,
       {
        ", ".join(
            f"sum(CASE WHEN NOT q.success AND q.severity = '{severity}' THEN 1 ELSE 0 END) AS {severity}"
            for severity in ("critical", "warning", "info")
        )
    },
       sum(q.unexpected) AS broken_rows, max(q.validated_at) AS validated_at
  FROM quality_result q
 WHERE q.batch_id > (SELECT max(batch_id) - 40 FROM quality_result)
 GROUP BY 1, 2
 ORDER BY 1, 2""",
    needs="lake",
)

BROKEN_RULES = Query(
    "broken_rules",
    "one row per expectation that did not hold in one of the last 40 batches, the twenty latest",
    """SELECT q.layer, q.table_name, q.subject, q.expectation, q.severity, count(*) AS batches,
       sum(q.unexpected) AS broken_rows, max(q.batch_id) AS last_batch
  FROM quality_result q
 WHERE NOT q.success AND q.batch_id > (SELECT max(batch_id) - 40 FROM quality_result)
 GROUP BY 1, 2, 3, 4, 5
 ORDER BY 8 DESC, 7 DESC, 2, 3, 4
 LIMIT 20""",
    needs="lake",
)

PIPELINE = (ROWS, QUARANTINE, QUALITY, BROKEN_RULES)
