"""An expectation of our own for Great Expectations: no row has a flag, which is a bit of a column. All flags of a table
are counted in one pass, where each of its expectations on columns brings three counts of its own, in two passes.
"""

from typing import Any, ClassVar

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from pyspark.sql import Column
from pyspark.sql import functions as F

_METRIC = "table.flagged_row_count"


class FlaggedRowCount(TableMetricProvider):
    """How many rows have the flag: the bit of that number in the column."""

    metric_name = _METRIC
    value_keys = ("flags", "number")

    @metric_partial(
        engine=SparkDFExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _spark(
        cls,  # noqa: N805 # as the library's own are written
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> tuple[Column, dict[str, Any], dict[str, Any]]:
        bit = F.lit(1 << metric_value_kwargs["number"]).cast("bigint")
        return F.count_if(F.col(metric_value_kwargs["flags"]).bitwiseAND(bit) != 0), metric_domain_kwargs, {}


class ExpectNoRowToBeFlagged(BatchExpectation):
    """Expect that no row has the flag."""

    flags: str
    number: int

    metric_dependencies: ClassVar[tuple[str, ...]] = (_METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = ("flags", "number")
    args_keys: ClassVar[tuple[str, ...]] = ("flags", "number")

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: dict[str, Any] | None = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        flagged = metrics[_METRIC]
        return {"success": flagged == 0, "result": {"observed_value": flagged}}
