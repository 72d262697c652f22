"""What `etl.py init` says of facts that no server here has; the others: `tests/integration/test_init_source.py`."""

from dataclasses import replace
from pathlib import Path

import pytest

from retail_etl import model
from retail_etl.contract import FoundTable, SourceColumn
from retail_etl.postgres import Database
from scripts.source_facts import Index, SourceFacts, TableFacts
from scripts.source_findings import (
    FIRST_RUN_SECONDS,
    FIRST_RUN_SECONDS_PER_MILLION_ROWS,
    Finding,
    findings,
    first_run_seconds,
)

FOUND = {
    name: FoundTable(True, [SourceColumn(one.name, one.type.source[0], one.type.source[0]) for one in table.columns])
    for name, table in model.SOURCE.items()
}
STAMPS = Index("b", "last_updated", False, True)
TABLES = {
    name: TableFacts(name, "r", 4_000_000, 0, False, False, (Index("a", table.key, True, True), STAMPS))
    for name, table in model.SOURCE.items()
}
READY = SourceFacts(
    database=Database.from_url("source", "postgresql://etl:secret@example.com/totesys"),
    server_version="15.4",
    server_version_number=150004,
    time_zone="UTC",
    clock="2024-03-01 10:00:00",
    is_standby=False,
    sees_all_sessions=True,
    prepared_transactions=0,
    oldest_transaction_seconds=0,
    wal_level="replica",
    hot_standby_feedback=False,
    max_standby_delay_ms=30_000,
    replay_behind_seconds=None,
    may_use_schema=True,
    connection_limit=-1,
    found=FOUND,
    tables=TABLES,
)


def _said(facts: SourceFacts) -> list[Finding]:
    return [finding for finding in findings(facts) if finding.about not in ("time zone", "replication")]


def test_of_a_source_that_lacks_nothing_nothing_is_said() -> None:
    assert _said(READY) == []


def test_a_standby_is_told_what_it_cannot_see_and_how_long_it_lets_a_snapshot_live() -> None:
    standby = replace(READY, is_standby=True, sees_all_sessions=False, replay_behind_seconds=12.4)
    feedback, blind = _said(standby)
    assert (blind.level, "12 s behind" in blind.found) == ("note", True)
    assert feedback.statements == ("ALTER SYSTEM SET hot_standby_feedback = on;", "SELECT pg_reload_conf();")
    assert _said(replace(standby, hot_standby_feedback=True)) == [blind]
    assert _said(replace(standby, max_standby_delay_ms=-1)) == [blind]


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ({"server_version_number": 120009}, "PostgreSQL"),
        ({"connection_limit": 3}, "connections"),
        ({"prepared_transactions": 1}, "prepared transactions"),
        ({"oldest_transaction_seconds": 7200}, "open transaction"),
    ],
)
def test_what_is_not_as_it_should_be_is_the_only_thing_said(fact: dict[str, int], said: str) -> None:
    assert [finding.about for finding in _said(replace(READY, **fact))] == [said]


def test_a_brin_index_serves_a_run_but_not_the_question_for_the_newest_stamp() -> None:
    brin = replace(TABLES["payment"], indexes=(TABLES["payment"].indexes[0], replace(STAMPS, is_sorted=False)))
    assert _said(replace(READY, tables={**TABLES, "payment": brin})) == []
    assert TABLES["payment"].tells_greatest("last_updated")
    assert not brin.tells_greatest("last_updated")
    assert replace(brin, rows=99).tells_greatest("last_updated")


def test_a_first_run_takes_what_the_page_on_performance_says() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"about {FIRST_RUN_SECONDS:.0f} s that do not depend on the rows" in page
    assert f"{FIRST_RUN_SECONDS_PER_MILLION_ROWS:.0f} s for each million rows" in page
    rows = {name: replace(table, rows=0) for name, table in TABLES.items()}
    full = replace(READY, tables={**rows, "payment": replace(TABLES["payment"], rows=4_200_385)})
    assert first_run_seconds(full) == pytest.approx(80, abs=1)


def test_a_table_under_another_name_is_named() -> None:
    renamed = {("kinds" if name == "payment_type" else name): table for name, table in FOUND.items()}
    (finding,) = _said(replace(READY, found=renamed, tables={n: t for n, t in TABLES.items() if n != "payment_type"}))
    assert (finding.level, "perhaps it was renamed to public.kinds" in finding.found) == ("must", True)


def test_of_a_partitioned_table_no_index_is_made_concurrently() -> None:
    parent = replace(TABLES["payment"], kind="p", indexes=TABLES["payment"].indexes[:1])
    (finding,) = _said(replace(READY, tables={**TABLES, "payment": parent}))
    assert finding.statements[0].startswith('CREATE INDEX "payment_last_updated_idx"')
    assert "on each partition CONCURRENTLY first" in finding.do
