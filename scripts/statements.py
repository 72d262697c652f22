"""Queries in Athena's SQL, before they go to an engine, and what is said of those that an engine refuses."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from retail_etl.errors import RetailEtlError
from scripts import lake_views
from scripts.moments import Moment


class QueryError(RetailEtlError):
    """The SQL cannot be read, or names something that is not there."""


def parse(sql: str) -> exp.Query:
    """The one query of a text; QueryError where it is none: nothing here changes a lake."""
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="athena") if statement is not None]
    except SqlglotError as error:
        raise QueryError(f"This is no SQL that Athena knows: {_first_problem(error)}") from error
    if len(statements) != 1:
        raise QueryError(f"One statement at a time, please: here are {len(statements)}.")
    (statement,) = statements
    if not isinstance(statement, exp.Query):
        raise QueryError("Only queries (SELECT, WITH) are run here: the workflow alone changes a lake.")
    return statement


def explained(said: str, statement: exp.Expr, moment: Moment | None = None) -> QueryError:
    """What an engine said of the statement, with what was probably meant."""
    first, *_ = said.strip().splitlines()  # DuckDB goes on with guesses of its own
    hints = list(_hints(statement, lake_views.columns()))
    if moment:
        hints.append(
            f"As of batch {moment.batch_id}, a dimension is there while its snapshot is: maintenance expires old ones."
        )
    return QueryError(" ".join([f"The query cannot be run: {first}", *hints]))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that are close to this one; empty where none is."""
    close = get_close_matches(name.lower(), list(known), n=3)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def _hints(statement: exp.Expr, known: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Names in the statement that the lake does not have."""
    ctes = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    tables = dict.fromkeys(table.name.lower() for table in statement.find_all(exp.Table))
    for table in tables:
        if table not in known and table not in ctes:
            yield f"There is no table {table}. {did_you_mean(table, known) or 'There are ' + ', '.join(known) + '.'}"
    made_here = {alias.alias.lower() for alias in statement.find_all(exp.Alias, exp.TableAlias)} | {
        name.name.lower() for alias in statement.find_all(exp.TableAlias) for name in alias.columns
    }
    meant = {table: _meant(table, known) for table in tables}
    if ctes & meant.keys() or None in meant.values():
        return  # who knows what columns that has
    readable = [column for table in meant.values() for column in known.get(table or "", ())]
    for column in dict.fromkeys(column.name.lower() for column in statement.find_all(exp.Column)):
        if column not in readable and column not in made_here:
            yield f"There is no column {column}. {_columns_like(column, readable, known)}"


def _meant(table: str, known: Mapping[str, tuple[str, ...]]) -> str | None:
    """The table, or the one that was probably meant."""
    return table if table in known else next(iter(get_close_matches(table, list(known), n=1)), None)


def _columns_like(column: str, readable: Sequence[str], known: Mapping[str, tuple[str, ...]]) -> str:
    others = [table for table, columns in known.items() if column in columns]
    if others:
        return f"It is in {' and '.join(others[:3])}."
    return did_you_mean(column, dict.fromkeys(readable)) or f"There are {', '.join(dict.fromkeys(readable))}."


def _first_problem(error: SqlglotError) -> str:
    problems = getattr(error, "errors", None)
    if not problems:
        return str(error)
    first = problems[0]
    return f"{first['description']} (line {first['line']}, column {first['col']}, near {first['highlight']!r})."
