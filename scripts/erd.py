"""Write docs/erd.md, the entity-relationship diagrams, from the model; `--check` fails where it is older."""

import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from retail_etl import model
from retail_etl.schema import DATE_TEXT, Column, SourceTable, StarTable
from scripts import generated

TARGET = Path(__file__).resolve().parent.parent / "docs" / "erd.md"

# The front matter gives the diagrams the whole width of the window.
_INTRODUCTION = """---
hide: [navigation, toc]
wide: true
---

# Entity-relationship diagrams

Made from `lib/retail_etl/model.py` by `make data-dictionary`: change it there. What each column means is in the
[data dictionary](data-dictionary.md). `PK` is the key of the business, `FK` a reference. `created_at` and
`last_updated`, which every source table has, are left out.
"""

Tables = Collection[SourceTable] | Collection[StarTable]


def render() -> str:
    """The whole page as Markdown."""
    lines = [_INTRODUCTION, "## Source: totesys", "", *_diagram(model.SOURCE.values())]
    lines += [
        "## Star: lake and warehouse",
        "",
        "Three facts that share their dimensions. A fact has a row for each version of its key; the warehouse numbers",
        "them in a serial column, the lake has `batch_id` in its place.",
        "",
    ]
    for fact in (table for table in model.STAR.values() if table.is_fact):
        lines += [f"### {fact.name}", "", *_diagram([fact, *_dimensions(fact)])]
    control = [model.DELETED_RECORD, model.QUARANTINE, model.QUALITY_RESULT]
    lines += ["## Control: what became of source rows, and what the gates found", "", *_diagram(control)]
    return "\n".join(lines).rstrip() + "\n"


def _dimensions(fact: StarTable) -> list[StarTable]:
    named = [column.referenced_table for column in fact.columns if column.references]
    return [model.STAR[name] for name in dict.fromkeys(named)]


def _diagram(tables: Tables) -> Iterator[str]:
    shown = {table.name for table in tables}
    yield from ("```mermaid", "erDiagram")
    for table in tables:
        yield f"  {table.name} {{"
        if isinstance(table, StarTable) and table.serial:
            yield f"    serial {table.serial}"
        for column in table.columns:
            if not isinstance(table, SourceTable) or column.name not in ("created_at", "last_updated"):
                yield f"    {_type(column)} {column.name}{_marks(table, column)}"
        yield "  }"
    for table in tables:
        for column in table.columns:
            if column.references and column.referenced_table in shown:
                # Each row names one row there, or none where it may be NULL; there, any number of rows here.
                here = "}o--o|" if column.nullable else "}o--||"
                yield f"  {table.name} {here} {column.referenced_table} : {column.name}"
    yield from ("```", "")


def _type(column: Column) -> str:
    """The type's first word: a diagram takes neither blanks nor commas."""
    return "text" if column.type is DATE_TEXT else column.type.name.split("(")[0].split(" ")[0]


def _marks(table: SourceTable | StarTable, column: Column) -> str:
    is_control = isinstance(table, StarTable) and table.is_control  # which have no key of one column
    keys = ["PK"] if column.name == table.key and not is_control else []
    keys += ["FK"] if column.references else []
    return f" {', '.join(keys)}" if keys else ""


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "the model: run make data-dictionary", sys.argv[1:]))
