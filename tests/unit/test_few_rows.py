"""Few rows, in this process, are what Spark makes of many; and no file is read whose versions are all replaced."""

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from retail_etl import data_files, few_rows, gates, history, model, spark
from retail_etl.data_files import Part
from retail_etl.errors import StorageError
from retail_etl.schema import StarTable
from retail_etl.values import Values

COUNTERPARTY = model.DIM_COUNTERPARTY
PAYMENT = model.FACT_PAYMENT


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder: Path = tmp_path_factory.mktemp("lake")
    return spark.session(str(folder))


def _schema(table: StarTable) -> str:
    return f"{table.spark_schema('lake')}, batch_id bigint"


def _text(chance: random.Random) -> str | None:
    return chance.choice([None, "", "x", "Straße"])


def _counterparty(chance: random.Random, key: int, batch_id: int) -> tuple[Any, ...]:
    return (key, *(_text(chance) for _ in COUNTERPARTY.column_names[1:]), batch_id)


def _payment(chance: random.Random, key: int, batch_id: int) -> tuple[Any, ...]:
    made: dict[str, Callable[[], Any]] = {
        "date": lambda: chance.choice([None, *(_day(n) for n in range(2))]),
        "string": lambda: _text(chance),
        "boolean": lambda: chance.choice([None, True, False]),
    }
    values = []
    for column in PAYMENT.columns:
        kind = column.type.lake.partition("(")[0]
        if column.name == PAYMENT.key:
            values.append(key)
        elif kind == "decimal":
            values.append(chance.choice([None, Decimal("0.10"), Decimal("-3.99")]))
        else:
            values.append(made.get(kind, lambda: chance.choice([None, 1, 2]))())
    return (*values, batch_id)


def _day(number: int) -> Any:
    return pa.scalar(number, pa.date32()).as_py()


@pytest.mark.parametrize(("table", "make"), [(COUNTERPARTY, _counterparty), (PAYMENT, _payment)])
def test_versions_are_told_as_by_spark(
    session: SparkSession, table: StarTable, make: Callable[[random.Random, int, int], tuple[Any, ...]]
) -> None:
    chance = random.Random(len(table.columns))
    stored = [
        make(chance, key, batch) for key in range(60) for batch in chance.sample(range(1, 9), chance.randint(1, 4))
    ]
    chance.shuffle(stored)
    then = session.createDataFrame(stored, _schema(table))
    same = [row for row in history.latest(table, then).collect() if chance.random() < 0.5]
    now = [(*row[:-1], 9) for row in same] + [make(chance, key, 9) for key in range(60, 90)]
    read = session.createDataFrame([*now, make(chance, 0, 9)], _schema(table))

    latest = few_rows.latest(table, few_rows.of_frame(table, then))
    assert _rows(few_rows.to_frame(session, table, latest)) == _rows(history.latest(table, then))
    new = few_rows.without_equals(table, few_rows.of_frame(table, read), latest)
    assert _rows(few_rows.to_frame(session, table, new)) == _rows(
        history.without_equals(table, read, history.latest(table, then))
    )
    assert 30 <= new.num_rows < read.count()
    assert few_rows.sums(table, latest) == gates.sums(table, history.latest(table, then))


def _rows(frame: Any) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in frame.collect()}


def test_where_nothing_is_nothing_is_found(session: SparkSession) -> None:
    nothing = few_rows.of_frame(PAYMENT, session.createDataFrame([], _schema(PAYMENT)))
    one = few_rows.of_frame(PAYMENT, session.createDataFrame([_payment(random.Random(1), 1, 1)], _schema(PAYMENT)))
    assert few_rows.latest(PAYMENT, nothing).num_rows == 0
    assert few_rows.without_equals(PAYMENT, nothing, one).num_rows == 0
    assert few_rows.without_equals(PAYMENT, one, nothing).equals(one)
    assert set(few_rows.sums(PAYMENT, nothing).values()) == {Decimal(0)}


# ---------------------------------------------------------------------------- look-ups in files


def _file(folder: Path, name: str, rows: list[tuple[int, int]]) -> Part:
    path = folder / name
    columns = {"payment_id": [key for key, _ in rows], "batch_id": [batch for _, batch in rows]}
    pq.write_table(pa.table(columns), path)
    last = max(batch for _, batch in rows)
    return Part("fact_payment", f"file:{path}", path.stat().st_size, last_batch=last)


def _found(parts: list[Part], *keys: int) -> list[tuple[int, int]]:
    schema = pa.schema([("payment_id", pa.int64()), ("batch_id", pa.int64())])
    found = pa.Table.from_batches(data_files.rows_with(parts, schema, Values(keys)), schema)
    return sorted(zip(*(column.to_pylist() for column in found.columns), strict=True))


def test_versions_that_a_later_batch_replaced_are_not_read(tmp_path: Path) -> None:
    first = _file(tmp_path, "1", [(key, 1) for key in range(9)])
    parts = [first, _file(tmp_path, "2", [(2, 3), (3, 3)]), _file(tmp_path, "3", [(2, 4)])]
    assert _found(parts, 2, 4) == [(2, 4), (4, 1)]
    assert _found(parts, 2, 3) == [(2, 4), (3, 3)]
    assert _found(parts, 77) == []
    Path(tmp_path / "1").write_bytes(b"not Parquet")
    assert _found(parts, 2, 3) == [(2, 4), (3, 3)]
    with pytest.raises(StorageError, match="cannot be read"):
        _found(parts, 4)


def test_files_whose_batches_overlap_give_every_version_that_may_be_the_last(tmp_path: Path) -> None:
    compacted = _file(tmp_path, "c", [(1, 1), (2, 5)])
    parts = [_file(tmp_path, "a", [(1, 3), (2, 3)]), compacted]
    assert _found(parts, 1, 2) == [(1, 1), (1, 3), (2, 5)]
