"""The warehouse's ledger: which batches of which lake are in it. Without Spark, and for Python 3.9 as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retail_etl.errors import StateError
from retail_etl.postgres import Database, quoted

CONTROL = "etl"
LEDGER = quoted(CONTROL, "ledger")


def loaded_until(run: Callable[[str], Any], database: Database, lake_id: str) -> int:
    """The last batch that is in; 0 while none is. StateError where the batches come from another lake.

    `run` queries the warehouse, whose name is `database`.
    """
    lakes = run(f"SELECT lake_id, max(batch_id) FROM {LEDGER} GROUP BY lake_id")
    strangers = [lake for lake, _ in lakes if lake != lake_id]
    if strangers:
        raise StateError(
            f"The {database} was loaded from another lake ({strangers[0]}), and this is {lake_id}: "
            "batches of two lakes must not mix. Give the lake that belongs to it, or etl.py rebuild warehouse."
        )
    return int(lakes[0][1]) if lakes else 0


def is_kept(run: Callable[[str], Any]) -> bool:
    """Whether the warehouse has a ledger: the first load makes it."""
    return bool(run(f"SELECT to_regclass('{LEDGER}') IS NOT NULL")[0][0])
