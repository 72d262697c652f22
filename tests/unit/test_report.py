"""The report on the lake of `scripts/sample_lake.sql`, without Spark: figures by hand, and what stands in the file."""

import json
import re
from base64 import b64encode
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from retail_etl.errors import ConfigurationError
from retail_etl.manifests import Manifests
from scripts import etl, lake_query, query_docs
from scripts.local import LocalPair
from scripts.report import command, queries
from scripts.report.figures import Asked, Figures, columns, figures, finest_period
from scripts.report.queries import MEMBERS, Engine
from scripts.report.render import as_json, render
from scripts.statements import parse

AT = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script><!-- & \u2028"


class Sample:
    """The sample lake as the report asks it."""

    name: Engine = "lake"
    is_empty = False

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def ask(self, sql: str) -> pa.Table:
        return lake_query.run(self.connection, parse(sql)).to_arrow_table()

    def close(self) -> None:
        self.connection.close()

    def figures(self, order: int | None = None) -> Figures:
        return figures(Asked(self, self, None, order, at=AT))


@pytest.fixture
def sample() -> Sample:
    return Sample(query_docs.sample_lake())


class Page(HTMLParser):
    """The scripts of a page by their type, the addresses that it names, and its styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str, str]] = []
        self.addresses: list[str] = []
        self.styles, self.policy = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [given[name] for name in ("src", "href", "data", "action", "poster") if name in given]
        self.addresses += [given["style"]] if "url(" in given.get("style", "") else []
        if tag == "script":
            self.scripts.append((given.get("type", ""), ""))
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and data.strip():
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        if self.lasttag == "style":
            self.styles += data


def _rows(stored: Figures) -> list[tuple[Any, ...]]:
    """An answer's rows, read as the page reads them."""

    def opened(column: Any) -> list[Any]:
        if isinstance(column, dict):
            return [None if code is None else column["values"][code] for code in column["codes"]]
        return list(column)

    return list(zip(*map(opened, stored["columns"].values()), strict=True))


def test_figures_are_those_that_were_counted_by_hand(sample: Sample) -> None:
    tables = sample.figures()["tables"]
    day_1, day_2 = "2024-03-01", "2024-03-02"
    # 8 x 361.39 + 2 x 350.00: version 1 of order 100 is past, order 102 is deleted
    assert _rows(tables["sales"]) == [(day_1, "GBP", 2, 10, 3591.12), (day_2, "EUR", 1, 20, 90.0)]
    assert _rows(tables["purchases"]) == [(day_1, "EUR", 1, 50, 612.5)]
    assert _rows(tables["sales_by_country"]) == [
        (day_1, "GBP", "France", "France", 1, 2, 700.0),
        (day_1, "GBP", "United Kingdom", "United Kingdom", 1, 8, 2891.12),
        (day_2, "EUR", "France", "France", 1, 20, 90.0),
    ]
    assert _rows(tables["sales_by_staff"])[1] == (day_1, "GBP", 6, "Jan Nowak", 1, 2, 700.0)
    assert _rows(tables["payments"]) == [
        ("2024-03-08", "GBP", "SALES_RECEIPT", "overdue_1_30", 1, 2891.12),
        ("2024-03-15", "EUR", "PURCHASE_PAYMENT", "due_0_30", 1, 612.5),
        ("2024-03-20", "EUR", "SALES_RECEIPT", "due_0_30", 1, 90.0),
    ]
    assert [row[:4] for row in _rows(tables["quarantine"])] == [("sales_order", "units_sold must be 0 or more", 1, 0)]
    assert [row[:6] for row in _rows(tables["quality"])][2] == (2, "raw", 2, 0, 1, 0)
    assert [(row[1], row[2], row[3]) for row in _rows(tables["table_rows"])][8] == ("fact_sales_order", 5, 3)


def test_every_query_states_its_grain_is_athenas_sql_and_adds_up_no_currencies() -> None:
    asked = [
        queries.CURRENCIES,
        queries.EXTENT,
        queries.ORDER_WITH_MOST_VERSIONS,
        *queries.business("week", AT.date()),
        *queries.order_history(100),
        *queries.PIPELINE,
    ]
    assert len({query.name for query in asked}) == len(asked)
    for query in asked:
        assert query.grain.startswith("one row")
        again = parse(query.sql).sql("athena")
        assert parse(again).sql("athena") == again
        if "AS amount" in query.sql:
            assert "c.currency_code AS currency" in query.sql


def test_the_order_with_most_versions_is_shown_unless_another_is_named(sample: Sample) -> None:
    def shown(order: int | None) -> list[tuple[int, int]]:
        return [row[:2] for row in _rows(sample.figures(order)["tables"]["order_versions"])]

    assert shown(None) == [(100, 1), (100, 2)]
    assert shown(101) == [(101, 1)]
    with pytest.raises(ConfigurationError, match=r"--order 7: the lake has no such sales order"):
        shown(7)


def test_of_many_members_the_first_ones_have_names_and_nothing_is_lost(sample: Sample) -> None:
    many = MEMBERS + 5
    sample.connection.execute(f"""
        INSERT INTO sample.dim_design SELECT 1000 + i, 'Design ' || i, '', '', 3 FROM range({many}) t(i);
        INSERT INTO sample.fact_sales_order SELECT 1000 + i, '2024-03-03', '09:00:00', '2024-03-03', '09:00:00', 5, 2,
            1, 1000 + i, 1, 1000 + i, '2024-03-06', '2024-03-08', 3, 3 FROM range({many}) t(i)""")
    tables = sample.figures()["tables"]
    new = [row for row in _rows(tables["sales_by_design"]) if row[0] == "2024-03-03"]
    assert len(new) == MEMBERS  # eleven of these and the chair are the first twelve in GBP; the others are one row
    assert [row[2:5] for row in new if row[2] is None] == [(None, None, many - MEMBERS + 1)]
    assert sum(row[6] for row in new) == sum(row[4] for row in _rows(tables["sales"]) if row[0] == "2024-03-03")


def test_what_is_published_meanwhile_has_all_asked_again(sample: Sample, tmp_path: Path) -> None:
    zone = Manifests(str(tmp_path))
    zone.claim()

    class Published(Sample):
        """A batch comes in between two answers."""

        def ask(self, sql: str) -> pa.Table:
            if sql == queries.ROWS.sql and zone.manifest(1, "publish") is None:
                self.connection.execute("UPDATE sample.fact_sales_order SET unit_price = 2 * unit_price")
                zone.finish(1, "publish", {"expectations": 5})
            return super().ask(sql)

    lake = Published(sample.connection)
    zone.finish(1, "extract", {"started_at": AT.isoformat(), "tables": {}})
    found = figures(Asked(lake, lake, zone, at=AT))
    assert _rows(found["tables"]["sales"])[1] == ("2024-03-02", "EUR", 1, 20, 180.0)


@pytest.mark.parametrize(
    ("orders", "days", "weeks", "period"),
    [(5_000, 730, 105, "day"), (1_000_000, 730, 105, "week"), (9_000_000, 3_650, 520, "month"), (40_000, 9, 2, "day")],
)
def test_the_period_is_the_finest_that_keeps_answers_small(orders: int, days: int, weeks: int, period: str) -> None:
    assert finest_period([{"facts": orders, "days": days, "weeks": weeks, "currencies": 3}]) == period


def test_a_column_that_repeats_itself_is_written_once() -> None:
    answer = pa.table({"name": ["a", None, "a"], "day": pa.array(["x", "y", "z"]), "amount": [1, 2, 3]})
    assert columns(answer) == {
        "rows": 3,
        "columns": {"name": {"values": ["a"], "codes": [0, None, 0]}, "day": ["x", "y", "z"], "amount": [1, 2, 3]},
    }


def test_what_the_data_say_stays_text(sample: Sample) -> None:
    sample.connection.execute("UPDATE sample.dim_design SET design_name = ? WHERE design_id = 9", [HOSTILE])
    page = Page(render(sample.figures()))
    assert [kind for kind, _ in page.scripts] == ["application/json", "", ""]
    data = page.scripts[0][1]
    assert not set("<>&\u2028") & set(data)
    assert HOSTILE in json.loads(data)["tables"]["sales_by_design"]["columns"]["label"]
    assert as_json({"</script>": 1}) == '{"\\u003c/script\\u003e":1}'
    own = page.scripts[2][1]
    assert "innerHTML" not in own
    assert "insertAdjacentHTML" not in own
    assert "document.write" not in own


def test_the_page_loads_nothing_and_runs_its_own_scripts_alone(sample: Sample) -> None:
    html = render(sample.figures())
    page = Page(html)
    assert page.addresses == ["data:,"]
    assert not re.search(r"@import|url\(", page.styles)
    _, (_, plotly), (_, own) = page.scripts
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", html.replace(plotly, ""))
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in (plotly, own)]
    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"].split() == hashes
    assert "connect-src" not in directives


def test_an_empty_lake_has_a_page_and_a_lake_that_is_not_there_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake").mkdir()

    def report(lake: str) -> Any:
        return CliRunner().invoke(etl.app, ["report", "--lake", lake, "--output", str(tmp_path / "report.html")])

    made = report(str(tmp_path / "lake"))
    assert (made.exit_code, made.stdout) == (0, f"{tmp_path / 'report.html'}\n")
    found = json.loads(Page((tmp_path / "report.html").read_text()).scripts[0][1])
    assert (found["tables"], found["pipeline"]["health"]["verdict"]) == ({}, "never_run")
    monkeypatch.setattr(command, "LocalPair", partial(LocalPair, tmp_path / "home"))
    assert report("").exit_code == 0  # nobody named one, and there is none yet
    assert json.loads(Page((tmp_path / "report.html").read_text()).scripts[0][1])["pipeline"] is None
    missing = report(str(tmp_path / "nothing"))
    assert isinstance(missing.exception, ConfigurationError)
    assert "There is no lake in" in str(missing.exception)
