"""Numbers for CloudWatch. What is measured, the jobs decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal

from retail_etl.errors import MetricsError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

METRICS_PER_CALL = 1000  # CloudWatch takes no more
_ATTEMPTS = 5
_TIMEOUT_SECONDS = 10

Unit = Literal["Count", "Seconds", "Bytes", "Percent", "None"]


@dataclass(frozen=True)
class Metric:
    """One measured value, as of now. `dimensions`: name → value, what CloudWatch tells series of one name apart by."""

    name: str
    value: float
    unit: Unit
    dimensions: Mapping[str, str] = field(default_factory=dict)


def publish(namespace: str, metrics: Iterable[Metric]) -> None:
    """Send the values to CloudWatch, in as few calls as it allows; none makes no call.

    MetricsError where it cannot be reached or refuses them, after botocore's retries; earlier calls stay.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
    )
    try:
        client = boto3.client("cloudwatch", config=config)
        for data in _calls(metrics):
            client.put_metric_data(Namespace=namespace, MetricData=data)
    except (BotoCoreError, ClientError) as error:
        raise MetricsError(
            f"CloudWatch does not take the metrics of {namespace} ({error}). Check that it can be reached, and that "
            "the role may do cloudwatch:PutMetricData there. Lake and warehouse are not concerned."
        ) from error


def tell_freshness(namespace: str | None, seconds: float) -> None:
    """Publish how long ago the source was as the warehouse is now, where a namespace is given. Who hears nothing of it
    for long knows that the pipeline stands still.
    """
    if namespace:
        publish(namespace, [Metric("SecondsBehindSource", seconds, "Seconds")])


def _calls(metrics: Iterable[Metric]) -> Iterator[list[MetricDatumTypeDef]]:
    rest = iter(metrics)
    while some := list(islice(rest, METRICS_PER_CALL)):
        yield [
            {
                "MetricName": metric.name,
                "Value": metric.value,
                "Unit": metric.unit,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
            }
            for metric in some
        ]
