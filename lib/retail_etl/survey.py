"""What a gate must know of many rows, found out where their bytes are: by Arrow, object by object, on Spark's workers.

A survey tells for certain that rows are good. Bad ones it only suspects, as it does whatever it does not understand:
then Spark goes over the table, and the predicates of `audit.py` say what holds. So nothing passes here that would not
pass there; tests/integration/test_surveys.py holds both against each other.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, reduce
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pycountry
from pyspark.sql import SparkSession

from retail_etl import json_objects, model
from retail_etl.data_files import Part, create, parquet
from retail_etl.errors import StateError, StorageError
from retail_etl.expectations import Expectation, Kind, declared
from retail_etl.json_objects import DAMAGED, UnclearError
from retail_etl.schema import (
    BATCH_ID,
    FIRST_DATE,
    LARGEST_INT,
    LAST_DATE,
    SMALLEST_INT,
    Column,
    SourceTable,
    StarTable,
)
from retail_etl.spark import MANY
from retail_etl.values import Values, values_of

_OTHERWISE_TOLD = frozenset(
    ("row_count", "readable", "volume", "unique", "reference", "no_holes", "freshness", "accounted", "sum")
)
"""The kinds of rules that rows do not tell one by one: counts, values and what lies elsewhere tell them."""

WIDE = pa.decimal128(38, 4)
"""Room for the sum of any additive column."""


@dataclass
class Survey:
    """What was found. `doubts`: the rules that rows may break, by their name. `is_certain`: whether all was understood;
    else nothing of it counts. `values`: what is in the key and in the columns that refer to other tables, without NULL.
    `copies`: object → bytes, where parts were to be copied.
    """

    rows: int = 0
    is_certain: bool = True
    doubts: set[str] = field(default_factory=set)
    values: dict[str, Values] = field(default_factory=dict)
    sums: dict[str, Decimal] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: "Survey") -> None:
        """Take what was found of another part of the same table."""
        self.rows += other.rows
        self.seconds += other.seconds
        self.is_certain &= other.is_certain
        self.doubts |= other.doubts
        self.copies |= other.copies
        for name, values in other.values.items():
            self.values[name] = self.values.get(name, Values()) | values
        for name, total in other.sums.items():
            self.sums[name] = self.sums.get(name, Decimal(0)) + total


def survey(
    parts: Mapping[str, Sequence[Part]], session: SparkSession | None = None, rows: int = 0
) -> dict[str, Survey]:
    """Go over the parts of each table, each part once: table → what was found. On the session's workers where there are
    many rows in all, else here.
    """
    largest_first = sorted(chain.from_iterable(parts.values()), key=lambda part: -part.size)
    if session is None or rows <= MANY or not largest_first:
        surveyed: Iterable[Survey] = map(look_at, largest_first)
    else:
        surveyed = session.sparkContext.parallelize(largest_first, len(largest_first)).map(look_at).collect()
    found = {name: _nothing(model.SOURCE.get(name) or model.STAR[name]) for name in parts}
    for part, one in zip(largest_first, surveyed, strict=True):
        found[part.table].add(one)
    return found


def _nothing(table: SourceTable | StarTable) -> Survey:
    return Survey(values={name: Values() for name in surveyed_columns(table)})


def look_at(part: Part) -> Survey:
    """What is found of one part."""
    since = time.monotonic()
    table = part.of
    found = _nothing(table)
    copy = pa.BufferOutputStream()
    try:
        with _copying(part, copy) as keep:
            for rows in json_objects.rows(part) if part.table in model.SOURCE else _from_parquet(table, part):
                _note(found, table, rows)
                keep(rows)
    except (UnclearError, StateError, StorageError, *DAMAGED):
        found.is_certain = False  # Spark says what is wrong with it
    if part.copy and found.is_certain:
        data = copy.getvalue()
        create(part.copy, data.to_pybytes())  # an earlier try of this task may have done so
        found.copies[part.copy] = data.size
    found.seconds = time.monotonic() - since
    return found


@contextmanager
def _copying(part: Part, copy: pa.BufferOutputStream) -> Iterator[Callable[[Any], None]]:
    """Gives what takes rows; where a copy of the part is wanted, they are Parquet when the block ends."""
    if not part.copy:
        yield lambda rows: None
        return
    schema = json_objects.schema_of(part.of)
    with pq.ParquetWriter(copy, schema, use_dictionary=False, write_statistics=False) as writer:  # it is read whole
        yield writer.write_table


def surveyed_columns(table: SourceTable | StarTable) -> tuple[str, ...]:
    """The columns whose values a survey tells."""
    return tuple(dict.fromkeys((table.key, *(column.name for column in table.columns if column.references))))


def is_surveyed(table: SourceTable | StarTable) -> bool:
    """Whether the table's own key is all that must be unique in a batch."""
    return isinstance(table, SourceTable) or set(table.identity) <= {table.key, BATCH_ID}


@cache
def iso_4217() -> tuple[str, ...]:
    """The currency codes that ISO 4217 knows."""
    return tuple(currency.alpha_3 for currency in pycountry.currencies)


# ---------------------------------------------------------------------------- objects


def _from_parquet(table: SourceTable | StarTable, part: Part) -> Iterator[Any]:
    if not part.has_all_rows:
        raise UnclearError
    rules = [column.name for rule in declared(table) for column in rule.columns]
    columns = list(dict.fromkeys((*surveyed_columns(table), *rules, BATCH_ID)))
    with parquet(part.uri) as file:
        if not set(columns) <= set(file.schema_arrow.names):
            raise UnclearError
        for batch in file.iter_batches(columns=columns, use_threads=False):
            rows = pa.Table.from_batches([batch])
            yield rows.filter(pc.equal(rows[BATCH_ID], part.batch_id))


# ---------------------------------------------------------------------------- rules


def _note(found: Survey, table: SourceTable | StarTable, rows: Any) -> None:
    found.rows += rows.num_rows
    for rule in declared(table):
        if rule.kind not in _OTHERWISE_TOLD and str(rule) not in found.doubts and _may_break(rows, rule):
            found.doubts.add(str(rule))
    for name in found.values:
        found.values[name] |= values_of(rows[name])
    for column in table.columns:
        if column.is_additive:
            total = pc.sum(rows[column.name].cast(WIDE)).as_py()
            found.sums[column.name] = found.sums.get(column.name, Decimal(0)) + (total or Decimal(0))


def _may_break(rows: Any, rule: Expectation) -> bool:
    holds = _HOLD.get(rule.kind)
    if holds is None:
        return True
    try:
        return not holds(rows, rule)
    except pa.ArrowInvalid:  # a text that is none of the type, or a number that it has no room for
        return True


def _all(conditions: Any) -> bool:
    """Whether all are true; NULLs say nothing, as where nothing is."""
    return pc.all(conditions, skip_nulls=True).as_py() is not False


def _between(column: Any, least: Any, greatest: Any) -> bool:
    found = pc.min_max(column).as_py()
    return found["min"] is None or (least <= found["min"] and found["max"] <= greatest)


def _dates(rows: Any, column: Column) -> Any:
    return rows[column.name].cast(pa.date32())  # strict: YYYY-MM-DD, of days that there are


def _moments(rows: Any, column: Column) -> Any:
    return rows[column.name].cast(pa.timestamp("us"))


def _are_dates(rows: Any, rule: Expectation) -> bool:
    first, last = (pa.scalar(end).cast(pa.date32()).cast(pa.int32()).as_py() for end in (FIRST_DATE, LAST_DATE))
    return _between(_dates(rows, rule.column).cast(pa.int32()), first, last)


def _are_times(rows: Any, rule: Expectation) -> bool:
    texts = rows[rule.column.name]
    of_days_alone = not _between(pc.binary_length(texts), len("YYYY-MM-DDTHH:MM:SS"), 26)
    if of_days_alone or not _between(pc.find_substring(texts, "T"), 10, 10):
        return False
    ends = (pa.scalar(end).cast(pa.timestamp("us")) for end in (FIRST_DATE, f"{LAST_DATE}T23:59:59.999999"))
    first, last = (end.cast(pa.int64()).as_py() for end in ends)
    return _between(_moments(rows, rule.column).cast(pa.int64()), first, last)


def _fit_decimals(rows: Any, rule: Expectation) -> bool:
    return _match(rows, rule, rule.column.type.fitting)


def _match(rows: Any, rule: Expectation, pattern: str) -> bool:
    return _all(pc.match_substring_regex(rows[rule.column.name], pattern))


def _match_pattern(rows: Any, rule: Expectation) -> bool:
    # Of printable ASCII both kinds of patterns mean the same: Java's, which Spark has, and these.
    texts, pattern = rows[rule.column.name], (rule.column.pattern or "").replace("$", r"\z")
    return _all(pc.match_substring_regex(texts, r"\A[ -~]*\z")) and _match(rows, rule, pattern)


def _reach_minimum(rows: Any, rule: Expectation) -> bool:
    column, minimum = rows[rule.column.name], rule.column.minimum or 0
    if rule.column.type.raw == "string":
        if minimum <= 0:
            return not pc.any(pc.starts_with(column, "-")).as_py()
        column = column.cast(WIDE)
    return _all(pc.greater_equal(column, pa.scalar(minimum).cast(column.type)))


def _are_not_before(rows: Any, rule: Expectation) -> bool:
    day, moment = rule.columns
    return _all(pc.greater_equal(_dates(rows, day), _moments(rows, moment).cast(pa.date32(), safe=False)))


def _have_just_the_one(rows: Any, rule: Expectation) -> bool:
    kind, *others = rule.columns
    texts = rows[kind.name]
    filled = [pc.is_valid(rows[other.name]) for other in others]
    asked = [pc.fill_null(pc.equal(texts, value), fill_value=False) for value in rule.values]
    # Each row's kind is one of those that are known, and asks for just those that are there.
    return _all(reduce(pc.or_, asked)) and all(
        _all(pc.equal(there, ask)) for there, ask in zip(filled, asked, strict=True)
    )


_HOLD: dict[Kind, Callable[[Any, Expectation], bool]] = {
    "not_null": lambda rows, rule: rows[rule.column.name].null_count == 0,
    "is_int": lambda rows, rule: _between(rows[rule.column.name], SMALLEST_INT, LARGEST_INT),
    "pattern": _match_pattern,
    "one_of": lambda rows, rule: _all(pc.is_in(rows[rule.column.name].drop_null(), pa.array(rule.column.one_of))),
    "iso_4217": lambda rows, rule: _all(pc.is_in(rows[rule.column.name].drop_null(), pa.array(iso_4217()))),
    "fits_decimal": _fit_decimals,
    "is_date": _are_dates,
    "is_timestamp": _are_times,
    "minimum": _reach_minimum,
    "not_before": _are_not_before,
    "one_by_type": _have_just_the_one,
}
"""Whether all rows keep a rule, for certain."""
