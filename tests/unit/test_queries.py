"""Named queries and views on the lake of `scripts/sample_lake.sql`, without Spark; the expected rows are by hand."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlglot
from sqlglot import exp

from retail_etl import model
from retail_etl.errors import ConfigurationError, StorageError
from retail_etl.raw import RawZone
from scripts import lake_query, lake_views, query_docs, results
from scripts.athena import as_of
from scripts.moments import Moment, find_moment
from scripts.named_queries import named_queries, named_query
from scripts.options import Format
from scripts.statements import QueryError, parse

QUERIES = named_queries()


@pytest.fixture(scope="module")
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    with query_docs.sample_lake() as connection:
        yield connection


def test_the_list_of_queries_is_as_new_as_they_are() -> None:
    assert query_docs.TARGET.read_text(encoding="utf-8") == query_docs.render()


@pytest.mark.parametrize("name", QUERIES)
def test_a_named_query_is_athenas_sql_answers_and_adds_up_no_currencies(
    name: str, lake: duckdb.DuckDBPyConnection
) -> None:
    statement = parse(QUERIES[name].sql)
    again = statement.sql("athena")
    assert parse(again).sql("athena") == again
    assert len(QUERIES[name].parameters) == len(list(statement.find_all(exp.Placeholder)))
    found = query_docs.ask(lake, QUERIES[name])
    assert found.fetchall()
    if {"turnover", "cost", "amount", "unit_price"} & set(found.columns):
        assert "currency_code" in found.columns


def test_queries_give_what_was_counted_by_hand(lake: duckdb.DuckDBPyConnection) -> None:
    def rows(name: str) -> list[tuple]:
        return query_docs.ask(lake, QUERIES[name]).fetchall()

    day = datetime(2024, 3, 1, tzinfo=UTC).date()
    assert rows("sales_by_day")[1] == (day, "GBP", 2, 10, Decimal("3591.12"))  # 8 x 361.39 + 2 x 350.00
    assert [(row[0], row[2]) for row in rows("payments_overdue")] == [(2, 70)]
    assert [row[5] for row in rows("payments_due")] == [Decimal("612.5000"), Decimal("90.0000")]
    assert [row[1] for row in rows("quarantine_now")] == [103]
    assert [(row[1], row[5]) for row in rows("deletions")] == [(8, False), (102, True), (8, False)]
    assert [(row[0], row[5]) for row in rows("order_history")] == [(1, 7), (2, 8)]


def test_views_show_what_exists_and_have_the_columns_that_they_are_said_to_have(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    current = lake.sql("SELECT sales_order_id, units_sold FROM fact_sales_order_current ORDER BY 1").fetchall()
    assert current == [(100, 8), (101, 20), (104, 2)]
    deleted = lake.sql("SELECT sales_order_id FROM fact_sales_order_history WHERE deleted_at IS NOT NULL").fetchall()
    assert deleted == [(102,)]
    for name, columns in lake_views.columns().items():
        assert tuple(lake.sql(f"SELECT * FROM {name}").columns) == columns
    for sql in lake_views.views().values():
        assert parse(sql)


def test_as_of_a_batch_athena_reads_its_rows_and_the_views_of_them(lake: duckdb.DuckDBPyConnection) -> None:
    first = Moment(1, datetime(2024, 3, 1, 18, 1, 2, 345000, tzinfo=UTC))
    past = as_of(
        parse("SELECT sales_order_id, units_sold FROM star.fact_sales_order_current o ORDER BY 1"), first, "main"
    )
    assert lake.sql(past.sql("duckdb")).fetchall() == [(100, 7), (102, 1), (104, 2)]
    mine = parse("WITH mine AS (SELECT * FROM dim_design_current) SELECT count(*) FROM mine")
    sql = as_of(mine, first, "star").sql("athena")
    assert sqlglot.parse_one(sql, read="athena").sql("athena") == sql
    assert '"star"."dim_design" FOR TIMESTAMP AS OF' in sql
    assert "2024-03-01 18:01:02.345 UTC" in sql
    assert [cte.alias for cte in parse(sql).ctes] == [
        "dim_design",
        "deleted_record",
        "missing",
        "dim_design_current",
        "mine",
    ]
    with pytest.raises(QueryError, match="cannot be called"):
        as_of(parse("WITH missing AS (SELECT 1) SELECT * FROM missing"), first, "star")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM sales_order_current", "There is no table sales_order_current. Did you mean fact_sales_order_"),
        ("SELECT unit_pric FROM fact_sales_order", "There is no column unit_pric. Did you mean unit_price?"),
        ("SELECT unit_pric FROM fact_sales_orders", "There is no column unit_pric. Did you mean unit_price?"),
        ("SELECT design_name FROM fact_sales_order", "There is no column design_name. It is in dim_design and"),
        ("SELECT d.nothing_like_it FROM dim_design d", "There are design_id, design_name, file_location"),
        ("SELECT count(*) FROM nowhere_at_all", "There are dim_date, dim_staff"),
        ("SELEC 1", "no SQL that Athena knows|Only queries"),
        ("SELECT 1; SELECT 2", "One statement at a time, please: here are 2"),
        ("DROP TABLE dim_staff", "Only queries"),
        ("INSERT INTO dim_staff SELECT * FROM dim_staff", "Only queries"),
    ],
)
def test_what_cannot_be_run_is_told_with_what_was_probably_meant(
    sql: str, said: str, lake: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(QueryError, match=said) as error:
        lake_query.run(lake, parse(sql))
    assert "\n" not in str(error.value)


def test_parameters_are_values_of_their_type_and_never_sql(lake: duckdb.DuckDBPyConnection) -> None:
    order = named_query("order_history")
    assert order.values(["order=100"]) == [100]
    for settings, said in (
        ([], "needs order, the sales order's key: --set order="),
        (["ordr=1"], "Did you mean order?"),
        (["order"], "takes --set order="),
        (["order=1 OR true"], "not an integer"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            order.values(settings)
    with pytest.raises(ConfigurationError, match="Did you mean sales_by_day"):
        named_query("sale_by_day")
    same = lake_query.run(lake, parse("SELECT 1 AS a, 2 AS a, sum(units_sold) AS b FROM fact_sales_order"))
    assert same.fetchall() == [(1, 2, 38)]
    text = parse("SELECT design_id FROM dim_design WHERE design_name = ?")
    assert lake_query.run(lake, text, ["x' OR 'a' = 'a"]).fetchall() == []


def test_a_result_is_the_same_in_every_format(tmp_path: Path, lake: duckdb.DuckDBPyConnection) -> None:
    def reader() -> pa.RecordBatchReader:
        sql = 'SELECT found_at, reasons, "row", 12.50 AS price, is_held FROM quarantine ORDER BY found_at, record_id'
        return lake_query.run(lake, parse(sql)).to_arrow_reader()

    written = {how: tmp_path / f"it's.{how}" for how in ("csv", "json", "parquet")}
    for how, file in written.items():
        assert results.chosen(None, file) == how
        assert results.put(reader(), how, file, limit=2) == f"2 rows in {file}"
    table = pyarrow.parquet.read_table(written["parquet"])
    assert table.column("price").to_pylist() == [Decimal("12.50")] * 2
    assert table.column("row").to_pylist() == ['{"payment_id": 72}', None]
    assert [row["reasons"] for row in json.loads(written["json"].read_text())] == table.column("reasons").to_pylist()
    assert written["csv"].read_text().splitlines()[0] == "found_at,reasons,row,price,is_held"
    assert len(written["csv"].read_text().splitlines()) == 3
    with pytest.raises(StorageError, match="cannot be written"):
        results.put(reader(), "csv", tmp_path / "nowhere" / "a.csv", None)
    with pytest.raises(ConfigurationError, match="csv, json or parquet"):
        results.chosen(None, tmp_path / "a.txt")


@pytest.mark.parametrize("how", ["csv", "table"])
def test_a_query_that_breaks_off_leaves_no_half_file(how: Format, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("as it was")
    numbers = "SELECT CASE WHEN range < 900000 THEN 1 ELSE CAST(range || 'x' AS integer) END AS n FROM range(1000000)"
    to = None if how == "table" else file
    with pytest.raises(
        QueryError, match=r"The query broke off: (Conversion Error: Could not convert string '9|a value)"
    ):
        results.put(duckdb.sql(numbers).to_arrow_reader(), how, to, 1_000_000)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def test_a_table_shows_the_first_rows_whole_and_says_that_there_are_more(
    lake: duckdb.DuckDBPyConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = lake_query.run(lake, parse("SELECT * FROM fact_sales_order ORDER BY sales_order_id")).to_arrow_reader()
    assert results.put(rows, "table", None, 2) == "2 rows shown, and there are more (--limit, now 2)"
    assert "…" not in capsys.readouterr().out


def test_a_moment_is_the_last_batch_that_readers_saw(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path))
    with pytest.raises(ConfigurationError, match="nothing was published by then"):
        find_moment(zone, "2024-03-01")
    for _ in range(4):  # 1 and 3 are published, 2 was rejected, 4 is on its way
        zone.finish(zone.claim(), "extract", {"tables": {}})
    zone.finish(1, "publish", {"finished_at": "2024-03-01T18:00:00.000+00:00"})
    zone.finish(3, "publish", {"finished_at": "2124-03-01T18:00:00.000+00:00"})
    assert find_moment(zone, "1") == Moment(1, datetime(2024, 3, 1, 18, tzinfo=UTC))
    assert find_moment(zone, "2100-01-01T00:00").batch_id == 1
    assert find_moment(zone, "2124-03-01T19:00+01:00").batch_id == 3
    for text, said in (("2", "not published. The newest that is: batch 1"), ("yesterday", "neither a batch id nor a")):
        with pytest.raises(ConfigurationError, match=said):
            find_moment(zone, text)


def test_every_table_of_the_lake_has_its_views() -> None:
    views = lake_views.views()
    for table in model.STAR.values():
        if not table.is_control:
            assert f"{table.name}_current" in views
        assert (f"{table.name}_history" in views) == table.is_fact
