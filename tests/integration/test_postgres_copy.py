"""What Arrow's columns become in PostgreSQL, by way of COPY's binary format."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pg8000.native import Connection

from retail_etl import data_files, spark
from retail_etl.data_files import Part, Slice, rows_of_batches, rows_with
from retail_etl.postgres import Database
from retail_etl.postgres_copy import copy, encoded, with_times
from retail_etl.values import Values
from tests.integration.world import NASTY

COLUMNS = "n integer, b bigint, t varchar, d date, o time, p numeric(10,2), a numeric, y boolean, m timestamp"
ROWS = [
    (1, 2**40, NASTY, date(2024, 2, 29), "14:20:52.186000", Decimal("361.39"), Decimal("2529.7300"), True,
     datetime.fromisoformat("2024-02-27 14:20:52.186001")),
    (-(2**31), -1, "", date(1970, 1, 1), "00:00:00.000000", Decimal("-0.01"), Decimal("-99999999999999.9999"), False,
     datetime.fromisoformat("1969-12-31 23:59:59.999999")),
    (2**31 - 1, 0, "x" * 100_000, date(2100, 12, 31), "23:59:59.999999", Decimal("0.00"), Decimal("0.0001"), None,
     datetime.fromisoformat("2100-01-01")),
    (None,) * 9,
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("n", pa.int32()), ("b", pa.int64()), ("t", pa.string()), ("d", pa.date32()), ("o", pa.string()),
        ("p", pa.decimal128(10, 2)), ("a", pa.decimal128(18, 4)), ("y", pa.bool_()), ("m", pa.timestamp("us")),
    ]
)  # fmt: skip


@pytest.fixture
def connection(database: str, connect: Callable[[str], Connection]) -> Connection:
    return connect(database)


@pytest.mark.integration
def test_every_type_of_the_warehouse_arrives_as_it_was_sent(connection: Connection) -> None:
    batch = pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in ROWS], schema=SCHEMA)
    connection.run(f"CREATE TABLE sent ({COLUMNS})")
    stream = encoded(with_times(part, ["o"]) for part in (batch.slice(0, 1), batch.slice(1)))
    connection.run("COPY sent FROM STDIN WITH (FORMAT binary)", stream=stream)
    expected = [list(row) for row in ROWS]
    for row in expected[:3]:
        row[4] = time.fromisoformat(str(row[4]))
    assert connection.run("SELECT * FROM sent") == expected


@pytest.mark.integration
@pytest.mark.parametrize("expected_rows", [10, 10_000_000])
def test_many_rows_are_sent_by_workers_and_few_from_here(
    database: str, connection: Connection, expected_rows: int
) -> None:
    session = spark.session("a lake that is not touched")
    spark.suit(session, expected_rows)
    schema = "n int, b bigint, t string, d date, o string, p decimal(10,2), a decimal(18,4), y boolean, m timestamp_ntz"
    rows = session.createDataFrame(ROWS, schema).repartition(3)
    connection.run(f"CREATE TABLE sent ({COLUMNS})")
    assert copy(rows, Database.from_url("warehouse", database), "sent", ["o"]) == len(ROWS)
    assert copy(rows.where("n = 7"), Database.from_url("warehouse", database), "sent", ["o"]) == 0
    expected = [list(row) for row in ROWS]
    for row in expected[:3]:
        row[4] = time.fromisoformat(str(row[4]))
    assert connection.run("SELECT * FROM sent ORDER BY b DESC NULLS LAST") == [
        expected[place] for place in (0, 2, 1, 3)
    ]


@pytest.mark.integration
@pytest.mark.parametrize("large", [0, 1 << 30])
def test_what_batches_wrote_goes_from_the_files_by_workers_or_from_here(
    database: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(data_files, "_LARGE", large)
    schema = SCHEMA.append(pa.field("batch_id", pa.int64()))
    parts = []
    for number, batches in enumerate([(1, 2), (2, 3), (3, 4)]):
        rows = [dict(zip(schema.names, (*row, batches[place % 2]), strict=True)) for place, row in enumerate(ROWS)]
        file = tmp_path / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
        parts.append(Part("dim_design", str(file), file.stat().st_size))
    connection.run(f"CREATE TABLE sent ({COLUMNS}, batch_id bigint)")
    session = spark.session("a lake that is not touched")
    of = Slice(tuple(parts), 1, 3, schema, session)
    assert copy(of, Database.from_url("warehouse", database), "sent", ["o"]) == 8
    assert copy(replace(of, after=4, until=9), Database.from_url("warehouse", database), "sent", ["o"]) == 0
    expected = [[*row[:4], row[4] and time.fromisoformat(str(row[4])), *row[5:]] for row in ROWS]
    shown = connection.run("SELECT * FROM sent ORDER BY batch_id, b DESC NULLS LAST")
    # Of the first file what batch 2 wrote, all of the second, of the third what batch 3 did.
    assert shown == [
        *([*expected[place], 2] for place in (0, 2, 1, 3)),
        *([*expected[place], 3] for place in (0, 2, 1, 3)),
    ]


@pytest.mark.integration
def test_a_file_from_before_a_column_was_there_has_null_in_it(tmp_path: Path) -> None:
    file, schema = tmp_path / "old.parquet", pa.schema({"design_id": "int32", "colour": "string", "batch_id": "int64"})
    pq.write_table(pa.table({"design_id": pa.array([1, 2], pa.int32()), "batch_id": [1, 1]}), file)
    part = Part("dim_design", str(file), file.stat().st_size)
    for rows in (rows_of_batches(part, schema, 0, 1), rows_with([part], schema, Values([2]))):
        assert pa.Table.from_batches(rows, schema).to_pylist()[-1] == {"design_id": 2, "colour": None, "batch_id": 1}


@pytest.mark.integration
def test_a_time_of_day_that_is_none_is_refused_and_never_guessed() -> None:
    texts = pa.RecordBatch.from_pydict({"o": ["09:30:00", "9:30 am"]})
    with pytest.raises(pa.ArrowInvalid, match="9:30 am"):
        with_times(texts, ["o"])
    assert with_times(texts.slice(0, 1), ["o"])["o"].to_pylist() == [time(9, 30)]
