"""Metrics, sent to a server that speaks CloudWatch's protocol, and read back from it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session

from retail_etl import model
from retail_etl.errors import MetricsError
from retail_etl.expectations import Expectation
from retail_etl.gates import Findings
from retail_etl.metrics import Metric, publish
from retail_etl.quality import Outcome
from retail_etl.runtime import Job
from tests.moto_server import moto_server

NAMESPACE = "retail-etl"


class Wire:
    """Counts the requests that go over it; the first `lost` of them do not arrive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests = 0
        self.lost = 0
        send = URLLib3Session.send

        def counted(session: URLLib3Session, request: Any) -> Any:
            self.requests += 1
            if self.requests <= self.lost:
                raise EndpointConnectionError(endpoint_url=request.url)
            return send(session, request)

        monkeypatch.setattr(URLLib3Session, "send", counted)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with moto_server(monkeypatch):
        yield


@pytest.fixture
def wire(server: None, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def _read_back(name: str, **dimensions: str) -> tuple[float, float, str]:
    """Samples, sum and unit of the last hour."""
    now = datetime.now(UTC)
    points = boto3.client("cloudwatch").get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=["SampleCount", "Sum"],
    )["Datapoints"]
    (point,) = points
    return point["SampleCount"], point["Sum"], point["Unit"]


@pytest.mark.integration
@pytest.mark.usefixtures("server")
def test_what_is_published_can_be_read_back_by_name_and_dimensions() -> None:
    publish(
        NAMESPACE,
        [
            Metric("QuarantinedRows", 3, "Count", {"Table": "payment", "Layer": "raw"}),
            Metric("QuarantinedRows", 4, "Count", {"Table": "design", "Layer": "raw"}),
            Metric("Freshness", 12.5, "Seconds"),
        ],
    )
    assert _read_back("QuarantinedRows", Table="payment", Layer="raw") == (1, 3, "Count")
    assert _read_back("QuarantinedRows", Table="design", Layer="raw") == (1, 4, "Count")
    assert _read_back("Freshness") == (1, 12.5, "Seconds")


@pytest.mark.integration
def test_more_than_one_call_takes_go_in_several_and_none_go_in_no_call(wire: Wire) -> None:
    publish(NAMESPACE, [])
    assert wire.requests == 0
    publish(NAMESPACE, (Metric("Rows", number, "Count") for number in range(2001)))
    assert wire.requests == 3
    assert _read_back("Rows") == (2001, 2000 * 2001 / 2, "Count")


@pytest.mark.integration
def test_a_call_that_is_lost_is_made_again(wire: Wire) -> None:
    wire.lost = 1
    publish(NAMESPACE, [Metric("Rows", 7, "Count")])
    assert wire.requests == 2
    assert _read_back("Rows") == (1, 7, "Count")


@pytest.mark.integration
@pytest.mark.usefixtures("server")
def test_what_cloudwatch_refuses_is_one_sentence() -> None:
    with pytest.raises(MetricsError, match=r"metrics of retail-etl \(.*InvalidParameterValue.*PutMetricData"):
        publish(NAMESPACE, [Metric("Rows", float("nan"), "Count")])


@pytest.mark.integration
def test_a_cloudwatch_that_cannot_be_reached_is_one_sentence(wire: Wire) -> None:
    wire.lost = 99
    with pytest.raises(MetricsError, match=r"Could not connect .* Check that it can be reached"):
        publish(NAMESPACE, [Metric("Rows", 7, "Count")])
    assert wire.requests == 5


@pytest.mark.integration
def test_without_a_region_it_is_the_same_error(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(MetricsError, match="You must specify a region"):
        publish(NAMESPACE, [])


@pytest.mark.integration
@pytest.mark.usefixtures("server")
def test_a_gate_tells_what_failed_and_how_many_rows_are_in_quarantine() -> None:
    rule = Expectation("minimum", (model.SALES_ORDER.column("units_sold"),), "warning")
    outcomes = [Outcome("sales_order", rule, success, 10, 0.1) for success in (True, False, False)]
    findings = Findings("raw", 7, {}, outcomes)
    findings.measure(Job("gate", {}), {"sales_order": 3})  # nobody asked for metrics
    findings.measure(Job("gate", {"metrics_namespace": NAMESPACE}), {"sales_order": 3, "staff": 0})
    assert _read_back("QuarantinedRows", Table="sales_order") == (1, 3, "Count")
    assert _read_back("QuarantinedRows", Table="staff") == (1, 0, "Count")
    of_table = {"Layer": "raw", "Table": "sales_order", "Severity": "warning"}
    assert _read_back("FailedExpectations", **of_table) == (1, 2, "Count")
    assert _read_back("EvaluatedExpectations", Layer="raw") == (1, 3, "Count")
