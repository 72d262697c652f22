"""Literal source rows, a source that takes bad ones, and what an input of the corpus is."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Literal, NamedTuple

from pg8000.native import Connection, identifier

from retail_etl import model
from retail_etl.schema import INT

_MOMENT = {"created_at": "2024-02-27 14:20:52.186", "last_updated": "2024-02-27 14:20:52.186"}
_ORDER = {"staff_id": 5, "counterparty_id": 2, "currency_id": 1, "agreed_delivery_location_id": 3}
_AGREED = {"agreed_delivery_date": "2024-03-01", "agreed_payment_date": "2024-02-28"}

# Nothing is wrong with these. What they refer to is in `world.SOURCE_ROWS`.
GOOD: dict[str, dict[str, Any]] = {
    "address": {
        "address_line_1": "1 High Street", "city": "Leeds", "postal_code": "LS1", "country": "UK", "phone": "0113",
    },
    "counterparty": {"counterparty_legal_name": "Acme", "legal_address_id": 3},
    "currency": {"currency_code": "EUR"},
    "department": {"department_name": "Sales"},
    "design": {"design_name": "Wooden", "file_location": "/usr", "file_name": "w.json"},
    "staff": {"first_name": "Ada", "last_name": "Byron", "department_id": 1, "email_address": "a@b.example"},
    "payment_type": {"payment_type_name": "SALES_RECEIPT"},
    "sales_order": {**_ORDER, **_AGREED, "design_id": 9, "units_sold": 7, "unit_price": "361.39"},
    "purchase_order": {**_ORDER, **_AGREED, "item_code": "ST1", "item_quantity": 4, "item_unit_price": "2.5"},
    "transaction": {"transaction_type": "SALE", "sales_order_id": 100},
    "payment": {
        "transaction_id": 40, "counterparty_id": 2, "payment_amount": "2529.73", "currency_id": 1, "payment_type_id": 1,
        "paid": False, "payment_date": "2024-02-28", "company_ac_number": 1, "counterparty_ac_number": 2,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of a source table: a good one but for what is `changed`. Its text names it in a test's report."""

    table: str
    key: int | None
    changed: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        return {model.SOURCE[self.table].key: self.key, **_MOMENT, **GOOD[self.table], **self.changed}

    def __str__(self) -> str:
        changed = ", ".join(f"{name}={value!a:.60}" for name, value in self.changed.items())
        return f"{self.table} {self.key}: {changed or 'a good row'}"


def row(table: str, key: int | None, **changed: Any) -> Row:
    return Row(table, key, changed)


address, counterparty, currency = partial(row, "address"), partial(row, "counterparty"), partial(row, "currency")
department, design, staff = partial(row, "department"), partial(row, "design"), partial(row, "staff")
payment_type, sales_order = partial(row, "payment_type"), partial(row, "sales_order")
purchase_order, transaction = partial(row, "purchase_order"), partial(row, "transaction")
payment = partial(row, "payment")


# --------------------------------------------------------------------------- inputs

# What the reason of each rule says.
WORDS = {
    "not_null": "must not be NULL",
    "is_int": "must fit into four bytes",
    "fits_decimal": "without rounding",
    "is_date": "must be a date YYYY-MM-DD from 1970-01-01 to 2100-12-31",
    "is_timestamp": "must be a time from 1970-01-01 to 2100-12-31",
    "minimum": "must be 0 or more",
    "pattern": "must match ^[A-Z]{3}$",
    "iso_4217": "ISO 4217",
    "one_of": "must be one of SALE, PURCHASE",
    "reference": "must be in ",
}


class Broken(NamedTuple):
    """A rule that a row breaks. `more`: what its reason says besides the rule's own words."""

    column: str
    rule: str
    more: str = ""

    def explains(self, reason: str) -> bool:
        return reason.startswith(f"{self.column} ") and WORDS[self.rule] in reason and self.more in reason


@dataclass(frozen=True)
class Input:
    """A row, what becomes of it, and the rules that it breaks: its reasons, or what is reported while it arrives.

    `waits`: whether it is set aside only because of another row; None where nobody has said.
    """

    row: Row
    outcome: Literal["quarantined", "arrives"]
    broken: tuple[Broken, ...] = ()
    waits: bool | None = None

    def __str__(self) -> str:
        return f"{self.row} {self.outcome}"


def quarantined(bad: Row, *broken: tuple[str, str] | tuple[str, str, str]) -> Input:
    """Something is wrong with the row itself."""
    rules = tuple(Broken(*rule) for rule in broken)
    return Input(bad, "quarantined", rules, waits=None if any(rule.rule == "reference" for rule in rules) else False)


def dragged(along: Row, column: str, *, by: Row, **also: str) -> Input:
    """The row refers to one that is in quarantine. `also`: column and rule, where it breaks others of its own."""
    target = model.SOURCE[along.table].column(column).references
    blocked = Broken(column, "reference", f"{target}: {by.key} is in quarantine")
    return Input(along, "quarantined", (blocked, *(Broken(*rule) for rule in also.items())), waits=not also)


def arrives(good: Row, *reported: tuple[str, str]) -> Input:
    """The row is shown as it is. `reported`: the rules (info) that it breaks."""
    return Input(good, "arrives", tuple(Broken(*rule) for rule in reported))


# --------------------------------------------------------------------------- a source that takes them


def relax(connection: Connection) -> None:
    """Take away what keeps a source clean: references, NOT NULL, narrow types. Primary keys stay."""
    for table in model.SOURCE.values():
        name = identifier(table.name)
        for column in table.columns:
            if column.references:
                constraint = identifier(f"{table.name}_{column.name}_fkey")
                connection.run(f"ALTER TABLE {name} DROP CONSTRAINT {constraint}")
    for table in model.SOURCE.values():
        alter = f"ALTER TABLE {identifier(table.name)} ALTER COLUMN "
        for column in table.columns:
            if column.name != table.key:
                connection.run(f"{alter} {identifier(column.name)} DROP NOT NULL")
            if column.type is INT:
                connection.run(f"{alter} {identifier(column.name)} TYPE bigint")
    connection.run("ALTER TABLE currency ALTER COLUMN currency_code TYPE text")


def relax_keys(connection: Connection) -> None:
    """Take the primary keys away too."""
    for table in model.SOURCE.values():
        name, key = identifier(table.name), identifier(table.key)
        connection.run(f"ALTER TABLE {name} DROP CONSTRAINT {identifier(f'{table.name}_pkey')}")
        connection.run(f"ALTER TABLE {name} ALTER COLUMN {key} DROP IDENTITY")
        connection.run(f"ALTER TABLE {name} ALTER COLUMN {key} DROP NOT NULL")


def insert(connection: Connection, rows: Iterable[Row]) -> None:
    """Insert the rows. Values are as PostgreSQL reads them: a number may be the text `NaN`, a time `infinity`."""
    for table, of_table in groupby(sorted(rows, key=lambda one: one.table), key=lambda one: one.table):
        name = identifier(table)
        connection.run(
            f"INSERT INTO {name} SELECT * FROM json_populate_recordset(CAST(NULL AS {name}), CAST(:rows AS json))",
            rows=json.dumps([one.values for one in of_table], ensure_ascii=False),
        )


def replace(connection: Connection, rows: Iterable[Row]) -> None:
    """Put the rows in the place of those that have their keys, where there are any."""
    rows = list(rows)
    for one in rows:
        table = model.SOURCE[one.table]
        connection.run(f"DELETE FROM {identifier(table.name)} WHERE {identifier(table.key)} = :key", key=one.key)
    insert(connection, rows)


def crowd(connection: Connection, table: str, like: int, rows: int) -> None:
    """Insert so many copies of a row, with keys from 1,000,001 on: beside them, a few bad rows are few."""
    key, *others = map(identifier, model.SOURCE[table].column_names)
    connection.run(
        f"INSERT INTO {identifier(table)} ({', '.join((key, *others))}) SELECT 1000000 + n, {', '.join(others)}"
        f" FROM {identifier(table)}, generate_series(1, CAST(:rows AS int)) n WHERE {key} = CAST(:like AS int)",
        like=like,
        rows=rows,
    )
