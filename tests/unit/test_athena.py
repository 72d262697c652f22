"""What is sent to Athena, and what is made of its answers: on moto, which runs no SQL, and on recorded shapes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest
import requests
from botocore.stub import Stubber
from moto import mock_aws
from typer.testing import CliRunner

from retail_etl.manifests import Manifests
from scripts import etl, lake_views
from scripts.athena import Athena
from scripts.named_queries import named_query
from scripts.report import engines, queries
from scripts.statements import QueryError

COLUMNS = [
    {"Name": "order_id", "Type": "integer"},
    {"Name": "price", "Type": "decimal", "Precision": 10, "Scale": 2},
    {"Name": "at", "Type": "timestamp"},
    {"Name": "tags", "Type": "array"},
]


def _row(*values: str | None) -> dict[str, Any]:
    return {"Data": [{} if value is None else {"VarCharValue": value} for value in values]}


NAMES = _row("order_id", "price", "at", "tags")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def _sent(execution: str) -> dict[str, Any]:
    found: dict[str, Any] = boto3.client("athena").get_query_execution(QueryExecutionId=execution)["QueryExecution"]
    return found


def _all_sent() -> list[dict[str, Any]]:
    return [_sent(execution) for execution in boto3.client("athena").list_query_executions()["QueryExecutionIds"]]


@pytest.mark.usefixtures("aws")
def test_a_named_query_goes_to_the_workgroup_as_it_is_with_its_values_beside_it() -> None:
    boto3.client("athena").create_work_group(Name="people")
    answer = {
        "region": "eu-west-2",
        "results": [{"rows": [NAMES, _row("1", "12.50", "2024-03-01 10:00:00.500", None)], "column_info": COLUMNS}],
    }
    requests.post("http://motoapi.amazonaws.com/moto-api/static/athena/query-results", json=answer, timeout=10)
    query = named_query("order_history")
    rows = Athena("star", "people").query(query.sql, [100]).read_all().to_pylist()
    moment = datetime(2024, 3, 1, 10, 0, 0, 500000, tzinfo=UTC).replace(tzinfo=None)
    assert rows == [{"order_id": 1, "price": Decimal("12.50"), "at": moment, "tags": None}]
    (sent,) = _all_sent()
    assert (sent["Query"], sent["ExecutionParameters"]) == (query.sql, ["100"])
    assert (sent["WorkGroup"], sent["QueryExecutionContext"]) == ("people", {"Database": "star"})


@pytest.mark.usefixtures("aws")
def test_the_report_on_a_lake_in_s3_asks_athena_once_something_is_published() -> None:
    boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    zone = Manifests("s3://lake/here")
    assert engines.lake(zone.location, "star", "primary").is_empty
    batch_id = zone.claim()
    for stage in ("extract", "publish"):
        zone.finish(batch_id, stage, {})
    lake = engines.lake(zone.location, "star", "primary")
    assert not lake.is_empty
    column = {"Name": "sales_order_id", "Type": "integer"}
    answer = {
        "region": "eu-west-2",
        "results": [{"rows": [_row("sales_order_id"), _row("7")], "column_info": [column]}],
    }
    requests.post("http://motoapi.amazonaws.com/moto-api/static/athena/query-results", json=answer, timeout=10)
    question = queries.ORDER_WITH_MOST_VERSIONS.sql
    assert lake.ask(question).to_pylist() == [{"sales_order_id": 7}]
    assert [sent["Query"] for sent in _all_sent()] == [question]


@pytest.mark.usefixtures("aws")
def test_text_goes_as_a_literal_of_itself() -> None:
    Athena("star", "primary").query("SELECT ?, ?", ["it's \\ 'here'", 7])
    (sent,) = _all_sent()
    assert sent["ExecutionParameters"] == ["'it''s \\ ''here'''", "7"]


@pytest.mark.usefixtures("aws")
def test_views_are_made_in_an_order_that_works() -> None:
    assert CliRunner().invoke(etl.app, ["athena-views", "--database", "star"]).exit_code == 0
    made: list[str] = []
    for sent in _all_sent():
        head, _, body = sent["Query"].partition(" AS\n")
        view = head.removeprefix("CREATE OR REPLACE VIEW ")
        assert not [later for later in set(lake_views.views()) - set(made) - {view} if f"FROM {later}" in body]
        assert body == lake_views.views(lake_views.MILLISECONDS)[view]
        assert "timestamp(6)" not in body
        made.append(view)
    assert made == list(lake_views.views())


@pytest.mark.usefixtures("aws")
def test_a_workgroup_that_is_not_there_is_one_sentence_with_its_cure() -> None:
    with pytest.raises(QueryError, match=r"Athena refused .*--workgroup"):
        Athena("star", "nobodys").query("SELECT 1")


def test_without_a_region_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(QueryError, match="AWS_REGION"):
        Athena("star", "primary").query("SELECT 1")


@pytest.mark.usefixtures("aws")
def test_results_are_read_page_by_page_and_only_as_far_as_somebody_reads() -> None:
    athena = Athena("star", "primary")
    with Stubber(athena.client) as stub:
        stub.add_response("start_query_execution", {"QueryExecutionId": "x"})
        stub.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": "QUEUED"}}})
        stub.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}})
        shape = {"ColumnInfo": COLUMNS}
        pages = ([NAMES, _row("1", "1.00", None, "[a, b]")], [_row("2", None, None, None)], [])
        for number, rows in enumerate(pages):
            more = {"NextToken": str(number)} if number < len(pages) - 1 else {}
            stub.add_response("get_query_results", {"ResultSet": {"Rows": rows, "ResultSetMetadata": shape}, **more})
        reader = athena.query("SELECT 1")
        assert reader.read_next_batch().to_pylist()[0]["tags"] == "[a, b]"
        assert [row["order_id"] for row in reader.read_all().to_pylist()] == [2]
        stub.assert_no_pending_responses()


@pytest.mark.usefixtures("aws")
def test_what_athena_refuses_is_told_with_what_was_probably_meant() -> None:
    athena = Athena("star", "primary")
    reason = "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.star.dim_staf' does not exist"
    with Stubber(athena.client) as stub:
        stub.add_response("start_query_execution", {"QueryExecutionId": "x"})
        failed = {"State": "FAILED", "StateChangeReason": reason}
        stub.add_response("get_query_execution", {"QueryExecution": {"Status": failed}})
        with pytest.raises(QueryError, match=r"TABLE_NOT_FOUND.*Did you mean dim_staff"):
            athena.query("SELECT * FROM dim_staf")
