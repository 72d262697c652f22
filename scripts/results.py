"""Results of queries: shown on a terminal, or written as CSV, JSON or Parquet. Rows stream; none are kept."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.table import Table
from rich.text import Text

from retail_etl.errors import ConfigurationError, StorageError
from scripts.display import output
from scripts.options import Format
from scripts.statements import QueryError

SHOWN = 100
_OPTIONS = {"csv": "FORMAT csv, HEADER true", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}


def chosen(given: Format | None, file: Path | None) -> Format:
    """The format that was asked for, else the one of the file's name, else a table on a terminal and CSV in a pipe."""
    if file is None:
        if given == "parquet" and sys.stdout.isatty():
            raise ConfigurationError("--format parquet is nothing for a terminal: name a file (--output FILE).")
        return given or ("table" if sys.stdout.isatty() else "csv")
    if given:
        return given
    for known in _OPTIONS:
        if file.suffix.lower() == f".{known}":
            return known  # type: ignore[return-value]
    raise ConfigurationError(f"--output {file}: say --format csv, json or parquet, or end the name with one of them.")


def put(rows: pa.RecordBatchReader, how: Format, file: Path | None, limit: int | None) -> str:
    """Show or write the rows, `limit` of them at most. Gives how many, as people say it."""
    if how == "table":
        if file is not None:
            raise ConfigurationError("--format table is for people: --output takes csv, json or parquet.")
        return _show(rows, limit or SHOWN)
    counted = _Counted(rows, limit)
    if file is not None:
        _write(counted.reader, how, file)
        return f"{_rows(counted.rows)} in {file}"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "result"
        _write(counted.reader, how, written)
        with written.open("rb") as source:
            sys.stdout.flush()
            shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    return _rows(counted.rows)


class _Counted:
    """The first rows of a reader, as a reader that counts them."""

    def __init__(self, rows: pa.RecordBatchReader, limit: int | None) -> None:
        self.rows = 0
        self._source, self._limit = rows, limit
        self.reader = pa.RecordBatchReader.from_batches(rows.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._source:
            taken = batch if self._limit is None else batch.slice(0, self._limit - self.rows)
            self.rows += taken.num_rows
            yield taken
            if self.rows == self._limit:
                return


def _show(rows: pa.RecordBatchReader, limit: int) -> str:
    try:
        found = _Counted(rows, limit + 1).reader.read_all()
    except (OSError, pa.ArrowException) as error:  # pyarrow has what DuckDB says in an OSError
        raise _broken_off(error) from error
    table = Table(*rows.schema.names)
    for column, field in zip(table.columns, rows.schema, strict=True):
        column.overflow = "fold"  # nothing is cut off
        is_number = pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
        column.justify = "right" if is_number else "left"
    for row in zip(*(column.to_pylist() for column in found.slice(0, limit).columns), strict=True):
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    output.print(table)
    more = f" shown, and there are more (--limit, now {limit:,})" if found.num_rows > limit else ""
    return _rows(min(found.num_rows, limit)) + more


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _write(rows: pa.RecordBatchReader, how: str, file: Path) -> None:
    """The file is there whole, or as it was before."""
    part = file.with_name(f".{file.name}.part")
    to = str(part).replace("'", "''")
    try:
        with duckdb.connect() as connection:
            connection.register("result", rows)
            connection.execute(f"COPY result TO '{to}' ({_OPTIONS[how]})")
        part.replace(file)
    except (duckdb.IOException, OSError) as error:
        raise StorageError(f"{file} cannot be written: {error}") from error
    except duckdb.Error as error:
        raise _broken_off(error) from error
    finally:
        part.unlink(missing_ok=True)


def _broken_off(error: Exception) -> QueryError:
    """What became of a query that stumbled upon a value after the first rows."""
    said = str(error).strip().splitlines()[0].rpartition("IOError: ")[2]
    if "Interrupted" in said:  # the thread that met the value ended the others, and one of those spoke first
        said = "a value in a later row cannot be computed."
    return QueryError(f"The query broke off: {said}")
