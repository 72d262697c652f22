"""Data Docs of Great Expectations' own results, as gates store them: what stands on the pages, and what they load."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import boto3
import great_expectations as gx
import great_expectations.expectations as gxe
import pytest

from retail_etl import spark
from retail_etl.errors import StateError, StorageError
from retail_etl.raw import RawZone
from scripts.data_docs import build
from tests.moto_server import moto_server

ROOT = Path(__file__).resolve().parents[2]
RULES = {"sales_order_id: not_null": "must not be NULL", "agreed_payment_date: is_date": "must be a date & <no> $time"}
KEYS = [2, "<script>alert(1)</script>", {"<script>": "&"}]


class Page(HTMLParser):
    """What a page says, links to and loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links, self.loaded, self.tags = "", list[str](), list[str](), set[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if tag == "a":
            self.links.append(given["href"] or "")
        elif found := given.get("src") or given.get("href"):
            self.loaded.append(found)

    def handle_data(self, data: str) -> None:
        if self.lasttag != "style":
            self.text = " ".join(f"{self.text} {data}".split())


@pytest.fixture(scope="module")
def results() -> dict[bool, dict[str, Any]]:
    """A suite's results on rows that keep it (True), and on rows that do not, told as the gates tell it (False)."""
    rows = [(1, False), (2, True), (3, False)]
    frame = spark.session("a lake that is not touched").createDataFrame(
        rows, "sales_order_id bigint, __is_date__agreed_payment_date boolean"
    )
    meta = [{"table": "sales_order", "expectation": rule, "requirement": told} for rule, told in RULES.items()]
    suite = gx.ExpectationSuite(
        name="sales_order",
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(column="sales_order_id", meta={**meta[0], "severity": "warning"}),
            gxe.ExpectColumnValuesToBeInSet(
                column="__is_date__agreed_payment_date", value_set=[False], meta={**meta[1], "severity": "critical"}
            ),
        ],
    )
    source = gx.get_context(mode="ephemeral").data_sources.add_spark(name="test", persist=False)
    batches = source.add_dataframe_asset(name="sales_order").add_batch_definition_whole_dataframe("rows")
    found: dict[bool, dict[str, Any]] = {}
    for kept, shown in ((True, frame.limit(1)), (False, frame)):
        batch = batches.get_batch(batch_parameters={"dataframe": shown})
        found[kept] = batch.validate(suite, result_format="BOOLEAN_ONLY").to_json_dict()
        assert found[kept]["success"] is kept
    (broken,) = (rule for rule in found[False]["results"] if not rule["success"])
    broken["result"] = {
        "element_count": 12345,
        "unexpected_count": 2,
        "unexpected_percent": 100 * 2 / 12345,
        "partial_unexpected_list": KEYS,
    }
    return found


@pytest.fixture
def zone(results: dict[bool, dict[str, Any]], tmp_path: Path) -> RawZone:
    """A lake with three batches: one that both gates let through, one that nobody looked at, one that was rejected."""
    zone = RawZone(str(tmp_path / "lake"))
    for layers in ({"raw": True, "star": True}, {}, {"raw": False}):
        batch_id = zone.claim()
        for layer, kept in layers.items():
            body = {"batch_id": batch_id, "layer": layer, "results": [results[kept]]}
            zone.note(batch_id, f"validation_{layer}", body)
    zone.reject(3, "agreed_payment_date & <others> are no dates")
    return zone


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 server with a bucket `docs`."""
    with moto_server(monkeypatch, "us-east-1"):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="docs")
        yield s3


def _refuse(*_: object) -> None:
    raise AssertionError("somebody is called")


def test_the_site_is_whole_and_calls_nobody(zone: RawZone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as cut_off:
        cut_off.setattr(socket.socket, "connect", _refuse)
        cut_off.setattr(socket, "getaddrinfo", _refuse)
        index = build(zone, str(tmp_path / "site"))
    assert index == (tmp_path / "site" / "index.html").as_uri()
    pages = {path: Page(path.read_text()) for path in (tmp_path / "site").rglob("*.html")}
    for path, page in pages.items():
        assert page.loaded == ["data:,"]
        assert "script" not in page.tags
        assert "http" not in path.read_text()
        targets = {(path.parent / link.partition("#")[0]).resolve() for link in page.links if link[0] != "#"}
        assert targets <= pages.keys()
        if path.name == "index.html":
            assert targets == pages.keys() - {path}


def test_the_index_shows_the_newest_first(zone: RawZone, tmp_path: Path) -> None:
    build(zone, str(tmp_path / "site"))
    page = Page((tmp_path / "site" / "index.html").read_text())
    assert "the last 2 batches" in page.text
    assert "3 rejected raw sales_order 1 0 0 2 20" in page.text
    assert page.text.index("Batch 3 rejected") < page.text.index("Batch 1")
    assert "agreed_payment_date & <others> are no dates" in page.text
    assert "✗ no" in page.text
    assert page.text.count("✓ yes") == 2


def test_a_broken_rule_stands_in_our_words_with_count_and_keys(zone: RawZone, tmp_path: Path) -> None:
    build(zone, str(tmp_path / "site"))
    page = Page((tmp_path / "site" / "validations" / "batch_000003" / "raw" / "sales_order.html").read_text())
    assert "1 of 2 expectations are broken" in page.text
    assert (
        "agreed_payment_date must be a date & <no> $time critical 2 of 12,345 rows break it. "
        "Keys of some of them 2 <script>alert(1)</script> {'<script>': '&'} 0.0162% of the rows"
    ) in page.text
    assert "sales_order_id must not be NULL warning" in page.text
    assert "__is_date__" not in page.text
    assert "script" not in page.tags


def test_a_site_is_written_over_an_older_one(zone: RawZone, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(zone, str(site))
    (site / "notes.html").write_text("somebody else's")
    build(zone, str(site), batches=1)
    assert {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()} == {
        "index.html",
        "notes.html",
        "validations/batch_000003/raw/sales_order.html",
    }


@pytest.mark.integration
def test_a_site_goes_into_a_bucket(zone: RawZone, bucket: Any) -> None:
    bucket.put_object(Bucket="docs", Key="quality/validations/batch_000009/raw/old.html", Body=b"")
    bucket.put_object(Bucket="docs", Key="quality/notes.html", Body=b"")
    assert build(zone, "s3://docs/quality/") == "s3://docs/quality/index.html"
    assert {found["Key"] for found in bucket.list_objects_v2(Bucket="docs")["Contents"]} == {
        "quality/index.html",
        "quality/notes.html",
        "quality/validations/batch_000001/raw/sales_order.html",
        "quality/validations/batch_000001/star/sales_order.html",
        "quality/validations/batch_000003/raw/sales_order.html",
    }
    index = bucket.get_object(Bucket="docs", Key="quality/index.html")
    assert index["ContentType"] == "text/html; charset=utf-8"
    assert "✗ no" in Page(index["Body"].read().decode()).text
    with pytest.raises(StorageError, match=r"s3://nowhere/ \("):
        build(zone, "s3://nowhere")


def test_without_a_validated_batch_there_is_no_site(tmp_path: Path) -> None:
    zone = RawZone(str(tmp_path / "lake"))
    zone.claim()
    with pytest.raises(StateError, match="No gate has looked at a batch"):
        build(zone, str(tmp_path / "site"))
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--quality", "--output", "site"], 0, ""),
        (["--quality", "--output", "lake/lake.json"], 1, "The site cannot be written in"),
        (["--quality", "--lake", "nothing"], 1, "There is no lake in nothing"),
    ],
)
def test_the_command(zone: RawZone, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    zone.lake_id()
    command = [sys.executable, str(ROOT / "scripts" / "etl.py"), "report", "--lake", "lake", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stdout == (f"{(tmp_path / 'site' / 'index.html').as_uri()}\n" if code == 0 else "")
