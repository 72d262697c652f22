"""Whether a source is as the model says, and no narrower than the last extraction saw it. What its catalog says goes
in, sentences come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from math import inf
from typing import Any

from retail_etl.schema import Column, SourceTable

SCHEMA = "public"

Declared = Mapping[str, str]
"""Column → its type with length and precision, as the last extraction saw it."""

_SIMILAR = 0.5
_BYTES = {"smallint": 2, "integer": 4, "bigint": 8}
_SIZED = re.compile(r"([^(]+)\((-?\d+)(?:,(-?\d+))?\)(.*)")


@dataclass(frozen=True)
class SourceColumn:
    """A column that the source has. `kind` is its type without length or precision, `declared` with it."""

    name: str
    kind: str
    declared: str


@dataclass
class FoundTable:
    """A table or view that the source has. `readable`: whether our role may SELECT from it."""

    readable: bool
    columns: list[SourceColumn]


def noted(table: SourceTable, columns: Sequence[SourceColumn]) -> dict[str, Any]:
    """What a manifest keeps of the columns: those that the model does not know, and the types of the others."""
    return {
        "unknown_columns": [column.name for column in columns if column.name not in table.column_names],
        "declared": {column.name: column.declared for column in columns if column.name in table.column_names},
    }


def unknown(table: SourceTable, columns: Sequence[SourceColumn], entry: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each column that neither the model knows nor the last extraction saw. `entry`: the table's, in
    the manifest of that; empty where there was none.
    """
    for column in columns:
        if column.name not in table.column_names and column.name not in entry.get("unknown_columns", ()):
            yield (
                f"Column {SCHEMA}.{table.name}.{column.name} ({column.declared}): the model does not know it. Nothing "
                "is lost, the raw zone keeps it. To have it in the star, add it to model.py."
            )


def problems(
    tables: Mapping[str, SourceTable], found: Mapping[str, FoundTable], seen: Mapping[str, Declared], user: str
) -> Iterator[str]:
    """What is not as it must be, a sentence each: table, column, expected, found, what to do.

    `found` has all tables of the schema where one of ours is missing. `seen`: table → what its columns must not be
    narrower than. `user`: who reads.
    """
    for table in tables.values():
        where = f"{SCHEMA}.{table.name}"
        if table.name not in found:
            other = _renamed_table(table, {name: found[name] for name in found.keys() - tables.keys()})
            yield (
                f"Table {where}: expected, but missing{_perhaps(other)}. Create or rename it back, or change model.py."
            )
        elif not found[table.name].readable:
            yield f'Table {where}: no right to read it. GRANT SELECT ON {where} TO "{user}".'
        else:
            columns = {column.name: column for column in found[table.name].columns}
            for column in table.columns:
                yield from _column_problems(table, column, columns, seen.get(table.name, {}).get(column.name))


def _column_problems(
    table: SourceTable, column: Column, found: Mapping[str, SourceColumn], seen: str | None
) -> Iterator[str]:
    where = f"Column {SCHEMA}.{table.name}.{column.name}"
    expected = " or ".join(column.type.source)
    actual = found.get(column.name)
    if actual is None:
        other = _renamed_column(table, column, found)
        yield f"{where}: expected {expected}, but missing{_perhaps(other)}. Restore it, or change model.py."
    elif actual.kind not in column.type.source:
        narrower = ", which is narrower" if is_narrower(column.type.source[0], actual.declared) else ""
        yield (
            f"{where}: expected {expected}, found {actual.declared}{narrower}. "
            "Change it back, or change its type in model.py."
        )
    elif seen and is_narrower(seen, actual.declared):
        yield (
            f"{where}: expected {seen} as the last extraction saw it, found {actual.declared}, which is narrower: "
            "values may have been cut. Change it back; or, where it is meant so, etl.py run --accept-contract "
            f"{table.name}, which reads the table whole, for what was cut kept its last_updated."
        )


def _perhaps(renamed_to: str | None) -> str:
    return f" (perhaps it was renamed to {SCHEMA}.{renamed_to})" if renamed_to else ""


def _renamed_table(table: SourceTable, strangers: Mapping[str, FoundTable]) -> str | None:
    """Of the tables that have all columns of the model, the one with the most similar name."""

    def fits(other: FoundTable) -> bool:
        kinds = {column.name: column.kind for column in other.columns}
        return all(kinds.get(column.name) in column.type.source for column in table.columns)

    def similarity(name: str) -> tuple[float, str]:
        return SequenceMatcher(None, table.name, name).ratio(), name

    return max((name for name, other in strangers.items() if fits(other)), key=similarity, default=None)


def _renamed_column(table: SourceTable, column: Column, found: Mapping[str, SourceColumn]) -> str | None:
    fitting = [
        other.name
        for other in found.values()
        if other.name not in table.column_names and other.kind in column.type.source
    ]
    similar = get_close_matches(column.name, fitting, 1, _SIMILAR)
    return f"{table.name}.{similar[0]}" if similar else None


# ---------------------------------------------------------------------------- narrower types


def narrowed(columns: Sequence[SourceColumn], seen: Declared) -> bool:
    """Whether one of a table's columns is narrower than it was seen."""
    return any(column.name in seen and is_narrower(seen[column.name], column.declared) for column in columns)


def is_narrower(before: str, now: str) -> bool:
    """Whether the type holds less than the one before it, both as PostgreSQL writes them (`numeric(10,2)`).

    Types of different families are not compared: False.
    """
    (family, held), (other, holds) = _room(before), _room(now)
    return family == other and any(less < more for less, more in zip(holds, held))


def _room(declared: str) -> tuple[str, tuple[float, ...]]:
    """The type's family, and how much it holds in each way in which it may hold less."""
    if declared in _BYTES:
        return "integer", (_BYTES[declared],)
    sized = _SIZED.fullmatch(declared)
    kind = sized[1] + sized[4] if sized else declared
    size = int(sized[2]) if sized else None
    if kind in ("text", "character varying"):
        return "text", (inf if size is None else size,)
    if kind == "numeric":
        scale = int(sized[3] or 0) if sized else 0
        return kind, (inf, inf) if size is None else (size - scale, scale)  # digits before the point, and behind it
    if kind == "timestamp without time zone":
        return kind, (6 if size is None else size,)
    return declared, ()
