from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_etl import deletions, history, model, spark
from retail_etl.schema import StarTable


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder: Path = tmp_path_factory.mktemp("lake")
    return spark.session(str(folder))


CURRENCY: StarTable = model.DIM_CURRENCY
SCHEMA = CURRENCY.spark_schema("lake") + ", batch_id bigint"


def test_what_is_shown_again_is_no_version_and_what_comes_back_is_one(session: SparkSession) -> None:
    rows = [
        (1, "EUR", None, 2),
        (1, "EUR", None, 3),  # the same, NULL included
        (1, "EUR", "Euro", 5),
        (1, "EUR", None, 6),  # as it was at first
        (2, "GBP", "Pound", 6),
    ]
    versions = history.versions(CURRENCY, session.createDataFrame(rows, SCHEMA))
    assert [tuple(row) for row in versions.sort("currency_id", "batch_id").collect()] == [
        rows[0],
        rows[2],
        rows[3],
        rows[4],
    ]
    latest = history.latest(CURRENCY, versions)
    assert [tuple(row) for row in latest.sort("currency_id").collect()] == [rows[3], rows[4]]


def test_a_row_is_missed_where_a_complete_batch_lacks_it_and_back_with_the_next_that_has_it(
    session: SparkSession,
) -> None:
    present = session.createDataFrame(
        [(1, 1), (2, 1), (3, 1), (200, 1), (2, 2), (3, 4), (1, 5)], "record_id bigint, batch_id bigint"
    )
    # Batch 2 read some changes, batch 3 all keys up to 99, batch 4 up to 2, batch 6 all there are but 200.
    complete = {3: [(None, 99)], 4: [(0, 1), (2, 2)], 6: [(1, 2), (3, None)]}
    found = deletions.history(session, "design", present, complete).sort("batch_id", "record_id").collect()
    assert [tuple(row) for row in found] == [
        ("design", 1, True, 3),
        ("design", 2, True, 3),
        ("design", 3, True, 3),
        ("design", 3, False, 4),
        ("design", 1, False, 5),
        ("design", 1, True, 6),
        ("design", 3, True, 6),
        ("design", 200, True, 6),
    ]
