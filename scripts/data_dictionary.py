"""Write docs/data-dictionary.md from the model; `--check` fails where the file is older than the model."""

import sys
from collections.abc import Iterator
from pathlib import Path

from retail_etl import model
from retail_etl.expectations import declared, requirement
from retail_etl.schema import Column, SourceTable, StarTable
from scripts import generated

TARGET = Path(__file__).resolve().parent.parent / "docs" / "data-dictionary.md"


def render() -> str:
    """The whole dictionary as Markdown."""
    lines = [
        "# Data dictionary",
        "",
        "Made from `lib/retail_etl/model.py` by `make data-dictionary`: change it there.",
        "",
    ]
    lines += ["## Source: totesys", ""]
    for source in model.SOURCE.values():
        lines += _table(source, f"Read as: {source.extract}.")
    lines += ["## Star: lake and warehouse", ""]
    for star in (*model.STAR.values(), model.QUALITY_RESULT):
        made_of = f"Made of {', '.join(star.sources)}." if star.sources else "Made of the dates of all facts."
        if star.is_control:
            made_of = "About the data: the stages write it." + ("" if star.in_warehouse else " In the lake alone.")
        own_key = f" In the warehouse also `{star.serial}` (serial, primary key)." if star.serial else ""
        lines += _table(star, made_of + own_key)
    return "\n".join(lines).rstrip() + "\n"


def _table(table: SourceTable | StarTable, note: str) -> Iterator[str]:
    yield from (f"### {table.name}", "", f"{table.grain} Key: `{table.key}`. {note}", "")
    yield from ("| column | type | may be NULL | refers to | notes |", "| --- | --- | --- | --- | --- |")
    for column in table.columns:
        cells = (
            column.name,
            column.type.name,
            "yes" if column.nullable else "",
            column.references or "",
            _notes(column),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    if table is model.QUALITY_RESULT:  # what the gates say of themselves, no gate looks at
        return
    yield "Rules: " + "; ".join(f"{rule.about} {requirement(rule)}" for rule in declared(table)) + "."
    yield ""


def _notes(column: Column) -> str:
    return column.description.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "the model: run make data-dictionary", sys.argv[1:]))
