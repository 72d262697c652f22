"""The star: one pure function for each dimension and fact. DataFrames in, DataFrame out, no I/O.

A function is named after its table and its parameters after the model's sources. Source frames have the raw zone's
schema: numbers that could be rounded, dates and times are text, and the raw gate has seen that all of it parses.
Beside it stands `batch_id`: the batch that showed the row so. A frame may hold one batch, or all that ever were.
"""

from collections.abc import Callable
from itertools import chain

import pycountry
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from retail_etl import model
from retail_etl.schema import BATCH_ID, StarTable


def dim_staff(staff: DataFrame, department: DataFrame) -> DataFrame:
    """One row per member of staff, with the department as it is now."""
    department = department.select(BATCH_ID, "department_id", "department_name", "location")
    joined = staff.join(department, on=[BATCH_ID, "department_id"], how="inner")
    return _select(
        model.DIM_STAFF,
        joined,
        location=F.coalesce("location", F.lit("")),
    )


def dim_location(address: DataFrame) -> DataFrame:
    """One row per postal address."""
    return _select(model.DIM_LOCATION, address, location_id=F.col("address_id"))


def dim_currency(currency: DataFrame) -> DataFrame:
    """One row per currency; its name is NULL where ISO 4217 does not know the code."""
    names = F.create_map(*(F.lit(text) for text in chain.from_iterable(_currency_names().items())))
    return _select(model.DIM_CURRENCY, currency, currency_name=F.try_element_at(names, F.col("currency_code")))


def dim_design(design: DataFrame) -> DataFrame:
    """One row per design."""
    return _select(model.DIM_DESIGN, design)


def dim_counterparty(counterparty: DataFrame, address: DataFrame) -> DataFrame:
    """One row per counterparty, with its legal address as it is now."""
    legal_address = address.select(
        BATCH_ID,
        F.col("address_id").alias("legal_address_id"),
        F.col("address_line_1").alias("counterparty_legal_address_line_1"),
        F.col("address_line_2").alias("counterparty_legal_address_line_2"),
        F.col("district").alias("counterparty_legal_district"),
        F.col("city").alias("counterparty_legal_city"),
        F.col("postal_code").alias("counterparty_legal_postal_code"),
        F.col("country").alias("counterparty_legal_country"),
        F.col("phone").alias("counterparty_legal_phone_number"),
    )
    joined = counterparty.join(legal_address, on=[BATCH_ID, "legal_address_id"], how="inner")
    return _select(model.DIM_COUNTERPARTY, joined)


def dim_payment_type(payment_type: DataFrame) -> DataFrame:
    """One row per kind of payment."""
    return _select(model.DIM_PAYMENT_TYPE, payment_type)


def dim_transaction(transaction: DataFrame) -> DataFrame:
    """One row per transaction."""
    return _select(model.DIM_TRANSACTION, transaction)


def fact_sales_order(sales_order: DataFrame) -> DataFrame:
    """One row per sales order, in the version that the batch saw."""
    return _select(
        model.FACT_SALES_ORDER,
        sales_order,
        **_version("last_updated_time"),
        sales_staff_id=F.col("staff_id"),
    )


def fact_purchase_order(purchase_order: DataFrame) -> DataFrame:
    """One row per purchase order, in the version that the batch saw."""
    return _select(model.FACT_PURCHASE_ORDER, purchase_order, **_version("last_updated_time"))


def fact_payment(payment: DataFrame) -> DataFrame:
    """One row per payment, in the version that the batch saw."""
    return _select(model.FACT_PAYMENT, payment, **_version("last_updated"))


def dim_date(span: DataFrame) -> DataFrame:
    """One row per day, of the first batch that made the calendar long enough. `span`: rows (`batch_id`, `first_date`,
    `last_date`); all days from the least first to the greatest last one are there, none where there is no such row.
    """
    so_far = Window.orderBy(BATCH_ID).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    calendars = span.select(
        BATCH_ID, F.min("first_date").over(so_far).alias("first"), F.max("last_date").over(so_far).alias("last")
    )
    grown = calendars.groupBy("first", "last").agg(F.min(BATCH_ID).alias(BATCH_ID))
    days = (
        grown.select(BATCH_ID, F.explode(F.sequence("first", "last")).alias("date_id"))
        .groupBy("date_id")
        .agg(F.min(BATCH_ID).alias(BATCH_ID))
    )
    day = F.col("date_id")
    return _select(
        model.DIM_DATE,
        days,
        year=F.year(day),
        month=F.month(day),
        day=F.dayofmonth(day),
        day_of_week=F.weekday(day) + 1,
        day_name=F.date_format(day, "EEEE"),
        month_name=F.date_format(day, "MMMM"),
        quarter=F.quarter(day),
    )


BUILDERS: dict[str, Callable[..., DataFrame]] = {
    builder.__name__: builder
    for builder in (
        dim_staff,
        dim_location,
        dim_currency,
        dim_design,
        dim_counterparty,
        dim_payment_type,
        dim_transaction,
        fact_sales_order,
        fact_purchase_order,
        fact_payment,
    )
}
"""Star table → the function that makes it of its sources. `dim_date` is made of the facts instead."""


def last_updated() -> Column:
    """When a source row was last updated, as ISO text that sorts like the time; created_at where it is NULL."""
    return F.coalesce("last_updated", "created_at")


def _select(table: StarTable, frame: DataFrame, **made: Column) -> DataFrame:
    """The table's columns in the model's order and types, those that are `made` and the others as the frame has them;
    then `batch_id`.
    """
    return frame.select(
        *(
            made.get(column.name, F.col(column.name)).cast(column.type.lake).alias(column.name)
            for column in table.columns
        ),
        BATCH_ID,
    )


def _version(last_updated_time: str) -> dict[str, Column]:
    created, updated = F.col("created_at"), last_updated()
    return {
        "created_date": _date(created),
        "created_time": _time(created),
        "last_updated_date": _date(updated),
        last_updated_time: _time(updated),
    }


def _date(iso: Column) -> Column:
    return iso.cast("date")  # up to the T


def _time(iso: Column) -> Column:
    """`HH:MM:SS.ffffff` of an ISO text, whose fraction may be shorter or missing."""
    # Not by place: Spark counts a text's characters before it cuts a part out of it.
    of_day = F.substring_index(iso, "T", -1)
    has_fraction = F.octet_length(of_day) > len("HH:MM:SS")
    return F.rpad(F.when(has_fraction, of_day).otherwise(F.concat(of_day, F.lit("."))), len("HH:MM:SS.ffffff"), "0")


def _currency_names() -> dict[str, str]:
    return {currency.alpha_3: currency.name for currency in pycountry.currencies}
