"""THE model: every table of the source and of the star, said once. All else is derived from this file.

Read it top-down: a source table with its contract, then the dimensions and facts that are made of them.
Schemas, DDL, merge keys, quality gates and `docs/data-dictionary.md` follow from what stands here.
"""

from hashlib import sha256

from retail_etl.schema import (
    BIGINT,
    BOOLEAN,
    DATE,
    DATE_TEXT,
    FLOAT,
    INT,
    TEXT,
    TEXTS,
    TIME,
    TIMESTAMP,
    Column,
    Relation,
    SourceTable,
    StarTable,
    decimal,
)

PRICE = decimal(10, 2, warehouse="numeric(10,2)")
AMOUNT = decimal(18, 4)

_AUDIT = (
    Column("created_at", TIMESTAMP, "When the application made the row, by its own clock."),
    Column("last_updated", TIMESTAMP, "When it changed the row last. NULL is read as created_at.", nullable=True),
)

_AGREED_DATES = (
    Relation("not_before", ("agreed_delivery_date", "created_at")),
    Relation("not_before", ("agreed_payment_date", "created_at")),
)

# ---------------------------------------- source: small tables, read whole

ADDRESS = SourceTable(
    "address",
    "One row per postal address.",
    key="address_id",
    extract="snapshot",
    columns=(
        Column("address_id", INT),
        Column("address_line_1", TEXT),
        Column("address_line_2", TEXT, nullable=True),
        Column("district", TEXT, nullable=True),
        Column("city", TEXT),
        Column("postal_code", TEXT),
        Column("country", TEXT),
        Column("phone", TEXT),
        *_AUDIT,
    ),
)

COUNTERPARTY = SourceTable(
    "counterparty",
    "One row per company that is traded with.",
    key="counterparty_id",
    extract="snapshot",
    columns=(
        Column("counterparty_id", INT),
        Column("counterparty_legal_name", TEXT),
        Column("legal_address_id", INT, references="address.address_id"),
        Column("commercial_contact", TEXT, nullable=True),
        Column("delivery_contact", TEXT, nullable=True),
        *_AUDIT,
    ),
)

CURRENCY = SourceTable(
    "currency",
    "One row per currency.",
    key="currency_id",
    extract="snapshot",
    columns=(
        Column("currency_id", INT),
        Column("currency_code", TEXT, "ISO 4217.", pattern="^[A-Z]{3}$", standard="iso_4217"),
        *_AUDIT,
    ),
)

DEPARTMENT = SourceTable(
    "department",
    "One row per department of the company.",
    key="department_id",
    extract="snapshot",
    columns=(
        Column("department_id", INT),
        Column("department_name", TEXT),
        Column("location", TEXT, nullable=True),
        Column("manager", TEXT, nullable=True),
        *_AUDIT,
    ),
)

DESIGN = SourceTable(
    "design",
    "One row per design of a product.",
    key="design_id",
    extract="snapshot",
    columns=(
        Column("design_id", INT),
        Column("design_name", TEXT),
        Column("file_location", TEXT),
        Column("file_name", TEXT),
        *_AUDIT,
    ),
)

STAFF = SourceTable(
    "staff",
    "One row per member of staff.",
    key="staff_id",
    extract="snapshot",
    columns=(
        Column("staff_id", INT),
        Column("first_name", TEXT),
        Column("last_name", TEXT),
        Column("department_id", INT, references="department.department_id"),
        Column("email_address", TEXT),
        *_AUDIT,
    ),
)

PAYMENT_TYPE = SourceTable(
    "payment_type",
    "One row per kind of payment.",
    key="payment_type_id",
    extract="snapshot",
    columns=(
        Column("payment_type_id", INT),
        Column("payment_type_name", TEXT),
        *_AUDIT,
    ),
)

# ---------------------------------------- source: large tables, read from their fence

SALES_ORDER = SourceTable(
    "sales_order",
    "One row per order that a counterparty placed.",
    key="sales_order_id",
    extract="incremental",
    relations=_AGREED_DATES,
    fresh_within_hours=24,
    columns=(
        Column("sales_order_id", INT),
        Column("design_id", INT, references="design.design_id"),
        Column("staff_id", INT, references="staff.staff_id"),
        Column("counterparty_id", INT, references="counterparty.counterparty_id"),
        Column("units_sold", INT, minimum=0),
        Column("unit_price", PRICE, "In the order's currency.", minimum=0),
        Column("currency_id", INT, references="currency.currency_id"),
        Column("agreed_delivery_date", DATE_TEXT),
        Column("agreed_payment_date", DATE_TEXT),
        Column("agreed_delivery_location_id", INT, references="address.address_id"),
        *_AUDIT,
    ),
)

PURCHASE_ORDER = SourceTable(
    "purchase_order",
    "One row per order that the company placed.",
    key="purchase_order_id",
    extract="incremental",
    relations=_AGREED_DATES,
    fresh_within_hours=24,
    columns=(
        Column("purchase_order_id", INT),
        Column("staff_id", INT, references="staff.staff_id"),
        Column("counterparty_id", INT, references="counterparty.counterparty_id"),
        Column("item_code", TEXT),
        Column("item_quantity", INT, minimum=0),
        Column("item_unit_price", AMOUNT, "In the order's currency.", minimum=0),
        Column("currency_id", INT, references="currency.currency_id"),
        Column("agreed_delivery_date", DATE_TEXT),
        Column("agreed_payment_date", DATE_TEXT),
        Column("agreed_delivery_location_id", INT, references="address.address_id"),
        *_AUDIT,
    ),
)

TRANSACTION = SourceTable(
    "transaction",
    "One row per transaction, which belongs to one sales order or one purchase order.",
    key="transaction_id",
    extract="incremental",
    relations=(
        Relation(
            "one_by_type", ("transaction_type", "sales_order_id", "purchase_order_id"), values=("SALE", "PURCHASE")
        ),
    ),
    fresh_within_hours=24,
    columns=(
        Column("transaction_id", INT),
        Column("transaction_type", TEXT, one_of=("SALE", "PURCHASE")),
        Column("sales_order_id", INT, nullable=True, references="sales_order.sales_order_id"),
        Column("purchase_order_id", INT, nullable=True, references="purchase_order.purchase_order_id"),
        *_AUDIT,
    ),
)

PAYMENT = SourceTable(
    "payment",
    "One row per payment of a transaction, due or paid.",
    key="payment_id",
    extract="incremental",
    fresh_within_hours=24,
    columns=(
        Column("payment_id", INT),
        Column("transaction_id", INT, references="transaction.transaction_id"),
        Column("counterparty_id", INT, references="counterparty.counterparty_id"),
        Column("payment_amount", AMOUNT, "In the payment's currency."),
        Column("currency_id", INT, references="currency.currency_id"),
        Column("payment_type_id", INT, references="payment_type.payment_type_id"),
        Column("paid", BOOLEAN),
        Column("payment_date", DATE_TEXT),
        Column("company_ac_number", INT),
        Column("counterparty_ac_number", INT),
        *_AUDIT,
    ),
)

# ---------------------------------------- star: dimensions, in the order of publishing

DIM_DATE = StarTable(
    "dim_date",
    "One row per day from the first to the last date that any fact names, without holes.",
    key="date_id",
    sources=(),
    by_day=True,
    columns=(
        Column("date_id", DATE),
        Column("year", INT),
        Column("month", INT),
        Column("day", INT),
        Column("day_of_week", INT, "Monday is 1, Sunday is 7."),
        Column("day_name", TEXT, "In English."),
        Column("month_name", TEXT, "In English."),
        Column("quarter", INT),
    ),
)

DIM_STAFF = StarTable(
    "dim_staff",
    "One row per member of staff, with the department as it is now.",
    key="staff_id",
    sources=("staff", "department"),
    columns=(
        Column("staff_id", INT),
        Column("first_name", TEXT),
        Column("last_name", TEXT),
        Column("department_name", TEXT, origin="department.department_name"),
        Column("location", TEXT, "Of the department; empty where it has none.", origin="department.location"),
        Column("email_address", TEXT),
    ),
)

DIM_LOCATION = StarTable(
    "dim_location",
    "One row per postal address that things are delivered to.",
    key="location_id",
    sources=("address",),
    columns=(
        Column("location_id", INT, origin="address_id"),
        Column("address_line_1", TEXT),
        Column("address_line_2", TEXT, nullable=True),
        Column("district", TEXT, nullable=True),
        Column("city", TEXT),
        Column("postal_code", TEXT),
        Column("country", TEXT),
        Column("phone", TEXT),
    ),
)

DIM_CURRENCY = StarTable(
    "dim_currency",
    "One row per currency.",
    key="currency_id",
    sources=("currency",),
    columns=(
        Column("currency_id", INT),
        Column("currency_code", TEXT, "ISO 4217."),
        Column("currency_name", TEXT, "The name that ISO 4217 gives the code, in English."),
    ),
)

DIM_DESIGN = StarTable(
    "dim_design",
    "One row per design of a product.",
    key="design_id",
    sources=("design",),
    columns=(
        Column("design_id", INT),
        Column("design_name", TEXT),
        Column("file_location", TEXT),
        Column("file_name", TEXT),
    ),
)

DIM_COUNTERPARTY = StarTable(
    "dim_counterparty",
    "One row per company that is traded with, with its legal address as it is now.",
    key="counterparty_id",
    sources=("counterparty", "address"),
    columns=(
        Column("counterparty_id", INT),
        Column("counterparty_legal_name", TEXT),
        Column("counterparty_legal_address_line_1", TEXT, origin="address.address_line_1"),
        Column("counterparty_legal_address_line_2", TEXT, nullable=True, origin="address.address_line_2"),
        Column("counterparty_legal_district", TEXT, nullable=True, origin="address.district"),
        Column("counterparty_legal_city", TEXT, origin="address.city"),
        Column("counterparty_legal_postal_code", TEXT, origin="address.postal_code"),
        Column("counterparty_legal_country", TEXT, origin="address.country"),
        Column("counterparty_legal_phone_number", TEXT, origin="address.phone"),
    ),
)

DIM_PAYMENT_TYPE = StarTable(
    "dim_payment_type",
    "One row per kind of payment.",
    key="payment_type_id",
    sources=("payment_type",),
    columns=(
        Column("payment_type_id", INT),
        Column("payment_type_name", TEXT),
    ),
)

DIM_TRANSACTION = StarTable(
    "dim_transaction",
    "One row per transaction.",
    key="transaction_id",
    sources=("transaction",),
    large=True,
    columns=(
        Column("transaction_id", INT),
        Column("transaction_type", TEXT),
        Column("sales_order_id", INT, nullable=True, references="fact_sales_order.sales_order_id"),
        Column("purchase_order_id", INT, nullable=True, references="fact_purchase_order.purchase_order_id"),
    ),
)

# ---------------------------------------- star: facts


def _version_columns(last_updated_time: str) -> tuple[Column, ...]:
    return (
        Column("created_date", DATE, references="dim_date.date_id", origin="created_at"),
        Column("created_time", TIME, origin="created_at"),
        Column(
            "last_updated_date", DATE, "Tells versions apart.", references="dim_date.date_id", origin="last_updated"
        ),
        Column(last_updated_time, TIME, "Tells versions apart.", origin="last_updated"),
    )


FACT_SALES_ORDER = StarTable(
    "fact_sales_order",
    "One row per version of a sales order.",
    key="sales_order_id",
    serial="sales_record_id",
    sources=("sales_order",),
    columns=(
        Column("sales_order_id", INT),
        *_version_columns("last_updated_time"),
        Column("sales_staff_id", INT, references="dim_staff.staff_id", origin="staff_id"),
        Column("counterparty_id", INT, references="dim_counterparty.counterparty_id"),
        Column("units_sold", INT, is_additive=True),
        Column("unit_price", PRICE, "In the order's currency.", is_additive=True),
        Column("currency_id", INT, references="dim_currency.currency_id"),
        Column("design_id", INT, references="dim_design.design_id"),
        Column("agreed_payment_date", DATE, references="dim_date.date_id"),
        Column("agreed_delivery_date", DATE, references="dim_date.date_id"),
        Column("agreed_delivery_location_id", INT, references="dim_location.location_id"),
    ),
)

FACT_PURCHASE_ORDER = StarTable(
    "fact_purchase_order",
    "One row per version of a purchase order.",
    key="purchase_order_id",
    serial="purchase_record_id",
    sources=("purchase_order",),
    columns=(
        Column("purchase_order_id", INT),
        *_version_columns("last_updated_time"),
        Column("staff_id", INT, references="dim_staff.staff_id"),
        Column("counterparty_id", INT, references="dim_counterparty.counterparty_id"),
        Column("item_code", TEXT),
        Column("item_quantity", INT, is_additive=True),
        Column("item_unit_price", AMOUNT, "In the order's currency.", is_additive=True),
        Column("currency_id", INT, references="dim_currency.currency_id"),
        Column("agreed_delivery_date", DATE, references="dim_date.date_id"),
        Column("agreed_payment_date", DATE, references="dim_date.date_id"),
        Column("agreed_delivery_location_id", INT, references="dim_location.location_id"),
    ),
)

FACT_PAYMENT = StarTable(
    "fact_payment",
    "One row per version of a payment.",
    key="payment_id",
    serial="payment_record_id",
    sources=("payment",),
    columns=(
        Column("payment_id", INT),
        *_version_columns("last_updated"),
        Column("transaction_id", INT, references="dim_transaction.transaction_id"),
        Column("counterparty_id", INT, references="dim_counterparty.counterparty_id"),
        Column("payment_amount", AMOUNT, "In the payment's currency.", is_additive=True),
        Column("currency_id", INT, references="dim_currency.currency_id"),
        Column("payment_type_id", INT, references="dim_payment_type.payment_type_id"),
        Column("paid", BOOLEAN),
        Column("payment_date", DATE, references="dim_date.date_id"),
    ),
)

# ---------------------------------------- control: what became of source rows

DELETED_RECORD = StarTable(
    "deleted_record",
    "One row per time that a source row was found missing, or found back.",
    key="record_id",
    sources=(),
    is_control=True,
    columns=(
        Column("table_name", TEXT, "The source table."),
        Column("record_id", INT, "The row's key in it."),
        Column("is_deleted", BOOLEAN, "Whether it was missing; the last batch says what holds."),
        Column("found_at", TIMESTAMP, "When the batch was taken that found it so, in UTC."),
    ),
)

QUARANTINE = StarTable(
    "quarantine",
    "One row per time that a source row was set aside, for whatever reason and in whatever state, or came in.",
    key="record_id",
    sources=(),
    is_control=True,
    in_warehouse=False,
    columns=(
        Column("table_name", TEXT, "The source table."),
        Column("record_id", BIGINT, "The row's key in it."),
        Column("is_held", BOOLEAN, "Whether it was set aside; the last batch says what holds."),
        Column("waits", BOOLEAN, "Whether it was set aside only because of another row: every run looks at it again."),
        Column("reasons", TEXTS, "The rules that it broke; or how it left."),
        Column("row", TEXT, "The whole row as JSON, as it was extracted; NULL where it left.", nullable=True),
        Column("found_at", TIMESTAMP, "When the batch was taken, in UTC."),
    ),
)

QUALITY_RESULT = StarTable(
    "quality_result",
    "One row per expectation that a gate evaluated on a table of a batch.",
    key="expectation",
    sources=(),
    is_control=True,
    in_warehouse=False,
    columns=(
        Column("layer", TEXT, "The gate: raw or star."),
        Column("table_name", TEXT),
        Column("expectation", TEXT, "The kind of rule."),
        Column("subject", TEXT, "The columns that it is about."),
        Column("severity", TEXT, "critical, warning or info."),
        Column("success", BOOLEAN),
        Column("evaluated", BIGINT, "How many rows were looked at."),
        Column("unexpected", BIGINT, "How many of them broke it."),
        Column("sample_keys", TEXTS, "Up to five keys of those."),
        Column("seconds", FLOAT, "What all expectations of the table took together."),
        Column("validated_at", TIMESTAMP, "In UTC."),
    ),
)

SOURCE: dict[str, SourceTable] = {
    table.name: table
    for table in (
        ADDRESS, COUNTERPARTY, CURRENCY, DEPARTMENT, DESIGN, STAFF, PAYMENT_TYPE,
        SALES_ORDER, PURCHASE_ORDER, TRANSACTION, PAYMENT,
    )
}  # fmt: skip
"""The source tables by name, a table after those it refers to or beside them."""

STAR: dict[str, StarTable] = {
    table.name: table
    for table in (
        DIM_DATE, DIM_STAFF, DIM_LOCATION, DIM_CURRENCY, DIM_DESIGN, DIM_COUNTERPARTY, DIM_PAYMENT_TYPE,
        DIM_TRANSACTION, FACT_SALES_ORDER, FACT_PURCHASE_ORDER, FACT_PAYMENT, DELETED_RECORD,
        QUARANTINE,
    )
}  # fmt: skip
"""The star tables by name, in the order in which they are published: no fact is seen without its dimension."""

WAREHOUSE: dict[str, StarTable] = {name: table for name, table in STAR.items() if table.in_warehouse}
"""Those of them that are loaded."""

SHOWN_BY: dict[str, StarTable] = {table.sources[0]: table for table in STAR.values() if table.sources}
"""Source table → the star table with a row for each of its rows; `department` has none."""


def additive(source: str) -> tuple[str, ...]:
    """The columns of a source table whose sums must be the same in source, raw zone and star."""
    star = SHOWN_BY.get(source)
    return star.additive_columns if star else ()


def contract_version() -> str:
    """A short hash of the source tables' contract: two manifests with the same one were read by the same rules."""
    return sha256(repr(tuple(SOURCE.values())).encode()).hexdigest()[:12]
