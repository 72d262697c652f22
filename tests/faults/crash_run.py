"""One run of the workflow that kills its own process at a boundary: `crash_run.py POINT`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from retail_etl import source
from retail_etl.lake import Lake
from retail_etl.postgres import Database
from retail_etl.raw import RawZone
from retail_etl.runtime import Progress
from retail_etl.warehouse import Warehouse
from scripts.workflow import read_pipeline, run_pipeline


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(owner: type, method: str, *given: str) -> Callable[[], None]:
    """Die when the method has done its work once; on these arguments, where there are some."""

    def wrap() -> None:
        work = getattr(owner, method)

        def and_die(*arguments: Any, **options: Any) -> None:
            work(*arguments, **options)
            if set(given) <= set(map(str, arguments)):
                _die()

        setattr(owner, method, and_die)

    return wrap


def _before_manifest(stage: str) -> Callable[[], None]:
    """Die when all of the stage is done but its manifest."""

    def wrap() -> None:
        finish = RawZone.finish

        def die_instead(zone: RawZone, batch_id: int, finished: str, body: Any) -> None:
            if finished == stage:
                _die()
            finish(zone, batch_id, finished, body)

        RawZone.finish = die_instead  # type: ignore[method-assign]

    return wrap


POINTS: dict[str, Callable[[], None]] = {
    "one table is in the raw zone": _after(RawZone, "write"),
    "all tables are in the raw zone": _before_manifest("extract"),
    "the raw gate has passed": _before_manifest("quality_raw"),
    "one table is on its branch": _after(Lake, "append_versions"),
    "all tables are on their branches": _before_manifest("transform"),
    "the intent to publish is written": _after(RawZone, "note", "publish_intent"),
    "one table is published": _after(Lake, "_publish_table"),
    "all tables are published": _before_manifest("publish"),
    "one table is staged by COPY": _after(Warehouse, "stage"),
    "one table is taken over in the transaction": _after(Warehouse, "_take_over"),
    "the transaction is committed": _before_manifest("load"),
}
"""Where to die. In this order every run first repairs what the one before it left, and then comes a little further."""


if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    source.OVERLAP = os.environ["OVERLAP"]
    databases = {role: Database.from_url(role, os.environ[f"{role.upper()}_URL"]) for role in ("source", "warehouse")}
    run = run_pipeline(read_pipeline(), {"lake": os.environ["LAKE"]}, databases, lambda _: Progress())
    raise SystemExit(f"It was not killed: {run.as_json()}")
