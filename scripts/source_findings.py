"""What somebody's own database still needs before a first run, each finding with what to do. Facts in, findings out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from retail_etl import contract, model
from retail_etl.contract import SCHEMA
from retail_etl.postgres import quoted
from retail_etl.schema import SourceTable
from retail_etl.source import OVERLAP
from scripts.source_facts import SMALL_ROWS, SourceFacts, TableFacts

OLDEST_VERSION = 130000
OLD_TRANSACTION_SECONDS = 3600
CLOCK_TOLERANCE_SECONDS = 300
CONNECTIONS = 10
"""A run opens one for its snapshot, and on each core one for a partition and one for a question."""

# What a first run takes on two cores that do nothing else: whatever the rows, and for each million rows of all tables.
# Measured by `make demo` (21,000 rows: 17 s) and `make benchmark` (4,200,385 rows: 80 to 83 s); docs/performance.md,
# "How it grows".
FIRST_RUN_SECONDS = 17.0
FIRST_RUN_SECONDS_PER_MILLION_ROWS = 15.0

Level = Literal["must", "should", "note"]


@dataclass(frozen=True)
class Finding:
    """`must`: nothing can be read before. `should`: it runs, and slower or blinder than it could. `note`: to know.

    `do`: in words. `statements`: as SQL, for the owner of the tables or an administrator of the source.
    """

    level: Level
    about: str
    found: str
    do: str = ""
    statements: tuple[str, ...] = ()


def first_run_seconds(facts: SourceFacts) -> float:
    """About what the first run takes, which reads everything."""
    rows = sum(table.rows or 0 for table in facts.tables.values())
    return FIRST_RUN_SECONDS + FIRST_RUN_SECONDS_PER_MILLION_ROWS * rows / 1e6


def findings(facts: SourceFacts) -> list[Finding]:
    """All that there is to say, what must be done first."""
    said = [
        *_server(facts),
        *_rights(facts),
        *_contract(facts),
        *(finding for table in facts.tables.values() for finding in _table(facts, table)),
        *_sessions(facts),
        *_clocks(facts),
    ]
    order: tuple[Level, ...] = ("must", "should", "note")
    return sorted(said, key=lambda finding: order.index(finding.level))


# ---------------------------------------------------------------------------- rights and contract


def _rights(facts: SourceFacts) -> Iterator[Finding]:
    role = quoted(facts.database.user)
    if not facts.may_use_schema:
        grant = f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role};"
        yield Finding("must", f"schema {SCHEMA}", "no right to use it", "Grant it.", (grant,))
    unreadable = [name for name in model.SOURCE if name in facts.found and not facts.found[name].readable]
    if unreadable:
        tables = ", ".join(quoted(SCHEMA, name) for name in unreadable)
        yield Finding(
            "must", ", ".join(unreadable), "no right to read", "Grant it.", (f"GRANT SELECT ON {tables} TO {role};",)
        )
    hidden = [table.name for table in facts.tables.values() if table.hides_rows]
    if hidden:
        yield Finding(
            "must",
            ", ".join(hidden),
            "row-level security hides rows from this role: they would look as if they were deleted",
            "Let the role see all rows: by a policy of its own, or by this.",
            (f"ALTER ROLE {role} BYPASSRLS;",),
        )
    if not facts.sees_all_sessions and not facts.is_standby:
        yield Finding(
            "should",
            "late commits",
            "the role may not see other sessions' transactions: rows that commit more than "
            f"{OVERLAP} after their last_updated are found by reconcile alone",
            "Grant it: the next run then reads from before the oldest open transaction.",
            (f"GRANT pg_read_all_stats TO {role};",),
        )
    if writable := [table.name for table in facts.tables.values() if table.is_writable]:
        yield Finding(
            "note",
            ", ".join(writable),
            "this role may write there; nothing here ever does",
            "A role that may only SELECT is enough, and safer: docs/deploy.md, step 3.",
        )


def _contract(facts: SourceFacts) -> Iterator[Finding]:
    """As the extraction compares it, rights apart: they are told in one statement."""
    found = {name: replace(table, readable=True) for name, table in facts.found.items()}
    for name, table in model.SOURCE.items():
        # One table at a time, but those of the model are not what it could have been renamed to.
        others = {other: found[other] for other in found if other == name or other not in model.SOURCE}
        for sentence in contract.problems({name: table}, others, {}, facts.database.user):
            what, _, cure = sentence.partition(". ")
            yield Finding("must", name, what, cure)
        if name in found:
            for sentence in contract.unknown(table, found[name].columns, {}):
                what, _, cure = sentence.partition(". ")
                yield Finding("note", name, what, cure)


# ---------------------------------------------------------------------------- tables


def _table(facts: SourceFacts, table: TableFacts) -> Iterator[Finding]:
    source = model.SOURCE[table.name]
    columns = {column.name for column in facts.found[table.name].columns}
    if table.kind in "rpm":
        if source.extract == "incremental" and "last_updated" in columns:
            yield from _missing_index(table, "last_updated", "each look and each run reads the whole table")
        if source.key in columns and not any(i.is_key and i.is_valid and i.column == source.key for i in table.indexes):
            yield _no_key(source, table)
    if table.has_rows_without_stamp:
        yield Finding(
            "note", table.name, "has rows without last_updated: every run reads them, they count as of created_at"
        )
    if table.stamps_ahead_seconds is not None and table.stamps_ahead_seconds > CLOCK_TOLERANCE_SECONDS:
        yield _ahead(facts, table)


def _missing_index(table: TableFacts, column: str, otherwise: str) -> Iterator[Finding]:
    if table.is_indexed(column) or (table.rows or 0) < SMALL_ROWS:
        return
    name = quoted(SCHEMA, table.name)
    broken = [index.name for index in table.indexes if index.column == column and not index.is_valid]
    # Of a partitioned table it cannot be made concurrently: each partition's first, then the parent's.
    how = "CREATE INDEX" if table.kind == "p" else "CREATE INDEX CONCURRENTLY"
    yield Finding(
        "should",
        table.name,
        f"about {table.rows or 0:,} rows and no index that begins with {column}: {otherwise}",
        "Make one; writers are not kept waiting."
        if table.kind != "p"
        else "Make one; to keep no writer waiting, on each partition CONCURRENTLY first.",
        (
            *(f"DROP INDEX CONCURRENTLY {quoted(SCHEMA, index)}; -- unfinished" for index in broken),
            f"{how} {quoted(f'{table.name}_{column}_idx')} ON {name} ({quoted(column)});",
        ),
    )


def _no_key(source: SourceTable, table: TableFacts) -> Finding:
    name, key = quoted(SCHEMA, source.name), quoted(source.key)
    return Finding(
        "should",
        source.name,
        f"nothing keeps {source.key} unique: a key that stands twice rejects a batch, ranges of keys read slowly",
        "Make it the primary key.",
        (f"ALTER TABLE {name} ADD PRIMARY KEY ({key});",),
    )


def _ahead(facts: SourceFacts, table: TableFacts) -> Finding:
    hours = (table.stamps_ahead_seconds or 0) / 3600
    role = quoted(facts.database.user)
    return Finding(
        "should",
        table.name,
        f"its newest last_updated is {hours:.1f} hours ahead of the database's clock ({facts.time_zone})",
        "If the application writes another zone's time, name that zone (on AWS also: job_variables = "
        "{ source_time_zone = … }). If a single stamp is wrong, mend the row.",
        (f"ALTER ROLE {role} IN DATABASE {quoted(facts.database.database)} SET timezone = 'Area/City';",),
    )


# ---------------------------------------------------------------------------- server


def _server(facts: SourceFacts) -> Iterator[Finding]:
    if facts.server_version_number < OLDEST_VERSION:
        yield Finding(
            "must", "PostgreSQL", f"version {facts.server_version}", "13 is the oldest that is read: upgrade."
        )
    if not facts.is_standby:
        return
    behind = f", {facts.replay_behind_seconds:.0f} s behind" if facts.replay_behind_seconds is not None else ""
    yield Finding(
        "note",
        "standby",
        f"this is one{behind}: transactions of other sessions cannot be seen, so rows that commit more than {OVERLAP} "
        "after their last_updated are found by reconcile alone",
        "Read from the primary if it bears that; or reconcile every day.",
    )
    if not facts.hot_standby_feedback and 0 <= facts.max_standby_delay_ms < first_run_seconds(facts) * 1000:
        yield Finding(
            "should",
            "standby",
            f"replay ends queries that keep it waiting for {facts.max_standby_delay_ms / 1000:.0f} s: shorter than the "
            "first run's snapshot",
            "On the standby, by an administrator:",
            ("ALTER SYSTEM SET hot_standby_feedback = on;", "SELECT pg_reload_conf();"),
        )


def _sessions(facts: SourceFacts) -> Iterator[Finding]:
    role = quoted(facts.database.user)
    if 0 <= facts.connection_limit < CONNECTIONS:
        yield Finding(
            "should",
            "connections",
            f"the role may have {facts.connection_limit}; a run opens up to {CONNECTIONS}",
            "Raise it.",
            (f"ALTER ROLE {role} CONNECTION LIMIT {CONNECTIONS};",),
        )
    if facts.prepared_transactions:
        yield Finding(
            "should",
            "prepared transactions",
            f"{facts.prepared_transactions} wait: until they end, each run reads again from where it did",
            "SELECT * FROM pg_prepared_xacts shows them: COMMIT PREPARED or ROLLBACK PREPARED.",
        )
    if facts.oldest_transaction_seconds > OLD_TRANSACTION_SECONDS:
        yield Finding(
            "note",
            "open transaction",
            f"the oldest is {facts.oldest_transaction_seconds / 3600:.1f} hours old: what came since is read again",
            "pg_stat_activity shows whose it is.",
        )


def _clocks(facts: SourceFacts) -> Iterator[Finding]:
    yield Finding(
        "note",
        "time zone",
        f"stamps are taken for {facts.time_zone} time, where it is {facts.clock[:19]} now",
        "If the application writes another zone's: ALTER ROLE … IN DATABASE … SET timezone = '…'; on AWS also "
        "job_variables = { source_time_zone = … }.",
    )
    yield Finding(
        "note", "replication", f"wal_level is {facts.wal_level}: any will do, no slot, trigger or extension is made"
    )
