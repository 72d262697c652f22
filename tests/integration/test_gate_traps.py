"""Great Expectations decides, and where it does not answer, or answers wrongly, the gate is closed."""

from typing import Any

import pytest
from great_expectations.datasource.fluent.interfaces import Batch

from retail_etl import model, quality, spark
from retail_etl.errors import QualityError
from retail_etl.quality import Audit, Failure

GOOD = (1, 9, 5, 2, 7, "361.39", 1, "2024-03-01", "2024-02-28", 3, "2024-02-27T14:20:52.186", "2024-02-27T14:20:52.186")
COLUMNS = list(model.SALES_ORDER.column_names)


def _audit(*rows: tuple[Any, ...], expected: int | None = None) -> Audit:
    session = spark.session("a lake that is not touched")
    schema = f"{model.SALES_ORDER.spark_schema('raw')}, _unreadable string"
    frame = session.createDataFrame([(*row, None) for row in rows], schema)
    return Audit(model.SALES_ORDER, frame, len(rows) if expected is None else expected, unreadable="_unreadable")


def _row(key: int | None, **changed: Any) -> tuple[Any, ...]:
    row = dict(zip(COLUMNS, GOOD, strict=True)) | {"sales_order_id": key} | changed
    return tuple(row[name] for name in COLUMNS)


@pytest.mark.parametrize(
    ("kind", "rows", "keys"),
    [
        ("not_null", [_row(1), _row(2, staff_id=None), _row(3, staff_id=None)], (2, 3)),
        ("unique", [_row(1), _row(2), _row(2)], (2,)),
        ("is_int", [_row(1), _row(2, units_sold=2**31)], (2,)),
        ("fits_decimal", [_row(1), _row(2, unit_price="1.005"), _row(3, unit_price="NaN")], (2, 3)),
        ("is_date", [_row(1), _row(2, agreed_payment_date="2023-02-30"), _row(3, agreed_payment_date="")], (2, 3)),
        ("is_timestamp", [_row(1), _row(2, created_at="1066-10-14T00:00:00")], (2,)),
        ("minimum", [_row(1), _row(2, units_sold=-1)], (2,)),
    ],
)
def test_a_rule_that_is_broken_is_named_with_count_and_keys(
    kind: str, rows: list[tuple[Any, ...]], keys: tuple[int, ...]
) -> None:
    failures = [failure for failure in quality.evaluate(_audit(*rows)) if failure.expectation.kind == kind]
    assert [(failure.unexpected, failure.evaluated, failure.keys) for failure in failures] == [(2, 3, keys)] or [
        (failure.unexpected, failure.evaluated, failure.keys) for failure in failures
    ] == [(1, 2, keys)]


def test_good_rows_break_nothing_and_missing_rows_do() -> None:
    assert quality.evaluate(_audit(_row(1), _row(2))) == []
    (lost,) = quality.evaluate(_audit(_row(1), expected=2))
    assert (lost.expectation.kind, lost.unexpected) == ("row_count", -1)


def test_an_expectation_that_is_left_out_of_the_result_closes_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Batch.validate

    def forgetful(self: Batch, *arguments: Any, **options: Any) -> Any:
        result = honest(self, *arguments, **options)
        left_out = result.results.pop()
        assert left_out.success
        return result

    monkeypatch.setattr(Batch, "validate", forgetful)
    with pytest.raises(QualityError, match=r"evaluated 2\d of the \d+ expectations of sales_order; left out: "):
        quality.evaluate(_audit(_row(1)))


def test_an_expectation_that_stumbles_closes_the_gate() -> None:
    audit = _audit(_row(1))
    stumbling = Audit(audit.table, audit.frame.drop("design_id"), 1, unreadable="_unreadable")
    with pytest.raises(QualityError, match=r"could not evaluate sales_order.design_id"):
        quality.evaluate(stumbling)


def test_a_failure_reads_as_table_column_rule_count_and_keys() -> None:
    (failure,) = quality.evaluate(_audit(_row(1), _row(2, units_sold=-1)))
    assert isinstance(failure, Failure)
    assert str(failure) == (
        "sales_order.units_sold must be 0 or more (minimum): 1 of 2 rows break it, for example sales_order_id 2"
    )
