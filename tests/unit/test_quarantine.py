from datetime import datetime

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from retail_etl import model, quarantine, spark

MOMENT = datetime(2024, 1, 1)  # noqa: DTZ001
SCHEMA = f"{model.QUARANTINE.spark_schema('lake')}, batch_id bigint"


@pytest.fixture(scope="module")
def session() -> SparkSession:
    return spark.session("a lake that is not touched")


def _events(session: SparkSession, *events: tuple[int, bool, int]) -> DataFrame:
    """Events of sales orders: key, whether it was set aside, batch."""
    rows = [("sales_order", key, held, False, ["a rule"], "{}", MOMENT, batch) for key, held, batch in events]
    return session.createDataFrame(rows, SCHEMA)


def test_the_limit_is_a_hundredth_and_ten_rows_at_least() -> None:
    assert [quarantine.limit(rows) for rows in (1, 1000, 1099, 1100, 250_000)] == [10, 10, 10, 11, 2500]


def test_ranges_hold_all_keys_and_are_cut_where_the_gaps_are_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quarantine.key_ranges([7, 5, 6, 6, 90]) == [(5, 7), (90, 90)]
    assert quarantine.key_ranges([]) == []
    monkeypatch.setattr(quarantine, "RANGES", 2)
    assert quarantine.key_ranges([1, 3, 5, 1000, 1004]) == [(1, 5), (1000, 1004)]


def test_the_last_event_says_whether_a_row_is_in_quarantine(session: SparkSession) -> None:
    events = _events(session, (1, True, 1), (1, False, 3), (2, True, 1), (2, True, 2), (3, False, 2), (3, True, 4))
    held = quarantine.active(events).select("record_id", "batch_id")
    expected = session.createDataFrame([(2, 2), (3, 4)], held.schema)
    assert_df_equality(held, expected, ignore_row_order=True)


def test_a_row_is_left_out_of_the_batches_during_which_it_was_in_quarantine(session: SparkSession) -> None:
    spans = quarantine.spans(_events(session, (1, True, 2), (1, False, 4), (2, True, 3)), "sales_order")
    rows = session.createDataFrame(
        [(key, batch) for key in (1, 2) for batch in range(1, 6)], "id bigint, batch_id bigint"
    )
    left = quarantine.without_spans(rows, spans, "id")
    expected = session.createDataFrame([(1, 1), (1, 4), (1, 5), (2, 1), (2, 2)], rows.schema)
    assert_df_equality(left, expected, ignore_row_order=True)


def test_a_row_that_is_read_again_as_it_was_makes_no_event(session: SparkSession) -> None:
    held = quarantine.active(_events(session, (1, True, 1), (2, True, 1)))
    again = [(1, ["a rule"], False, "{}"), (2, ["another rule"], False, "{}"), (3, ["a rule"], True, "{}")]
    now = session.createDataFrame(again, "record_id bigint, reasons array<string>, waits boolean, row string")
    events = quarantine.set_aside("sales_order", now, held).select("record_id", "waits", "is_held")
    expected = session.createDataFrame([(2, False, True), (3, True, True)], events.schema)
    assert_df_equality(events, expected, ignore_row_order=True)


def test_a_held_row_comes_in_or_is_deleted_or_was_not_looked_at(session: SparkSession) -> None:
    held = quarantine.active(_events(session, *((key, True, 1) for key in (1, 2, 3, 4))))
    keys = "record_id bigint"
    present, bad = session.createDataFrame([(1,), (2,)], keys), session.createDataFrame([(2,)], keys)
    left = quarantine.left("sales_order", held, bad, present, [[3, 3]]).selectExpr("record_id", "reasons[0] AS reason")
    expected = session.createDataFrame([(1, "came in"), (3, "deleted in the source")], left.schema)
    assert_df_equality(left, expected, ignore_row_order=True, ignore_nullable=True)
