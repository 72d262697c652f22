"""When so many rows are gone that nobody believes it unasked, and what people are told then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retail_etl import model

MASS_SHARE = 0.1
MASS_ROWS = 100


def is_mass_deletion(missed: int, alive: int) -> bool:
    """Whether so many of the rows that were alive are gone that somebody must confirm it: all of them, or at least
    100 that are more than a tenth.
    """
    return missed > 0 and (missed >= alive or (missed >= MASS_ROWS and missed > MASS_SHARE * alive))


def describe(withheld: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What people read of withheld deletions. `withheld`: source table → `missed`, `alive`, `batch_id`."""
    return tuple(
        f"{table}: {found['missed']:,} of {found['alive']:,} rows are gone from the source, found by batch "
        f"{found['batch_id']}: too much to be believed unasked. They stay in lake and warehouse, and all else went on. "
        f"If they are really deleted: etl.py {accepting(table)} --accept-deletions {table}. If not, restore the source."
        for table, found in withheld.items()
    )


def accepting(table: str) -> str:
    """The command with which `--accept-deletions` of the source table is given."""
    return "run" if model.SOURCE[table].extract == "snapshot" else "reconcile --heal"
