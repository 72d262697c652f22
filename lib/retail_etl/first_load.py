"""What the first load of a warehouse puts aside, and brings back in the same transaction: foreign keys and indexes.

A row that is written under a foreign key has it looked up by itself, and under an index has its place in it sought: for
4.2 million rows that takes longer than all the rest. What is added to a table with rows takes one join, or one sort.
"""

import time
from collections.abc import Callable
from typing import Any

from retail_etl import model
from retail_etl.errors import DatabaseError
from retail_etl.ledger import LEDGER
from retail_etl.postgres import is_in_use
from retail_etl.schema import StarTable
from retail_etl.warehouse_ddl import qualified

Aside = dict[str, list[str]]
"""Table → the statements that bring back what was put aside of it, in the order in which they work."""

PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.2

# Only an owner may; a partitioned or inherited table is somebody's own work, and is left as it is.
_ALTERABLE = """
SELECT bool_and(relkind = 'r' AND pg_has_role(relowner, 'USAGE'))
       AND NOT EXISTS (SELECT FROM pg_inherits
                        WHERE ARRAY[inhrelid, inhparent] && CAST(CAST(:tables AS regclass[]) AS oid[]))
  FROM pg_class WHERE oid = ANY(CAST(:tables AS regclass[]))
"""

# Both in PostgreSQL's own words: whoever changed one finds that again. What somebody commented on stays where it is.
_FOREIGN_KEYS = """
SELECT c.relname,
       format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
 WHERE k.contype = 'f' AND k.conrelid = ANY(CAST(:large AS regclass[]))
   AND k.confrelid = ANY(CAST(:dimensions AS regclass[])) AND obj_description(k.oid, 'pg_constraint') IS NULL
 ORDER BY k.oid
"""

# And what something of somebody's depends on: a foreign key, a view that groups by a primary key, replication.
_INDEXES = """
SELECT c.relname,
       CASE WHEN k.oid IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, k.conname) END,
       CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
            ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', i.indrelid::regclass, k.conname,
                        pg_get_constraintdef(k.oid)) END
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_class x ON x.oid = i.indexrelid
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
 WHERE i.indrelid = ANY(CAST(:large AS regclass[])) AND NOT i.indisclustered AND NOT i.indisreplident
   AND x.reltablespace = 0 AND x.reloptions IS NULL
   AND obj_description(x.oid, 'pg_class') IS NULL AND obj_description(k.oid, 'pg_constraint') IS NULL
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'n' AND (
         d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid
         OR d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid))
 ORDER BY i.indexrelid
"""


def put_aside(run: Callable[..., Any]) -> Aside | None:
    """Drop foreign keys and indexes of facts and large dimensions, and give what brings each back; None, and nothing is
    done, where the warehouse holds rows, or is not ours to alter, or is being read for as long as our patience lasts.

    `run` runs SQL in the transaction of the load. Until that ends, who reads a table of the star waits, though there is
    nothing to be read. A warehouse that holds something is never loaded this way, not even to be rebuilt.
    """
    tables = _names(lambda table: True)
    if run(f"SELECT EXISTS (SELECT FROM {LEDGER})")[0][0] or not run(_ALTERABLE, tables=tables)[0][0]:
        return None
    if not _locked(run, tables):
        return None
    if run("SELECT " + " OR ".join(f"EXISTS (SELECT FROM {table})" for table in tables))[0][0]:
        run("ROLLBACK TO SAVEPOINT before_locks")
        return None
    # The transaction waits while tables are staged. PostgreSQL 17 brought the second one.
    run(
        "SELECT set_config(name, '0', true) FROM pg_settings "
        "WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
    )
    # A table is not altered while something is put off to the end of the transaction, as somebody's trigger may be.
    run("SET CONSTRAINTS ALL IMMEDIATE")
    large = _names(lambda table: table.is_fact or table.large)
    foreign_keys = _dropped(run, _FOREIGN_KEYS, large=large, dimensions=_names(lambda table: not table.is_fact))
    indexes = _dropped(run, _INDEXES, large=large)  # those that a foreign key needed are free now
    aside: Aside = {}
    for table, bring_back in (*indexes, *foreign_keys):
        aside.setdefault(table, []).append(bring_back)
    return aside


def _dropped(run: Callable[..., Any], sql: str, **tables: list[str]) -> list[tuple[str, str]]:
    """Drop what is found. Gives the table, and what brings it back, for each."""
    found = run(sql, **tables)
    for _, drop, _ in found:
        run(drop)
    return [(table, bring_back) for table, _, bring_back in found]


def _locked(run: Callable[..., Any], tables: list[str]) -> bool:
    """Whether all tables are ours alone. Nobody has to queue behind us meanwhile, nor can we be in a deadlock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        run("SAVEPOINT before_locks")
        try:
            run(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE NOWAIT")
        except DatabaseError as error:
            if not is_in_use(error):
                raise
            run("ROLLBACK TO SAVEPOINT before_locks")
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        else:
            return True


def _names(wanted: Callable[[StarTable], bool]) -> list[str]:
    return [qualified(table) for table in model.WAREHOUSE.values() if wanted(table)]
