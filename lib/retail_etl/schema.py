"""The words that `model.py` is written in: types, columns, tables. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FIRST_DATE = "1970-01-01"
LAST_DATE = "2100-12-31"
SMALLEST_INT, LARGEST_INT = -(2**31), 2**31 - 1
BATCH_ID = "batch_id"

KeyRange = tuple[int, int]
"""The least and the greatest key of a range, both in it."""

Engine = Literal["raw", "lake", "warehouse"]


@dataclass(frozen=True)
class Type:
    """One logical type, and what each engine calls it.

    `source`: the PostgreSQL types that a source column may have, the expected one first; all of them are at
    least as wide as the first. `raw`: how Spark reads the JSON of the raw zone, as text wherever a number or
    a date could lose something while it is parsed. `lake` and `warehouse`: Spark SQL and PostgreSQL.
    """

    name: str
    source: tuple[str, ...]
    raw: str
    lake: str
    warehouse: str
    precision: int = 0
    scale: int = 0

    @property
    def fitting(self) -> str:
        """The pattern of texts that an exact number of this type holds without rounding, for Java and RE2 alike."""
        return rf"^-?[0-9]{{1,{self.precision - self.scale}}}([.][0-9]{{0,{self.scale}}}0*)?\z"


def decimal(precision: int, scale: int, warehouse: str = "numeric") -> Type:
    """An exact number: at most `precision` digits, `scale` of them behind the point."""
    lake = f"decimal({precision},{scale})"
    return Type(lake, ("numeric",), "string", lake, warehouse, precision, scale)


INT = Type("integer", ("integer", "bigint"), "bigint", "int", "integer")
BIGINT = Type("bigint", ("bigint",), "bigint", "bigint", "bigint")
TEXT = Type("text", ("character varying", "text"), "string", "string", "varchar")
BOOLEAN = Type("boolean", ("boolean",), "boolean", "boolean", "boolean")
TIMESTAMP = Type("timestamp", ("timestamp without time zone",), "string", "timestamp_ntz", "timestamp")
DATE_TEXT = Type("date as text (YYYY-MM-DD)", TEXT.source, "string", "string", "varchar")
DATE = Type("date", (), "string", "date", "date")
TEXTS = Type("list of texts", (), "array<string>", "array<string>", "text[]")
FLOAT = Type("double precision", (), "double", "double", "double precision")
TIME = Type("time (HH:MM:SS.ffffff)", (), "string", "string", "time")


@dataclass(frozen=True)
class Column:
    """One column. `references` is `table.column`; `minimum`, `pattern`, `one_of` and `standard` bound its values.

    `origin`: the source column that a star column shows, where that has another name (`column`) or stands in another
    table than the first of the sources (`table.column`). `is_additive`: whether its sum over the rows of a batch must
    be the same before and after the transform.
    """

    name: str
    type: Type
    description: str = ""
    nullable: bool = False
    references: str | None = None
    minimum: int | None = None
    pattern: str | None = None
    one_of: tuple[str, ...] = ()
    standard: Literal["iso_4217"] | None = None
    is_additive: bool = False
    origin: str | None = None

    @property
    def referenced_table(self) -> str:
        """The table that `references` names; only for a column that has one."""
        return self._reference()[0]

    @property
    def referenced_column(self) -> str:
        """The column that `references` names; only for a column that has one."""
        return self._reference()[1]

    def _reference(self) -> tuple[str, str]:
        if self.references is None:
            raise ValueError(f"column {self.name} refers to nothing")
        table, _, column = self.references.partition(".")
        return table, column


@dataclass(frozen=True)
class Relation:
    """A relation between columns of one row.

    `not_before`: the first column, a date, is not before the day of the second one.
    `one_by_type`: of the columns after the first exactly one is filled, the one whose place in `values` has the first
    column's value.
    """

    kind: Literal["not_before", "one_by_type"]
    columns: tuple[str, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What source and star tables have in common. `key` is the column that identifies a row of the business."""

    name: str
    grain: str
    key: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column of that name; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names, in the order of the contract."""
        return tuple(column.name for column in self.columns)

    def spark_schema(self, engine: Engine) -> str:
        """The columns as a Spark DDL string, for the raw zone or the lake."""
        return ", ".join(f"`{column.name}` {getattr(column.type, engine)}" for column in self.columns)


@dataclass(frozen=True)
class SourceTable(Table):
    """A table of totesys. `extract`: `snapshot` tables are read whole, `incremental` ones from their fence on.
    `fresh_within_hours`: somebody should hear of it when its newest row is older than that.
    """

    extract: Literal["snapshot", "incremental"]
    relations: tuple[Relation, ...] = ()
    fresh_within_hours: int | None = None


@dataclass(frozen=True)
class StarTable(Table):
    """A dimension (latest values only) or a fact (all versions), in the lake and in the warehouse.

    `sources`: the source tables that its function in `star.py` takes, in that order. `serial`: the
    warehouse's own key of a fact; the lake has `batch_id` in its place. `by_day`: a calendar, one row for each day
    between the first and the last date of all facts. `large`: too many rows to be read whole for a few changes.
    `is_control`: about the data rather than of the business; the warehouse keeps it apart. `in_warehouse`: whether it
    is loaded.
    """

    sources: tuple[str, ...]
    serial: str | None = None
    by_day: bool = False
    large: bool = False
    is_control: bool = False
    in_warehouse: bool = True

    @property
    def is_fact(self) -> bool:
        """Facts are the tables whose rows are versions, told apart by a serial."""
        return self.serial is not None

    @property
    def identity(self) -> tuple[str, ...]:
        """What is unique in the lake: the key of a dimension, key and batch of a fact."""
        if self.is_control:
            return ("table_name", self.key, BATCH_ID)
        return (self.key, BATCH_ID) if self.is_fact else (self.key,)

    @property
    def additive_columns(self) -> tuple[str, ...]:
        """The columns whose sums must be the source's."""
        return tuple(column.name for column in self.columns if column.is_additive)

    @property
    def date_columns(self) -> tuple[str, ...]:
        """The columns whose dates the calendar must cover."""
        return tuple(column.name for column in self.columns if column.type is DATE and self.is_fact)

    @property
    def last_updated_time(self) -> str:
        """The time of day that belongs to `last_updated_date`; each fact has its own name for it."""
        return self.columns[self.column_names.index("last_updated_date") + 1].name

    def enforced(self, column: Column) -> bool:
        """Whether the warehouse has a foreign key on the column: where its target is a dimension's key."""
        return column.references is not None and column.referenced_table.startswith("dim_")
