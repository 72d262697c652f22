"""The rules that a gate evaluates, made of the model: one `Expectation` each, with its severity.

critical   rejects the batch: what is wrong with a table as a whole, and everything between or behind the layers
warning    sets the row aside and goes on: every rule on single rows, references included
info       is reported, and changes nothing
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retail_etl.schema import (
    BATCH_ID,
    BIGINT,
    DATE_TEXT,
    FIRST_DATE,
    INT,
    LAST_DATE,
    TIMESTAMP,
    Column,
    SourceTable,
    StarTable,
)

Severity = Literal["critical", "warning", "info"]

Kind = Literal[
    "row_count", "readable", "volume", "freshness", "accounted", "sum", "set_aside",
    "not_null", "unique", "is_int", "fits_decimal", "is_date", "is_timestamp",
    "minimum", "pattern", "one_of", "iso_4217", "reference", "not_before", "one_by_type", "no_holes",
]  # fmt: skip


@dataclass(frozen=True)
class Expectation:
    """One rule on one table. `columns` is empty for rules on the whole table; `values` are those of a relation."""

    kind: Kind
    columns: tuple[Column, ...] = ()
    severity: Severity = "critical"
    values: tuple[str, ...] = ()

    @property
    def column(self) -> Column:
        """The column of a rule that is about exactly one."""
        (only,) = self.columns
        return only

    @property
    def subject(self) -> str:
        """The columns as people read them: `staff_id`, or `sales_order_id, batch_id`, or `(table)`."""
        return ", ".join(column.name for column in self.columns) or "(table)"

    @property
    def about(self) -> str:
        """What its requirement is said of: the subject, or the first column of a relation, which names the others."""
        return self.columns[0].name if self.kind in ("not_before", "one_by_type") else self.subject

    @property
    def is_about_rows(self) -> bool:
        """Whether single rows break it, and can be named."""
        return self.kind not in ("row_count", "volume", "freshness", "accounted", "sum", "set_aside")

    def __str__(self) -> str:
        return f"{self.about}: {self.kind}"


_BATCH_COLUMN = Column(BATCH_ID, BIGINT, "The batch that wrote the row.")


def declared(table: SourceTable | StarTable) -> tuple[Expectation, ...]:
    """All that the gates check of one batch of this table."""
    return tuple(_of_source(table) if isinstance(table, SourceTable) else _of_star(table))


def _of_source(table: SourceTable) -> Iterator[Expectation]:
    # A row without an identity can neither be set aside nor come back: its key is the batch's affair.
    key = table.column(table.key)
    yield from (Expectation("row_count"), Expectation("readable"), Expectation("volume"))
    yield from (Expectation("not_null", (key,)), Expectation("unique", (key,)))
    for column in table.columns:
        yield from _of_column(column, is_key=column is key)
    for relation in table.relations:
        columns = tuple(table.column(name) for name in relation.columns)
        yield Expectation(relation.kind, columns, "info", relation.values)
    if table.fresh_within_hours:
        yield Expectation("freshness", (), "info", (str(table.fresh_within_hours),))


def _of_column(column: Column, *, is_key: bool) -> Iterator[Expectation]:
    def rule(kind: Kind) -> Expectation:
        return Expectation(kind, (column,), "warning")

    if not (column.nullable or is_key):
        yield rule("not_null")
    if column.type is INT:
        yield rule("is_int")
    if column.type.precision:
        yield rule("fits_decimal")
    if column.type is DATE_TEXT:
        yield rule("is_date")
    if column.type is TIMESTAMP:
        yield rule("is_timestamp")
    if column.minimum is not None:
        yield rule("minimum")
    if column.pattern:
        yield rule("pattern")
    if column.one_of:
        yield rule("one_of")
    if column.standard:
        yield rule(column.standard)
    if column.references:
        yield rule("reference")


def _of_star(table: StarTable) -> Iterator[Expectation]:
    identity = tuple(_BATCH_COLUMN if name == BATCH_ID else table.column(name) for name in table.identity)
    yield from (Expectation("row_count"), Expectation("unique", identity))
    yield from (Expectation("not_null", (column,)) for column in table.columns if not column.nullable)
    yield from (Expectation("reference", (column,)) for column in table.columns if column.references)
    if table.by_day:
        yield Expectation("no_holes", (table.column(table.key),))
    if table.is_fact:
        yield Expectation("accounted")
        yield from (Expectation("sum", (column,)) for column in table.columns if column.is_additive)


def requirement(rule: Expectation) -> str:
    """The rule as people say it: `must not be NULL`."""
    column = rule.columns[0] if rule.columns else Column("", INT)
    others = [other.name for other in rule.columns[1:]]
    texts: dict[Kind, str] = {
        "row_count": "must have the rows that its manifest names",
        "readable": "must be JSON objects of the model's schema",
        "volume": "must not be far larger than its last batches",
        "freshness": f"must have a row that is not older than {rule.values[0] if rule.values else ''} hours",
        "accounted": "must show every row that was let through",
        "sum": "must add up to what was let through",
        "set_aside": "must not lose too many rows to quarantine",
        "not_null": "must not be NULL",
        "unique": "must be unique",
        "is_int": "must fit into four bytes",
        "fits_decimal": f"must fit into {column.type.name} without rounding",
        "is_date": f"must be a date YYYY-MM-DD from {FIRST_DATE} to {LAST_DATE}",
        "is_timestamp": f"must be a time from {FIRST_DATE} to {LAST_DATE}",
        "minimum": f"must be {column.minimum} or more",
        "pattern": f"must match {column.pattern}",
        "one_of": f"must be one of {', '.join(column.one_of)}",
        "iso_4217": "must be a code that ISO 4217 knows",
        "reference": f"must be in {column.references}",
        "not_before": f"must not be before {others[0] if others else ''}",
        "one_by_type": f"must have just the one that it asks for of {' and '.join(others)}",
        "no_holes": "must have every day between its first and its last",
    }
    return texts[rule.kind]
