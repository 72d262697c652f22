"""Great Expectations: one suite on one table, evaluated on Spark in few passes, and nothing left out unnoticed."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pyspark.sql import DataFrame

from retail_etl import spark
from retail_etl.audit import Audit, expect
from retail_etl.errors import QualityError, RetailEtlError, StateError
from retail_etl.expectations import Expectation

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext


@dataclass(frozen=True)
class Validation:
    """What Great Expectations found: which rules hold, and its own document for Data Docs."""

    holds: Mapping[Expectation, bool]
    document: dict[str, Any]


def validate(audit: Audit, frame: DataFrame, rules: Sequence[Expectation]) -> Validation:
    """Evaluate the rules on a frame of `audit.looked_at`.

    QualityError where fewer were evaluated than were asked for, or one of them raised.
    """
    import great_expectations as gx

    context = _context()
    suite = gx.ExpectationSuite(
        name=f"{audit.table.name}-{uuid4()}",
        expectations=[expect(audit, rule, number) for number, rule in enumerate(rules)],
    )
    with _lock:
        source = context.data_sources.add_or_update_spark(name=suite.name, persist=False)
        definition = source.add_dataframe_asset(name=audit.table.name).add_batch_definition_whole_dataframe("rows")
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
    result = batch.validate(suite, result_format="BOOLEAN_ONLY")
    asked = (suite.name, audit.table.name)
    about = result.meta.get("active_batch_definition", {})
    if (about.get("datasource_name"), about.get("data_asset_name")) != asked:
        raise QualityError(
            f"Great Expectations' result is about {about.get('data_asset_name')} of {about.get('datasource_name')}, "
            f"and {audit.table.name} of {suite.name} was asked for: it counts for nothing, and all rules as broken."
        )
    holds: dict[Expectation, bool] = {}
    for outcome in result.results:
        config = outcome.expectation_config
        rule = rules[((config and config.meta) or {})["number"]]
        if raised := _exception(outcome.exception_info or {}):
            raise stumbled(raised, f"Great Expectations could not evaluate {audit.table.name}.{rule}")
        holds[rule] = bool(outcome.success)
    if missing := [str(rule) for rule in rules if rule not in holds]:
        raise QualityError(
            f"Great Expectations evaluated {len(holds)} of the {len(rules)} expectations of "
            f"{audit.table.name}; left out: {', '.join(missing)}. A rule that was not looked at counts as broken."
        )
    return Validation(
        holds,
        {
            **result.to_json_dict(),  # type: ignore[no-untyped-call]
            "suite_name": audit.table.name,
        },
    )


def stumbled(raised: str, at: str) -> RetailEtlError:
    """What to raise where Spark failed with this text: StateError where an object's bytes are damaged."""
    if unreadable := re.search(r"while reading file (\S+)\.\s", raised):
        return StateError(
            f"{unreadable.group(1)} cannot be read: its bytes are not as they were written. "
            "The next run reads the source again; or restore it."
        )
    return QualityError(f"{at}: {spark.root_cause(raised)}")


def prepare() -> None:
    """Get Great Expectations ready, which takes seconds: in another thread, while Spark reads what it will judge."""
    _context()


def _exception(info: Mapping[str, Any]) -> str | None:
    """What an evaluation raised. It is told flat, or below the id of the metric that failed."""
    told = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, Mapping)]
    return next((str(one.get("exception_message")) for one in told if one.get("raised_exception")), None)


_lock = Lock()
_contexts: list["EphemeralDataContext"] = []


def _context() -> "EphemeralDataContext":
    """The process's one context: it keeps nothing on disk and calls nobody."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    with _lock:
        if not _contexts:
            # It would tell everybody where its temporary folder is.
            logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = ProgressBarsConfig(globally=False)
            _contexts.append(context)
    return _contexts[0]
