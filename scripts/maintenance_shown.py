"""What maintenance did, or would do, for people."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_maintenance(console: Console, report: dict[str, Any], *, dry_run: bool) -> None:
    """A line for each table that has something to it, and what was removed beside them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("table")
    for heading in ("files", "MB", "compacted", "snapshots expired", "orphans", "branches dropped"):
        table.add_column(heading, justify="right")
    for name, done in report["tables"].items():
        before, after = done["before"], done["after"]
        table.add_row(
            name,
            _change(_files(before), _files(after)),
            _change(f"{before['bytes'] / 1e6:,.1f}", f"{after['bytes'] / 1e6:,.1f}"),
            *(f"{done[what]:,}" if done[what] else "" for what in ("compacted", "expired", "orphans")),
            ", ".join(done["branches"]),
        )
    console.print(table)
    debris = report["debris"]
    console.print(f"left behind by runs that died: {debris['files']:,} files, {debris['bytes'] / 1e6:,.1f} MB")
    if dry_run:
        console.print("This is what would go. Nothing was changed.")


def _files(files: dict[str, int]) -> str:
    return f"{files['data']:,}" + (f" + {files['deletes']:,} of deletes" if files["deletes"] else "")


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
