"""Great Expectations: one suite on the counts of tables, which are a row of pandas, and nothing left out unnoticed."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from retail_etl import spark
from retail_etl.audit import Audit, counted_as, expect, rows_of
from retail_etl.errors import QualityError, RetailEtlError, StateError
from retail_etl.expectations import Expectation

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations import Expectation as GreatExpectation


@dataclass(frozen=True)
class Counted:
    """What was counted of one table: the rows, and for each expectation, by its number, how many rows break it."""

    audit: Audit
    rows: int
    broken: Mapping[int, int]


@dataclass(frozen=True)
class Validation:
    """What Great Expectations found of one table: which rules hold, and its own document for Data Docs."""

    holds: Mapping[Expectation, bool]
    document: dict[str, Any]


def validate(tables: Mapping[str, Counted]) -> dict[str, Validation]:
    """Evaluate what the model expects of these tables, all of it at once: on one row that has a column for each count.

    QualityError where fewer were evaluated than were asked for, or one of them raised.
    """
    if not tables:
        return {}
    rules = {name: one.audit.expectations() for name, one in tables.items()}
    asked = (str(uuid4()), ", ".join(tables))
    expectations = [expect(tables[name].audit, r, number) for name in tables for number, r in enumerate(rules[name])]
    result = _result(*asked, expectations, _row(tables))
    about = result.meta.get("active_batch_definition", {})
    if (about.get("datasource_name"), about.get("data_asset_name")) != asked:
        raise QualityError(
            f"Great Expectations' result is about {about.get('data_asset_name')} of {about.get('datasource_name')}, "
            f"and {asked[1]} of {asked[0]} was asked for: it counts for nothing, and all rules as broken."
        )
    holds: dict[str, dict[Expectation, bool]] = {name: {} for name in tables}
    for outcome in result.results:
        meta = (outcome.expectation_config and outcome.expectation_config.meta) or {}
        rule = rules[meta["table"]][meta["number"]]
        if raised := _exception(outcome.exception_info or {}):
            raise stumbled(raised, f"Great Expectations could not evaluate {meta['table']}.{rule}")
        holds[meta["table"]][rule] = bool(outcome.success)
    for name in tables:
        if missing := [str(rule) for rule in rules[name] if rule not in holds[name]]:
            raise QualityError(
                f"Great Expectations evaluated {len(holds[name])} of the {len(rules[name])} expectations of "
                f"{name}; left out: {', '.join(missing)}. A rule that was not looked at counts as broken."
            )
    document: dict[str, Any] = result.to_json_dict()  # type: ignore[no-untyped-call]
    return {name: Validation(holds[name], _of_table(document, name)) for name in tables}


def _row(tables: Mapping[str, Counted]) -> "pd.DataFrame":
    """One row: how many rows each table has, and how many break each of its rules."""
    import pandas as pd

    counts: dict[str, int] = {}
    for one in tables.values():
        counts[rows_of(one.audit)] = one.rows
        counts |= {counted_as(one.audit, number): int(count) for number, count in one.broken.items()}
    return pd.DataFrame(counts, index=[0])


def _result(
    source_name: str, asset_name: str, expectations: Sequence["GreatExpectation"], row: "pd.DataFrame"
) -> "ExpectationSuiteValidationResult":
    import great_expectations as gx

    context = _context()
    suite = gx.ExpectationSuite(name=source_name, expectations=expectations)
    with _lock:
        source = context.data_sources.add_or_update_pandas(name=source_name)
        definition = source.add_dataframe_asset(name=asset_name).add_batch_definition_whole_dataframe("counts")
        batch = definition.get_batch(batch_parameters={"dataframe": row})
    return batch.validate(suite, result_format="BOOLEAN_ONLY")


def _of_table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Great Expectations' document as if it had been asked about this table alone."""
    results = [one for one in document["results"] if one["expectation_config"]["meta"]["table"] == name]
    holding = sum(one["success"] for one in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": holding,
        "unsuccessful_expectations": len(results) - holding,
        "success_percent": 100 * holding / len(results),
    }
    success = holding == len(results)
    return {**document, "suite_name": name, "success": success, "results": results, "statistics": statistics}


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
