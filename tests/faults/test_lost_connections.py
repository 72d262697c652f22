"""A server goes down in the midst of a run: one sentence, nothing half done, and the next run repairs."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

import pytest

from retail_etl import extraction, postgres_copy, source_rows
from retail_etl.data_files import Part
from retail_etl.raw import RawZone
from retail_etl.warehouse import Warehouse
from scripts.embedded_postgres import EmbeddedPostgres
from tests.integration.world import SOURCE_ROWS, World

Lose = Callable[[], None]
Moment = Callable[[World, Lose], AbstractContextManager[None]]
Way = Callable[[World, EmbeddedPostgres, str], None]

PATIENCE_SECONDS = 30
ENDLESS = 10**9

# More than the sockets between server and JVM hold: the server is still sending it when it is found.
HEAVY_ROWS = """
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
  SELECT 1000 + n, 'Heavy', '/usr', repeat('x', 100000), '2024-01-01', '2024-01-01' FROM generate_series(1, 400) n
"""
A_READ_OF_DESIGN = """
SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active'
   AND query LIKE '%row_to_json%"public"."design"%' AND query NOT LIKE '%1=0%'
"""
A_COPY = "SELECT pid FROM pg_stat_progress_copy WHERE tuples_processed > 0"
CUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"

ONE_SENTENCE = {
    "source": r"Reading the source 'test_\w+' at \S+ as user 'reader' broke off \(.+\)\. Nothing .*: run again\.",
    # Lost, or refused, or not to be reached: tables are copied side by side, and the first failure is told.
    "warehouse": r"(The|The connection to the|Cannot reach the) warehouse '\w+' at \S+ as .+ run again.*",
}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, for the session's must not go down."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as server:
        yield server


# ---------------------------------------------------------------------------- how a connection is lost


def restarted(world: World, server: EmbeddedPostgres, role: str) -> None:
    """The server crashes, and comes back."""
    server._pg_ctl("stop", "--mode", "immediate")
    server.start()
    world.connect()


def cut(world: World, server: EmbeddedPostgres, role: str) -> None:
    """An administrator ends all connections to the database, and the server goes on."""
    world.source.run(CUT, name=world.databases[role].database)
    world.connect()


def alone_cut(query: str) -> Way:
    """An administrator ends the connections that the query finds, and no other: only Spark's worker knows."""

    def way(world: World, server: EmbeddedPostgres, role: str) -> None:
        world.source.run(f"SELECT pg_terminate_backend(pid, 5000) FROM ({query}) found")

    return way


# ---------------------------------------------------------------------------- and when


def during(query: str) -> Moment:
    """As soon as the query, asked again and again, finds something."""

    @contextmanager
    def moment(world: World, lose: Lose) -> Iterator[None]:
        def watch() -> None:
            deadline = monotonic() + PATIENCE_SECONDS
            while not (found := world.source.run(query)) and monotonic() < deadline:
                sleep(0.002)
            if found:
                lose()

        watching = Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            watching.join()

    return moment


@contextmanager
def during_a_copy(world: World, lose: Lose) -> Iterator[None]:
    """While rows arrive: the COPY of one table does not end before it is found."""
    read = postgres_copy.rows_of_batches

    def read_endlessly(part: Part, *arguments: Any) -> Iterator[Any]:
        for batch in read(part, *arguments):
            yield from repeat(batch, ENDLESS if part.table == "dim_design" else 1)

    with pytest.MonkeyPatch.context() as patch, during(A_COPY)(world, lose):
        patch.setattr(postgres_copy, "rows_of_batches", read_endlessly)
        yield


def after_the_first(owner: Any, name: str) -> Moment:
    """When the function has done its work once. Others wait meanwhile, so that they come just after it."""

    @contextmanager
    def moment(world: World, lose: Lose) -> Iterator[None]:
        work, one_at_a_time, acts = getattr(owner, name), Lock(), iter([lose])

        def work_and_lose(*arguments: Any) -> Any:
            with one_at_a_time:
                result = work(*arguments)
                next(acts, lambda: None)()
                return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, work_and_lose)
            yield

    return moment


SOURCE_LOSSES: list[tuple[Moment, Way, str]] = [
    (during(A_READ_OF_DESIGN), restarted, ""),
    (during(A_READ_OF_DESIGN), alone_cut(A_READ_OF_DESIGN), "terminating connection"),
    (after_the_first(extraction, "_read"), restarted, "snapshot"),
    (after_the_first(extraction, "_read"), cut, "snapshot"),
]
WAREHOUSE_LOSSES: list[tuple[Moment, Way]] = [
    (during_a_copy, restarted),
    (during_a_copy, alone_cut(A_COPY)),
    (after_the_first(Warehouse, "stage"), restarted),
    (after_the_first(Warehouse, "_take_over"), restarted),
    (after_the_first(Warehouse, "_take_over"), cut),
]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_what_a_server_that_goes_down_cut_off_is_done_by_the_next_run(
    world: World, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run(HEAVY_ROWS)
    losses = [(few, *loss) for few in (0, source_rows.FEW) for loss in SOURCE_LOSSES]
    for batch_id, (few, moment, way, said) in enumerate(losses, start=1):
        with monkeypatch.context() as patch, moment(world, partial(way, world, postgres, "source")):
            patch.setattr(source_rows, "FEW", few)
            failed = world.run()
        assert [stage.status for stage in failed.stages] == ["succeeded", "failed", *["skipped"] * 4]
        assert re.fullmatch(ONE_SENTENCE["source"], failed.error or ""), failed.error
        # What the server said last, pg8000 does not tell where the connection is gone.
        assert said in (failed.error or "") or (few and "network error" in (failed.error or ""))
        assert [path.name for path in Path(world.lake, "batches", str(batch_id)).iterdir()] == ["claim.json"]
        assert world.warehouse.run("SELECT to_regclass('fact_payment')") == [[None]]

    world.source.run("DELETE FROM design WHERE design_name = 'Heavy'")
    repaired = world.run()
    assert (repaired.error, repaired.batch_id) == (None, 9)
    assert _warehouse_shows(world) == ([["Wooden"]], [[7]], [[9]])

    world.source.run("UPDATE design SET design_name = 'Stone'")
    world.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    before = ["succeeded"] * 5
    for moment, way in WAREHOUSE_LOSSES:
        with moment(world, partial(way, world, postgres, "warehouse")):
            failed = world.run()
        assert [stage.status for stage in failed.stages] == [*before, "failed"]
        assert re.fullmatch(ONE_SENTENCE["warehouse"], failed.error or ""), failed.error
        assert RawZone(world.lake).manifest(10, "load") is None
        assert _warehouse_shows(world) == ([["Wooden"]], [[7]], [[9]])
        before = ["succeeded", *["nothing_to_do"] * 4]  # the batch waits for its load alone

    repaired = world.run()
    assert (repaired.error, repaired.status, repaired.batch_id) == (None, "succeeded", None)
    assert _warehouse_shows(world) == ([["Stone"]], [[7], [8]], [[9], [10]])
    compared = world.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)


def _warehouse_shows(world: World) -> tuple[Any, ...]:
    of_each = (
        "SELECT design_name FROM dim_design",
        "SELECT units_sold FROM fact_sales_order ORDER BY sales_record_id",
        "SELECT batch_id FROM etl.ledger ORDER BY 1",
    )
    return tuple(world.warehouse.run(query) for query in of_each)
