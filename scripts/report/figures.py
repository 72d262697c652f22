"""The report's data: answers to `queries.py` and the state of the pipeline, as the JSON object that the page draws.

Answers stand in it column by column; a text or a day that comes again is written once (`{"values", "codes"}`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_etl.errors import ConfigurationError
from retail_etl.manifests import Manifests
from scripts.health import Look
from scripts.report import queries
from scripts.report.engines import Answers
from scripts.report.pipeline import read_pipeline_state
from scripts.report.queries import Period, Query

LARGEST_ANSWER = 40_000
"""Rows of one answer that the page still adds up at once, and that keep the file small."""

TRIES = 3

Figures = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a report is made of. `stars`: who answers for the business. `lake`: who answers for the pipeline. `zone`:
    the lake's manifests, None where there is no lake. `order`: a sales order, None for the one with most versions.
    `look`: what the source said, None where it was not asked. `at`: now, in UTC.
    """

    stars: Answers
    lake: Answers
    zone: Manifests | None
    order: int | None = None
    look: Look | None = None
    at: datetime = field(default_factory=partial(datetime.now, UTC))


def figures(asked: Asked) -> Figures:
    """All that the page shows, of one moment: where a batch is published meanwhile, all is asked again.

    ConfigurationError where there is no such order.
    """
    for _ in range(TRIES):
        before = _publishing(asked.zone)
        found = _figures(asked)
        if _publishing(asked.zone) == before:
            break
    return found


def _publishing(zone: Manifests | None) -> tuple[int, bool, bool]:
    """How far publishing is: the newest batch, whether its tables are about to be seen, and whether all of them are."""
    latest = zone.latest() if zone else 0
    began, ended = (bool(zone and zone.manifest(latest, stage)) for stage in ("publish_intent", "publish"))
    return latest, began, ended


def _figures(asked: Asked) -> Figures:
    period, tables = _business(asked)
    return {
        "made_at": asked.at.isoformat(timespec="seconds"),
        "today": asked.at.date().isoformat(),
        "read_from": asked.stars.name,
        "period": period,
        "members": queries.MEMBERS,
        "states": queries.STATES,
        "pipeline": read_pipeline_state(asked.zone, asked.look) if asked.zone else None,
        "tables": tables | _of_pipeline(asked),
    }


def _business(asked: Asked) -> tuple[Period, Figures]:
    if asked.stars.is_empty:
        return "day", {}
    extent = asked.stars.ask(queries.EXTENT.sql)
    period = finest_period(extent.to_pylist())
    wanted = [queries.CURRENCIES, *queries.business(period, asked.at.date())]
    order = _order(asked)
    if order is not None:
        wanted += queries.order_history(order)
    return period, {"extent": columns(extent)} | _answers(asked.stars, wanted)


def finest_period(extent: Iterable[dict[str, Any]]) -> Period:
    """Days where no answer can then be too large, else weeks, else months. `extent`: rows of `queries.EXTENT`."""
    facts = list(extent)

    def largest(periods: str) -> int:
        def most(fact: dict[str, Any]) -> int:
            members = queries.MEMBERS * fact["currencies"] + 1
            return int(min(fact["facts"], fact[periods] * fact["currencies"] * members))

        return max(map(most, facts), default=0)

    return "day" if largest("days") <= LARGEST_ANSWER else "week" if largest("weeks") <= LARGEST_ANSWER else "month"


def _order(asked: Asked) -> int | None:
    if asked.order is None:
        found = asked.stars.ask(queries.ORDER_WITH_MOST_VERSIONS.sql).to_pylist()
        return found[0]["sales_order_id"] if found else None
    known = asked.stars.ask(f"SELECT count(*) AS versions FROM fact_sales_order WHERE sales_order_id = {asked.order:d}")
    if not known.to_pylist()[0]["versions"]:
        raise ConfigurationError(
            f"--order {asked.order}: the {asked.stars.name} has no such sales order. Without --order the one with most "
            "versions is shown."
        )
    return asked.order


def _of_pipeline(asked: Asked) -> Figures:
    """From the lake, or as far as the warehouse can tell."""
    teller = asked.stars if asked.lake.is_empty else asked.lake
    if teller.is_empty:
        return {}
    return _answers(teller, (query for query in queries.PIPELINE if query.needs in (None, teller.name)))


def _answers(teller: Answers, wanted: Iterable[Query]) -> Figures:
    return {query.name: columns(teller.ask(query.sql)) for query in wanted}


# ---------------------------------------------------------------------------- JSON


def columns(answer: pa.Table) -> Figures:
    """An answer as `{"rows": n, "columns": {name: values, or {"values": …, "codes": …}}}`."""
    named = zip(answer.column_names, answer.columns, strict=True)
    return {"rows": answer.num_rows, "columns": {name: _values(column) for name, column in named}}


def _values(column: pa.ChunkedArray) -> Any:
    if pa.types.is_decimal(column.type):
        column = pc.cast(pc.cast(column, pa.string()), pa.float64())  # the nearest: Arrow's own cast may miss it
    if pa.types.is_temporal(column.type):
        column = pc.cast(column, pa.string())
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return column.to_pylist()
    coded = column.combine_chunks().dictionary_encode()
    if len(coded.dictionary) in (0, len(column)):
        return column.to_pylist()
    return {"values": coded.dictionary.to_pylist(), "codes": coded.indices.to_pylist()}
