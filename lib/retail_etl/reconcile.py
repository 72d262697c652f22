"""Reconcile: are source, lake and warehouse equal, key range by key range? What differs is named, and can be healed.

Each engine adds up what it holds: rows, and a sum of hashes of whole rows, per range of keys. Only these sums travel.
The rows are hashed as the star shows them: over the columns that come from the source, in one spelling that all three
engines write. A range whose sums differ is looked at again in ranges of 64 keys; those are what is healed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_etl import model
from retail_etl.postgres import quoted
from retail_etl.schema import DATE, DATE_TEXT, TIME, TIMESTAMP, Column, KeyRange, SourceTable, StarTable

COARSE_BITS = 14
FINE_BITS = 6

Sums = dict[int, tuple[int, int]]
"""Number of the range → rows, and the sum of their hashes."""

Query = Callable[[str], Any]
"""Runs SQL in PostgreSQL and gives the rows."""


@dataclass(frozen=True)
class Sides:
    """Whom to ask for the sums of a table: SQL in the source's snapshot and in the warehouse, a frame of the lake.
    `held`: star table → the keys whose rows are in quarantine, which are left out of all three.
    """

    source: Query
    warehouse: Query
    lake: Callable[[StarTable], DataFrame]
    held: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def source_rows(self, table: StarTable) -> str:
        """SQL for the source: `k`, the key, and `h`, the hash of the row as the star shows it."""
        return self._shown(table, source_rows(table))

    def warehouse_rows(self, table: StarTable) -> str:
        """SQL for the warehouse: the same of the rows that are current."""
        return self._shown(table, warehouse_rows(table))

    def lake_rows(self, table: StarTable) -> DataFrame:
        """The current rows of the lake."""
        rows, keys = self.lake(table), self.held.get(table.name)
        return rows.where(~F.col(table.key).isin(*keys)) if keys else rows

    def _shown(self, table: StarTable, sql: str) -> str:
        keys = ", ".join(f"{key:d}" for key in self.held.get(table.name, ()))
        return f"SELECT k, h FROM ({sql}) shown WHERE k NOT IN ({keys})" if keys else sql


@dataclass
class Comparison:
    """What the three hold of one table. `*_ranges`: the key ranges in which the lake, or the warehouse, differs.
    `quarantined`: rows of the source that are in quarantine, and in none of the sums. `stale`: source table → key
    ranges in which quarantine is not as the source is.
    """

    table: str
    rows: int = 0
    checksum: int = 0
    lake_ranges: list[KeyRange] = field(default_factory=list)
    warehouse_ranges: list[KeyRange] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    quarantined: int = 0
    stale: dict[str, list[KeyRange]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether all three hold the same, but for what is in quarantine as the source has it."""
        return not (self.lake_ranges or self.warehouse_ranges or any(self.stale.values()))

    def __str__(self) -> str:
        sample = f", for example {model.STAR[self.table].key} {', '.join(map(str, self.keys))}" if self.keys else ""
        stale = "".join(
            f"; {source} of key {', '.join(str(low) for low, _ in ranges[:5])} in quarantine is not as the source is"
            for source, ranges in self.stale.items()
            if ranges
        )
        return (
            f"{self.table}: of {self.rows:,} rows of the source, lake and warehouse differ in "
            f"{len(self.lake_ranges)} and {len(self.warehouse_ranges)} ranges of {2**FINE_BITS} keys{sample}{stale}"
        )


def compared_tables() -> list[StarTable]:
    """The star tables that show source rows; the calendar and the records of deletions follow from them."""
    return [table for table in model.STAR.values() if table.sources]


def compare(table: StarTable, sides: Sides) -> Comparison:
    """Compare one table: first in ranges of 16,384 keys, then, where they differ, of 64."""
    found = Comparison(table.name)
    source, lake, warehouse = _all_sums(table, sides, COARSE_BITS, None)
    found.rows = sum(rows for rows, _ in source.values())
    found.checksum = sum(total for _, total in source.values())
    coarse = sorted(set(_differing(source, lake)) | set(_differing(source, warehouse)))
    if coarse:
        source, lake, warehouse = _all_sums(table, sides, FINE_BITS, coarse)
        found.lake_ranges = list(_merged(_differing(source, lake)))
        found.warehouse_ranges = list(_merged(_differing(source, warehouse)))
        found.keys = _sample_keys(table, sides, found)
    return found


def _all_sums(table: StarTable, sides: Sides, bits: int, coarse: Sequence[int] | None) -> tuple[Sums, Sums, Sums]:
    return (
        _read(sides.source(_summed(sides.source_rows(table), bits, coarse))),
        lake_sums(table, sides.lake_rows(table), bits, coarse),
        _read(sides.warehouse(_summed(sides.warehouse_rows(table), bits, coarse))),
    )


def _sample_keys(table: StarTable, sides: Sides, found: Comparison) -> list[int]:
    """Up to five keys of the first range that differs, whose rows are not the same in all three."""
    low, high = min(found.lake_ranges + found.warehouse_ranges)
    within = f"SELECT k, h FROM ({{}}) r WHERE k BETWEEN {low:d} AND {high:d}"
    lake = hashed(table, sides.lake_rows(table)).where(F.col("k").between(low, high))
    holdings = [
        {(row[0], row[1]) for row in rows}
        for rows in (
            sides.source(within.format(sides.source_rows(table))),
            lake.collect(),
            sides.warehouse(within.format(sides.warehouse_rows(table))),
        )
    ]
    everywhere = set.intersection(*holdings)
    return sorted({key for key, _ in set.union(*holdings) - everywhere})[:5]


def _differing(one: Sums, other: Sums) -> Iterator[int]:
    return (number for number in sorted(one.keys() | other.keys()) if one.get(number) != other.get(number))


def _merged(numbers: Iterable[int]) -> Iterator[KeyRange]:
    """Fine ranges as key ranges, neighbours as one."""
    for _, run in groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        members = [number for _, number in run]
        yield (members[0] << FINE_BITS), ((members[-1] + 1) << FINE_BITS) - 1


def _read(rows: Iterable[Sequence[Any]]) -> Sums:
    return {int(number): (int(count), int(total)) for number, count, total in rows}


# ---------------------------------------------------------------------------- the one spelling of a row


def _origin(table: StarTable, column: Column) -> tuple[str, Column] | None:
    """The source table and column that a star column shows; None for what the source does not hold."""
    first = model.SOURCE[table.sources[0]]
    name, _, of_other = (column.origin or column.name).partition(".")
    if of_other:
        return name, model.SOURCE[name].column(of_other)
    return (first.name, first.column(name)) if name in first.column_names else None


def _spelled(table: StarTable) -> list[Column]:
    return [column for column in table.columns if _origin(table, column)]


def source_rows(table: StarTable) -> str:
    """SQL for the source: `k`, the key, and `h`, the hash of the row as the star shows it."""
    first = model.SOURCE[table.sources[0]]
    joins = ""
    for name in table.sources[1:]:
        other, link = model.SOURCE[name], _link(first, name)
        joins += f" JOIN public.{quoted(name)} ON {quoted(name, other.key)} = {quoted(first.name, link.name)}"
    texts = [_source_text(table, column) for column in _spelled(table)]
    key = quoted(first.name, first.key)
    return f"SELECT {key} AS k, {_sql_hash(texts)} AS h FROM public.{quoted(first.name)}{joins}"


def _link(first: SourceTable, other: str) -> Column:
    """The column of a source table that refers to another one, which is joined to it."""
    (link,) = (column for column in first.columns if column.references == f"{other}.{model.SOURCE[other].key}")
    return link


def held_keys(query: Query, held: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Star table → the keys of its rows that show something in quarantine: the row itself, or one joined to it.

    `held`: source table → its keys in quarantine. `query`: asks the source.
    """
    found: dict[str, list[int]] = {}
    for table in compared_tables():
        first = model.SOURCE[table.sources[0]]
        keys = list(held.get(first.name, ()))
        for name in (name for name in table.sources[1:] if held.get(name)):
            among = ", ".join(f"{key:d}" for key in held[name])
            link = quoted(_link(first, name).name)
            keys += [
                row[0]
                for row in query(
                    f"SELECT {quoted(first.key)} FROM public.{quoted(first.name)} WHERE {link} IN ({among})"
                )
            ]
        if keys:
            found[table.name] = sorted(set(keys))
    return found


def _source_text(table: StarTable, column: Column) -> str:
    name, origin = _origin(table, column) or ("", column)
    value = quoted(name, origin.name)
    if origin.type is TIMESTAMP:
        if origin.name == "last_updated":
            value = f"coalesce({value}, {quoted(name, 'created_at')})"
        return _sql_moment(value, column)
    if origin.type is DATE_TEXT:
        return value
    text = _sql_number(value, column) if column.type.precision else f"{value}::text"
    return text if column.nullable or not origin.nullable else f"coalesce({text}, '')"


def warehouse_rows(table: StarTable) -> str:
    """SQL for the warehouse: the same of the rows that are current."""
    texts = [_warehouse_text(column) for column in _spelled(table)]
    return f"SELECT {quoted(table.key)} AS k, {_sql_hash(texts)} AS h FROM public.{quoted(f'{table.name}_current')}"


def _warehouse_text(column: Column) -> str:
    value = quoted(column.name)
    if column.type in (DATE, TIME):
        return _sql_moment(value, column)
    return _sql_number(value, column) if column.type.precision else f"{value}::text"


def _sql_moment(value: str, column: Column) -> str:
    return f"to_char({value}, '{'YYYY-MM-DD' if column.type is DATE else 'HH24:MI:SS.US'}')"


def _sql_number(value: str, column: Column) -> str:
    return f"round({value}, {column.type.scale})::text"


def _sql_hash(texts: Sequence[str]) -> str:
    # Each value with its length before it: no two different rows are spelled alike. 60 bits fit into a bigint.
    spelled = " || ".join(f"coalesce(length({text})::text || '=' || {text}, '-')" for text in texts)
    return f"('x' || substr(md5(convert_to({spelled}, 'UTF8')), 1, 15))::bit(60)::bigint"


def _summed(rows: str, bits: int, coarse: Sequence[int] | None) -> str:
    only = "" if coarse is None else f" WHERE k >> {COARSE_BITS} IN ({', '.join(f'{number:d}' for number in coarse)})"
    return f"SELECT k >> {bits}, count(*), sum(h)::text FROM ({rows}) r{only} GROUP BY 1"


def hashed(table: StarTable, rows: DataFrame) -> DataFrame:
    """The same of a frame of the lake: `k` and `h`."""
    spelled = F.concat(*(_spark_spelling(F.col(column.name).cast("string")) for column in _spelled(table)))
    digest = F.conv(F.substring(F.md5(spelled), 1, 15), 16, 10).cast("bigint")
    return rows.select(F.col(table.key).alias("k"), digest.alias("h"))


def _spark_spelling(text: SparkColumn) -> SparkColumn:
    return F.coalesce(F.concat(F.length(text).cast("string"), F.lit("="), text), F.lit("-"))


def lake_sums(table: StarTable, rows: DataFrame, bits: int, coarse: Sequence[int] | None) -> Sums:
    """The sums of a frame that holds the table's current rows."""
    if coarse is not None:
        rows = rows.where(F.shiftright(F.col(table.key), COARSE_BITS).isin(*coarse))
    groups = hashed(table, rows).groupBy(F.shiftright("k", bits).alias("n"))
    return _read(groups.agg(F.count("*"), F.sum(F.col("h").cast("decimal(38,0)"))).collect())


# ---------------------------------------------------------------------------- what is healed, and how


def warehouse_ranges(table: StarTable, sides: Sides) -> list[KeyRange]:
    """The key ranges in which the warehouse does not hold what the lake does."""
    frame, sql = sides.lake(table), warehouse_rows(table)
    coarse: list[int] | None = None
    for bits in (COARSE_BITS, FINE_BITS):
        lake, warehouse = lake_sums(table, frame, bits, coarse), _read(sides.warehouse(_summed(sql, bits, coarse)))
        coarse = list(_differing(lake, warehouse))
        if not coarse:
            break
    return list(_merged(coarse or ()))


def total(table: StarTable, sides: Sides) -> tuple[int, int]:
    """Rows and checksum of the table in the lake."""
    sums = lake_sums(table, sides.lake_rows(table), COARSE_BITS, None).values()
    return sum(rows for rows, _ in sums), sum(checksum for _, checksum in sums)


def ranges_to_read(comparisons: Mapping[str, Comparison]) -> dict[str, list[KeyRange]]:
    """Source table → the key ranges that lake or quarantine do not hold as the source does."""
    ranges: dict[str, list[KeyRange]] = {}
    for name, found in comparisons.items():
        for source, stale in ((model.STAR[name].sources[0], found.lake_ranges), *found.stale.items()):
            ranges.setdefault(source, []).extend(stale)
    return {source: found for source, found in ranges.items() if found}
