"""Great Expectations decides, and where it does not answer, or answers wrongly, the gate is closed."""

from dataclasses import replace
from typing import Any

import pytest
from great_expectations.datasource.fluent.interfaces import Batch
from great_expectations.expectations.core import ExpectColumnSumToBeBetween
from pyspark.sql import functions as F

from retail_etl import model, quality, spark
from retail_etl.audit import Audit
from retail_etl.errors import QualityError
from retail_etl.job import Progress
from retail_etl.quality import Evaluation
from retail_etl.schema import SourceTable
from retail_etl.values import Values

GOOD = (1, 9, 5, 2, 7, "361.39", 1, "2024-03-01", "2024-02-28", 3, "2024-02-27T14:20:52.186", "2024-02-27T14:20:52.186")
COLUMNS = list(model.SALES_ORDER.column_names)


def _audit(*rows: tuple[Any, ...], expected: int | None = None) -> Audit:
    session = spark.session("a lake that is not touched")
    schema = f"{model.SALES_ORDER.spark_schema('raw')}, _unreadable string"
    frame = session.createDataFrame([(*row, None) for row in rows], schema)
    count = len(rows) if expected is None else expected
    return Audit(
        model.SALES_ORDER,
        lambda: frame,
        count,
        unreadable="_unreadable",
        there=lambda _, asked: asked & Values([1, 2, 3, 5, 9]),
    )


def _evaluate(audit: Audit) -> Evaluation:
    (found,) = quality.evaluate_all({audit.table.name: audit}, Progress()).values()
    return found


def _row(key: int | None, **changed: Any) -> tuple[Any, ...]:
    row = dict(zip(COLUMNS, GOOD, strict=True)) | {"sales_order_id": key} | changed
    return tuple(row[name] for name in COLUMNS)


@pytest.mark.parametrize(
    ("kind", "rows", "unexpected", "keys"),
    [
        ("not_null", [_row(1), _row(2, staff_id=None), _row(3, staff_id=None)], 2, (2, 3)),
        ("unique", [_row(1), _row(2), _row(2)], 2, (2,)),
        ("is_int", [_row(1), _row(2, units_sold=2**31), _row(3, units_sold=2**31 - 1)], 1, (2,)),
        ("fits_decimal", [_row(1), _row(2, unit_price="1.005"), _row(3, unit_price="NaN")], 2, (2, 3)),
        ("is_date", [_row(1), _row(2, agreed_payment_date="2023-02-30"), _row(3, agreed_payment_date="")], 2, (2, 3)),
        (
            "is_date",
            [_row(1), *(_row(key, agreed_payment_date=f"2024-01-1{end}") for key, end in ((2, " "), (3, "T")))],
            2,
            (2, 3),
        ),
        ("is_timestamp", [_row(1), _row(2, created_at="1066-10-14T00:00:00"), _row(3)], 1, (2,)),
        ("minimum", [_row(1), _row(2, units_sold=-1), _row(3, units_sold=0)], 1, (2,)),
    ],
)
def test_a_rule_that_is_broken_is_named_with_count_and_keys(
    kind: str, rows: list[tuple[Any, ...]], unexpected: int, keys: tuple[int, ...]
) -> None:
    (failure,) = (found for found in _evaluate(_audit(*rows)).failures if found.expectation.kind == kind)
    assert (failure.expectation.kind, failure.unexpected, failure.evaluated, failure.keys) == (
        kind,
        unexpected,
        3,
        keys,
    )


MOMENT = ("2024-02-27T14:20:52.186", None)


@pytest.mark.parametrize(
    ("kind", "table", "rows", "keys"),
    [
        ("pattern", model.CURRENCY, [(1, "GBP", *MOMENT), (2, "gbp", *MOMENT), (3, "EURO", *MOMENT)], (2, 3)),
        (
            "one_of",
            model.TRANSACTION,
            [(1, "SALE", 7, None, *MOMENT), (2, "sale", 7, None, *MOMENT), (3, "", None, 7, *MOMENT)],
            (2, 3),
        ),
        (
            "reference",
            model.STAFF,
            [(key, "Ada", "Byron", of, "a@b.example", *MOMENT) for key, of in ((1, 10), (2, 11), (3, 12))],
            (2, 3),
        ),
    ],
)
def test_a_rule_on_another_table_is_named_with_count_and_keys(
    kind: str, table: SourceTable, rows: list[tuple[Any, ...]], keys: tuple[int, ...]
) -> None:
    session = spark.session("a lake that is not touched")
    frame = session.createDataFrame([(*row, None) for row in rows], f"{table.spark_schema('raw')}, _unreadable string")
    there = {"department_id": [10, 13], "sales_order_id": [7], "purchase_order_id": [7]}

    audit = Audit(
        table,
        lambda: frame,
        3,
        unreadable="_unreadable",
        there=lambda column, asked: asked & Values(there[column.name]),
    )
    found = _evaluate(audit).failures
    (failure,) = (one for one in found if one.expectation.kind == kind)
    assert (failure.expectation.kind, failure.unexpected, failure.evaluated, failure.keys) == (kind, 2, 3, keys)


def test_good_rows_break_nothing_and_missing_rows_do() -> None:
    assert _evaluate(_audit(_row(1), _row(2))).failures == []
    (lost,) = _evaluate(_audit(_row(1), expected=2)).failures
    assert (lost.expectation.kind, lost.unexpected, lost.rejects) == ("row_count", 1, True)


def test_a_batch_far_larger_than_usual_is_rejected_and_a_small_one_only_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def severity(usual: int) -> str | None:
        audit = replace(_audit(*(_row(key) for key in range(1, 42))), usual_rows=usual)
        failed = [one.expectation.severity for one in _evaluate(audit).failures if one.expectation.kind == "volume"]
        return failed[0] if failed else None

    monkeypatch.setattr("retail_etl.audit.SMALL_BATCH", 40)
    assert [severity(usual) for usual in (2, 3)] == ["critical", None]  # 41 rows are more than twenty times 2
    monkeypatch.setattr("retail_etl.audit.SMALL_BATCH", 10_000)
    assert severity(1) == "info"


@pytest.mark.parametrize(("hours", "severities"), [(23.9, []), (24.1, ["info"]), (None, [])])
def test_an_old_newest_row_is_reported(hours: float | None, severities: list[str]) -> None:
    failures = _evaluate(replace(_audit(_row(1)), hours_old=hours)).failures
    assert [one.expectation.severity for one in failures] == severities


def test_an_expectation_that_is_left_out_of_the_result_closes_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Batch.validate

    def forgetful(self: Batch, *arguments: Any, **options: Any) -> Any:
        result = honest(self, *arguments, **options)
        left_out = result.results.pop()
        assert left_out.success
        return result

    monkeypatch.setattr(Batch, "validate", forgetful)
    with pytest.raises(QualityError, match=r"evaluated \d+ of the \d+ expectations of sales_order; left out: "):
        _evaluate(_audit(_row(1)))


@pytest.mark.parametrize("wrong", ["data_asset_name", "datasource_name"])
def test_a_result_on_another_table_or_batch_closes_the_gate(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Batch.validate

    def mixed_up(self: Batch, *arguments: Any, **options: Any) -> Any:
        result = honest(self, *arguments, **options)
        result.meta["active_batch_definition"][wrong] = "payment"
        return result

    monkeypatch.setattr(Batch, "validate", mixed_up)
    with pytest.raises(QualityError, match=r"result is about .*payment.*, and .*sales_order.* was asked for"):
        _evaluate(_audit(_row(1)))


def test_rows_that_never_arrived_are_missed_though_no_row_breaks_a_rule() -> None:
    (lost,) = _evaluate(_audit(expected=1)).failures
    assert (lost.expectation.kind, lost.unexpected, lost.evaluated) == ("row_count", 1, 0)


def test_a_column_that_cannot_be_read_closes_the_gate() -> None:
    audit = _audit(_row(1))
    rows = audit.frame.withColumn("units_sold", F.expr("CAST(1 / (design_id - 9) AS BIGINT)"))
    stumbling = replace(audit, read=lambda: rows)
    with pytest.raises(QualityError, match=r"rows of sales_order could not be judged: .*DIVIDE_BY_ZERO"):
        _evaluate(stumbling)


def test_an_expectation_that_raises_within_great_expectations_closes_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ExpectColumnSumToBeBetween._validate

    def stumble(self: ExpectColumnSumToBeBetween, *arguments: Any, **options: Any) -> Any:
        if self.meta["expectation"] == "sales_order_id: unique":
            raise ArithmeticError("the rule is ill")
        return honest(self, *arguments, **options)

    monkeypatch.setattr(ExpectColumnSumToBeBetween, "_validate", stumble)
    with pytest.raises(QualityError, match=r"could not evaluate sales_order\.sales_order_id: unique.*the rule is ill"):
        _evaluate(_audit(_row(1)))


def test_a_failure_reads_as_table_column_rule_count_and_keys() -> None:
    (failure,) = _evaluate(_audit(_row(1), _row(2, units_sold=-1))).failures
    assert str(failure) == (
        "sales_order.units_sold must be 0 or more (minimum): 1 of 2 rows break it, for example sales_order_id 2"
    )
