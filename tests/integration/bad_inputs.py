"""The corpus: a row each, what becomes of it, and why. All of `INPUTS` fit into one source, each with its own key.

In `LATER` are changes to that source once a batch has seen it.
"""

from retail_etl import model
from retail_etl.schema import TEXT
from tests.integration.bad_rows import (
    Input,
    address,
    arrives,
    counterparty,
    currency,
    department,
    design,
    dragged,
    payment,
    payment_type,
    purchase_order,
    quarantined,
    row,
    sales_order,
    staff,
    transaction,
)

CROWD = 9_000
"""Good rows beside them in each large table, of which one in a hundred may be bad."""

# --------------------------------------------------------------------------- NULL, where a value must be

NULLS = [
    quarantined(row(table.name, 1001 + number, **{column.name: None}), (column.name, "not_null"))
    for table in model.SOURCE.values()
    for number, column in enumerate(table.columns)
    if not column.nullable and column.name != table.key
]

# --------------------------------------------------------------------------- dates and times

_NO_DATES = (
    "2023-02-30", "2023-02-29", "2100-02-29", "2024-13-01", "2024-00-10", "2024-01-32", "0000-00-00",
    "", "   ", " 2024-01-01", "2024-01-01 ", "2024-01-01\n", "2024-01-01\u200b",
    "2024-1-1", "24-01-01", "12024-01-01", "-2024-01-01", "+2024-01-01", "20240101", "01/02/2024", "2024-W01-1",
    "2024-01-01T00:00", "2024-01-01 00:00:00", "2024\u201301\u201301", "٢٠٢٤-٠١-٠١", "２０２４-０１-０１",
    "1969-12-31", "2101-01-01", "9999-12-31", "infinity", "today", "epoch", "NULL", "2024-01-01'; --",
)  # fmt: skip
_NO_TIMES = (
    "infinity", "-infinity", "1066-10-14 09:00", "1969-12-31 23:59:59.999", "2101-01-01", "2200-01-01 12:00",
    "12345-06-07 08:09:10.11", "0044-03-15 12:00 BC",
)  # fmt: skip

DATES = [
    *(
        quarantined(sales_order(1101 + number, agreed_payment_date=text), ("agreed_payment_date", "is_date"))
        for number, text in enumerate(_NO_DATES)
    ),
    quarantined(sales_order(1151, agreed_delivery_date="2023-02-30"), ("agreed_delivery_date", "is_date")),
    quarantined(purchase_order(1101, agreed_delivery_date=""), ("agreed_delivery_date", "is_date")),
    quarantined(purchase_order(1102, agreed_payment_date="2101-01-01"), ("agreed_payment_date", "is_date")),
    quarantined(payment(1101, payment_date="0000-00-00"), ("payment_date", "is_date")),
    quarantined(payment(1102, payment_date="2024-1-1"), ("payment_date", "is_date")),
    quarantined(
        purchase_order(1103, agreed_delivery_date="soon", agreed_payment_date="later"),
        ("agreed_delivery_date", "is_date"),
        ("agreed_payment_date", "is_date"),
    ),
    arrives(sales_order(1161, agreed_payment_date="2024-02-29")),
    arrives(sales_order(1162, agreed_payment_date="2100-12-31")),
    arrives(payment(1161, payment_date="1970-01-01")),
]

TIMES = [
    *(
        quarantined(sales_order(1201 + number, last_updated=text), ("last_updated", "is_timestamp"))
        for number, text in enumerate(_NO_TIMES)
    ),
    *(
        quarantined(purchase_order(1201 + number, created_at=text), ("created_at", "is_timestamp"))
        for number, text in enumerate(_NO_TIMES)
    ),
    quarantined(address(1201, created_at="infinity"), ("created_at", "is_timestamp")),
    quarantined(department(1201, last_updated="-infinity"), ("last_updated", "is_timestamp")),
    quarantined(design(1201, created_at="0044-03-15 12:00 BC"), ("created_at", "is_timestamp")),
    quarantined(payment_type(1201, created_at="1066-10-14 09:00"), ("created_at", "is_timestamp")),
    quarantined(transaction(1201, created_at="2200-01-01"), ("created_at", "is_timestamp")),
    quarantined(payment(1201, last_updated="infinity"), ("last_updated", "is_timestamp")),
    arrives(sales_order(1261, last_updated=None)),
    arrives(staff(1261, last_updated=None)),
    arrives(purchase_order(1262, created_at="1970-01-01 00:00", last_updated="2100-12-31 23:59:59.999")),
]

# --------------------------------------------------------------------------- numbers

NUMBERS = [
    quarantined(sales_order(1301, units_sold=2147483648), ("units_sold", "is_int")),
    quarantined(sales_order(1302, units_sold=-2147483649), ("units_sold", "is_int"), ("units_sold", "minimum")),
    quarantined(sales_order(1303, units_sold=-1), ("units_sold", "minimum")),
    quarantined(sales_order(1304, unit_price="1.005"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(1305, unit_price="123456789.00"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(1306, unit_price="NaN"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(1307, unit_price="Infinity"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(1308, unit_price="-Infinity"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(1309, unit_price="-0.01"), ("unit_price", "minimum")),
    quarantined(sales_order(1310, unit_price="1e60"), ("unit_price", "fits_decimal")),
    # The 19th decimal: one more than the widest decimal that it is compared as.
    quarantined(sales_order(1311, unit_price="1.0000000000000000001"), ("unit_price", "fits_decimal")),
    quarantined(sales_order(2147483648), ("sales_order_id", "is_int")),
    quarantined(design(9223372036854775807), ("design_id", "is_int")),
    quarantined(purchase_order(1301, item_quantity=2147483648), ("item_quantity", "is_int")),
    quarantined(purchase_order(1302, item_quantity=-1), ("item_quantity", "minimum")),
    quarantined(purchase_order(1303, item_unit_price="0.00001"), ("item_unit_price", "fits_decimal")),
    quarantined(purchase_order(1304, item_unit_price="-0.0001"), ("item_unit_price", "minimum")),
    quarantined(payment(1301, payment_amount="1000000000000000"), ("payment_amount", "fits_decimal")),
    quarantined(payment(1302, payment_amount="NaN"), ("payment_amount", "fits_decimal")),
    quarantined(payment(1303, company_ac_number=2147483648), ("company_ac_number", "is_int")),
    quarantined(payment(1304, counterparty_ac_number=-2147483649), ("counterparty_ac_number", "is_int")),
    arrives(sales_order(1361, units_sold=0, unit_price="0")),
    arrives(sales_order(1362, units_sold=2147483647, unit_price="99999999.99")),
    arrives(sales_order(1363, unit_price="1.5000")),
    arrives(payment(1361, payment_amount="-99999999999999.9999")),
    arrives(payment(-2147483648, payment_amount="0.0001")),
]

# --------------------------------------------------------------------------- codes

CODES = [
    quarantined(currency(1401, currency_code="gbp"), ("currency_code", "pattern"), ("currency_code", "iso_4217")),
    quarantined(currency(1402, currency_code="EURO"), ("currency_code", "pattern"), ("currency_code", "iso_4217")),
    quarantined(currency(1403, currency_code=""), ("currency_code", "pattern"), ("currency_code", "iso_4217")),
    quarantined(currency(1404, currency_code="G P"), ("currency_code", "pattern"), ("currency_code", "iso_4217")),
    quarantined(currency(1405, currency_code="ZZZ"), ("currency_code", "iso_4217")),
    quarantined(currency(1406, currency_code="GBP\n"), ("currency_code", "iso_4217")),
    quarantined(transaction(1401, transaction_type="sale"), ("transaction_type", "one_of")),
    quarantined(transaction(1402, transaction_type=""), ("transaction_type", "one_of")),
    quarantined(transaction(1403, transaction_type="REFUND"), ("transaction_type", "one_of")),
    quarantined(transaction(1404, transaction_type="SALE "), ("transaction_type", "one_of")),
    quarantined(transaction(1405, transaction_type="S\u0410LE"), ("transaction_type", "one_of")),  # Cyrillic A
    arrives(currency(1461, currency_code="GBP")),  # another row has it too
    arrives(currency(1462, currency_code="XTS")),  # what ISO 4217 keeps for tests
    arrives(transaction(1461, transaction_type="PURCHASE", sales_order_id=None, purchase_order_id=200)),
]

# --------------------------------------------------------------------------- references to what is not there

REFERENCES = [
    quarantined(
        row(table.name, 1501 + number, **{column.name: 99}),
        (column.name, "reference", f"{column.references}: 99 is not there"),
    )
    for table in model.SOURCE.values()
    for number, column in enumerate(table.columns)
    if column.references
] + [
    quarantined(sales_order(1551, staff_id=-5), ("staff_id", "reference", "staff.staff_id: -5 is not there")),
    quarantined(
        payment(1551, transaction_id=2147483649),
        ("transaction_id", "is_int"),
        ("transaction_id", "reference", "transaction.transaction_id: 2147483649 is not there"),
    ),
    quarantined(
        sales_order(1552, staff_id=98, design_id=97, unit_price="-1"),
        ("staff_id", "reference", "98 is not there"),
        ("design_id", "reference", "97 is not there"),
        ("unit_price", "minimum"),
    ),
]

# --------------------------------------------------------------------------- references to what is in quarantine

_order = sales_order(1601, unit_price="-1")
_sale = transaction(1601, sales_order_id=1601)
_purchase = purchase_order(1601, item_quantity=-1)
_buy = transaction(1602, transaction_type="PURCHASE", sales_order_id=None, purchase_order_id=1601)
DEPARTMENT = department(1601, department_name=None)
STAFF = staff(1601, department_id=1601)
STAFF_ORDER = sales_order(1602, staff_id=1601)
STAFF_SALE = transaction(1603, sales_order_id=1602)
STAFF_PAYMENT = payment(1603, transaction_id=1603)
_address = address(1601, city=None)
_counterparty = counterparty(1601, legal_address_id=1601)
_large_department = department(2147483648)
_currency = currency(1601, currency_code="zzz")

CHAINS = [
    quarantined(_order, ("unit_price", "minimum")),
    dragged(_sale, "sales_order_id", by=_order),
    dragged(payment(1601, transaction_id=1601), "transaction_id", by=_sale),
    quarantined(_purchase, ("item_quantity", "minimum")),
    dragged(_buy, "purchase_order_id", by=_purchase),
    dragged(payment(1602, transaction_id=1602), "transaction_id", by=_buy),
    quarantined(DEPARTMENT, ("department_name", "not_null")),
    dragged(STAFF, "department_id", by=DEPARTMENT),
    dragged(STAFF_ORDER, "staff_id", by=STAFF),
    dragged(STAFF_SALE, "sales_order_id", by=STAFF_ORDER),
    dragged(STAFF_PAYMENT, "transaction_id", by=STAFF_SALE),
    quarantined(_address, ("city", "not_null")),
    dragged(_counterparty, "legal_address_id", by=_address),
    dragged(sales_order(1603, counterparty_id=1601), "counterparty_id", by=_counterparty),
    dragged(purchase_order(1603, agreed_delivery_location_id=1601), "agreed_delivery_location_id", by=_address),
    dragged(payment(1604, counterparty_id=1601), "counterparty_id", by=_counterparty),
    quarantined(_large_department, ("department_id", "is_int")),
    dragged(staff(1602, department_id=2147483648), "department_id", by=_large_department, department_id="is_int"),
    quarantined(_currency, ("currency_code", "pattern"), ("currency_code", "iso_4217")),
    dragged(sales_order(1604, currency_id=1601), "currency_id", by=_currency),
    dragged(payment(1605, currency_id=1601), "currency_id", by=_currency),
    dragged(sales_order(1605, design_id=1201), "design_id", by=design(1201)),
    dragged(payment(1606, payment_type_id=1201), "payment_type_id", by=payment_type(1201)),
    dragged(payment(1607, transaction_id=1403), "transaction_id", by=transaction(1403)),
    dragged(sales_order(1606, staff_id=1601, units_sold=-7), "staff_id", by=STAFF, units_sold="minimum"),
    dragged(transaction(1604, purchase_order_id=1601), "purchase_order_id", by=_purchase),  # its sales order is good
    arrives(sales_order(1661)),
    arrives(transaction(1661, sales_order_id=1661)),
    arrives(payment(1661, transaction_id=1661)),
]

# --------------------------------------------------------------------------- what is only reported

_ONE = ("sales_order_id", "one_by_type")
REPORTED = [
    arrives(sales_order(1701, agreed_delivery_date="2024-02-26"), ("agreed_delivery_date", "not_before")),
    arrives(sales_order(1702, agreed_payment_date="2024-02-26"), ("agreed_payment_date", "not_before")),
    arrives(purchase_order(1701, agreed_delivery_date="2023-12-31"), ("agreed_delivery_date", "not_before")),
    arrives(purchase_order(1702, agreed_payment_date="1970-01-01"), ("agreed_payment_date", "not_before")),
    arrives(transaction(1701, sales_order_id=None), _ONE),
    arrives(transaction(1702, purchase_order_id=200), _ONE),
    arrives(transaction(1703, sales_order_id=None, purchase_order_id=200), _ONE),
    arrives(transaction(1704, transaction_type="PURCHASE"), _ONE),
]

# --------------------------------------------------------------------------- texts: kept to the last byte, shown or not

_TEXTS = (
    "\\.", "\\N", "a\n\\.\nb", "a\\", "\\t\\n\\u0041", '"', "'", '""', "''", '"a,b"\n"c', ",", ";|", "\ta\tb\t",
    "a\r\nb", "a\rb", "a\n", "\n", "a\u2028b\u2029c", "a\u0085b", "\ufeffa", "a\u200b\u2060b\u00ad",
    "\u202eabc\u202c\u200f", "\U0001f469\u200d\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301\u00e9", "\ufffd\U0010fffd",
    '{"a":1}', '{"', "[]", "NaN", "Infinity", "null", "NULL", "true", "007", "1e5", "", "   ", " a ",
    "'; DROP TABLE sales_order; --", "%s {0} ${lake} :key $1", "<b>&amp;</b>",
    "".join(map(chr, range(1, 32))) + "\x7f",
    'x,"\n\\\u20ac' * 2_000,  # 12,000 characters
)  # fmt: skip
_MANY = "".join(_TEXTS[:-1])

TEXTS = [
    *(arrives(design(1801 + number, design_name=text)) for number, text in enumerate(_TEXTS)),
    *(arrives(purchase_order(1801 + number, item_code=text)) for number, text in enumerate(_TEXTS)),
    *(
        quarantined(purchase_order(1901 + number, item_code=text, item_quantity=-1), ("item_quantity", "minimum"))
        for number, text in enumerate(_TEXTS)
    ),
    *(
        arrives(row(name, 1801, **{column.name: _MANY for column in table.columns if column.type is TEXT}))
        for name, table in model.SOURCE.items()
        if name in {"address", "counterparty", "staff", "payment_type"}
    ),
    quarantined(staff(1901, first_name=_MANY, last_name=None), ("last_name", "not_null")),
]

INPUTS: list[Input] = [
    *NULLS, *DATES, *TIMES, *NUMBERS, *CODES, *REFERENCES, *CHAINS, *REPORTED, *TEXTS,
]  # fmt: skip

# --------------------------------------------------------------------------- later: some are mended, others break

MENDED = [
    arrives(sales_order(1304, unit_price="1.01", last_updated="now")),
    arrives(payment(1101, payment_date="2024-02-28", last_updated="now")),
    arrives(currency(1401, currency_code="GBP", last_updated="now")),
    arrives(department(1601, last_updated="now")),
]
RELEASED = [arrives(STAFF), arrives(STAFF_ORDER), arrives(STAFF_SALE), arrives(STAFF_PAYMENT)]
"""They waited for `DEPARTMENT` alone, and nobody touched them since."""

# 5 and 100 are in the star already: whatever is wrong with them now, who refers to them refers to something.
BROKEN_LATER = [
    quarantined(staff(5, email_address=None, last_updated="now"), ("email_address", "not_null")),
    quarantined(
        sales_order(100, agreed_payment_date="tomorrow", last_updated="now"), ("agreed_payment_date", "is_date")
    ),
    # It was bad, and is bad for another reason.
    quarantined(sales_order(1309, units_sold=-1, last_updated="now"), ("units_sold", "minimum")),
]
NEW_LATER = [
    arrives(sales_order(2001, staff_id=5, last_updated="now")),
    arrives(transaction(2001, sales_order_id=100, last_updated="now")),
    dragged(payment(2001, transaction_id=1601, last_updated="now"), "transaction_id", by=_sale),
]
