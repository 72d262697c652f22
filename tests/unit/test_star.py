from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from retail_etl import model, spark, star
from retail_etl.schema import SourceTable, StarTable


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder: Path = tmp_path_factory.mktemp("lake")
    return spark.session(str(folder))


def test_a_department_without_a_location_gives_staff_an_empty_one(session: SparkSession) -> None:
    staff = session.createDataFrame(
        [(5, "Ada", "Byron", 1, "ada@example.com", "2024-01-01T00:00:00", None, 3)], _raw(model.STAFF)
    )
    department = session.createDataFrame(
        [(1, "Sales", None, None, "2024-01-01T00:00:00", None, 3)], _raw(model.DEPARTMENT)
    )
    expected = session.createDataFrame([(5, "Ada", "Byron", "Sales", "", "ada@example.com", 3)], _lake(model.DIM_STAFF))
    assert_df_equality(star.dim_staff(staff, department), expected, ignore_nullable=True)


def test_a_payment_keeps_its_decimals_and_microseconds_and_null_last_updated_is_created_at(
    session: SparkSession,
) -> None:
    payment = session.createDataFrame(
        [(7, 4, 2, "12345678901234.5678", 1, 1, True, "2024-02-29", 8, 9, "2024-02-27T14:20:52.000001", None, 3)],
        _raw(model.PAYMENT),
    )
    created = (date(2024, 2, 27), "14:20:52.000001")
    amount = Decimal("12345678901234.5678")
    expected = session.createDataFrame(
        [(7, *created, *created, 4, 2, amount, 1, 1, True, date(2024, 2, 29), 3)],
        _lake(model.FACT_PAYMENT),
    )
    assert_df_equality(star.fact_payment(payment), expected, ignore_nullable=True)


def test_a_currency_has_the_name_of_iso_4217_and_none_where_it_is_unknown(session: SparkSession) -> None:
    currency = session.createDataFrame(
        [(1, "EUR", "2024-01-01T00:00:00", None, 3), (2, "XQX", "2024-01-01T00:00:00", None, 3)],
        _raw(model.CURRENCY),
    )
    expected = session.createDataFrame([(1, "EUR", "Euro", 3), (2, "XQX", None, 3)], _lake(model.DIM_CURRENCY))
    assert_df_equality(star.dim_currency(currency), expected, ignore_nullable=True)


def test_the_calendar_has_no_holes_and_a_day_is_of_the_batch_that_reached_it_first(session: SparkSession) -> None:
    span = session.createDataFrame(
        [
            (3, date(2024, 2, 29), date(2024, 2, 29)),
            (3, date(2024, 2, 29), date(2024, 3, 1)),
            (4, date(2024, 2, 28), date(2024, 2, 28)),
            (5, date(2024, 2, 28), date(2024, 3, 1)),
        ],
        "batch_id bigint, first_date date, last_date date",
    )
    expected = session.createDataFrame(
        [
            (date(2024, 2, 28), 2024, 2, 28, 3, "Wednesday", "February", 1, 4),
            (date(2024, 2, 29), 2024, 2, 29, 4, "Thursday", "February", 1, 3),
            (date(2024, 3, 1), 2024, 3, 1, 5, "Friday", "March", 1, 3),
        ],
        _lake(model.DIM_DATE),
    )
    assert_df_equality(star.dim_date(span), expected, ignore_nullable=True, ignore_row_order=True)


def test_a_member_of_staff_has_the_department_that_the_same_batch_showed(session: SparkSession) -> None:
    ada = (5, "Ada", "Byron", 1, "ada@example.com", "2024-01-01T00:00:00", None)
    staff = session.createDataFrame([(*ada, 3), (*ada, 4)], _raw(model.STAFF))
    department = session.createDataFrame(
        [
            (1, "Sales", "Leeds", None, "2024-01-01T00:00:00", None, 3),
            (1, "Sales", "York", None, "2024-01-01T00:00:00", None, 4),
        ],
        _raw(model.DEPARTMENT),
    )
    shown = star.dim_staff(staff, department).select("location", "batch_id").sort("batch_id").collect()
    assert shown == [("Leeds", 3), ("York", 4)]


def _raw(table: SourceTable) -> str:
    return table.spark_schema("raw") + ", batch_id bigint"


def _lake(table: StarTable) -> str:
    return table.spark_schema("lake") + ", batch_id bigint"
