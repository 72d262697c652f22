"""What the benchmark measures: copying with PostgreSQL's own means and with Sling, and this pipeline's runs.

Each part leaves nothing behind that another one counts on, but the pipeline's: they go on where the one before ended.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from retail_etl.errors import ConfigurationError
from retail_etl.model import SOURCE
from retail_etl.postgres import Database
from scripts import demo_data
from scripts.benchmark_results import Part, Timed
from scripts.embedded_postgres import create_database, program
from scripts.local import LocalPair
from scripts.process_usage import Watch

ROOT = Path(__file__).resolve().parent.parent
SLING = "1.4.11"
ROWS_A_CHANGE = 2.2
"""What `demo_data.simulate` writes for each change that it is asked for: an order comes with a transaction and a
payment."""
NEEDS_ATTENTION = 3

# What `display.StageProgress` writes where nobody looks on: stage, table, rows, seconds.
_TABLE_LINE = re.compile(
    r"^  (?P<stage>\w+) +(?P<table>\w+) +(?P<rows>[\d,]+) rows +(?P<seconds>[\d.]+) s$", re.MULTILINE
)


class BenchmarkError(RuntimeError):
    """A part could not be measured; the message holds what its process said last."""


class Stored:
    """A source, a warehouse and a lake in a folder, with a server of their own.

    Nobody reads the source beside the benchmark, so its tables can be as they are for the owner.
    """

    def __init__(self, folder: Path, scale: float) -> None:
        self.folder = folder
        self.scale = scale
        self.pair = LocalPair(folder)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Within the block the server runs, and the source has its rows."""
        self.pair.up(self.scale)
        try:
            yield
        finally:
            self.pair.down()

    @property
    def server(self) -> int:
        """The process id of the server's first process, which PostgreSQL writes down."""
        return int((self.folder / "postgres" / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def rows(self) -> dict[str, int]:
        """The source's rows, by table."""
        with self.pair.owner() as source:
            return {name: source.run(f'SELECT count(*) FROM "{name}"')[0][0] for name in SOURCE}

    def database(self, name: str, *, tables: bool = False) -> str:
        """The URL of a new database, empty or with the source's tables: no keys, no indexes."""
        parts = urlsplit(self.pair.warehouse_url)
        with self.pair.owner() as connection:
            connection.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            create_database(connection, name)
        url = parts._replace(path=f"/{name}").geturl()
        if tables:
            with Database.from_url("copy", url).connect() as connection:
                demo_data.create_tables(connection)
        return url

    def begin_anew(self) -> None:
        """An empty warehouse, and no lake."""
        self.database("warehouse")
        shutil.rmtree(self.pair.lake, ignore_errors=True)

    def bytes(self) -> dict[str, int]:
        """What raw zone, lake and warehouse take."""
        with Database.from_url("warehouse", self.pair.warehouse_url).connect() as connection:
            warehouse = connection.run("SELECT pg_database_size(current_database())")[0][0]
        lake = self.pair.lake
        return {"raw": _size(lake / "raw"), "lake": _size(lake / "star"), "warehouse": warehouse}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# --------------------------------------------------------------------------- copying


def copied(stored: Stored) -> Part:
    """`psql COPY … TO STDOUT` into `psql COPY … FROM STDIN`, table after table: what any copy takes at the least."""
    rows = stored.rows()
    source, target = stored.pair.source_url, stored.database("copied", tables=True)
    tables = []
    with Watch(stored.server) as watch:
        for name in SOURCE:
            since = time.monotonic()
            _copy(name, source, target)
            tables.append(Timed(f"COPY.{name}", time.monotonic() - since, rows[name]))
    _check_copy("COPY", stored, target, rows)
    return Part("COPY", watch.usage, sum(rows.values()), tables=tuple(tables))


def _copy(table: str, source: str, target: str) -> None:
    reading = _psql(source, f'COPY public."{table}" TO STDOUT', stdout=subprocess.PIPE)
    writing = _psql(target, f'COPY public."{table}" FROM STDIN', stdin=reading.stdout)
    if reading.stdout:
        reading.stdout.close()  # else psql would not learn that nobody reads on
    if writing.wait() or reading.wait():
        raise BenchmarkError(f"COPY of {table} failed: see above.")


def _psql(url: str, command: str, **pipes: object) -> subprocess.Popen[bytes]:
    """Its password is in its environment, where no list of processes shows it."""
    given = Database.from_url("copy", url)
    environment = os.environ | {"PGPASSWORD": given.password}
    where = ["--host", given.host, "--port", str(given.port), "--username", given.user, "--dbname", given.database]
    arguments = [str(program("psql")), "--no-psqlrc", "--quiet", *where, "--command", command]
    return subprocess.Popen(arguments, env=environment, **pipes)  # type: ignore[call-overload]


def _check_copy(what: str, stored: Stored, target: str, rows: Mapping[str, int]) -> None:
    with Database.from_url("copy", target).connect() as connection:
        arrived = {name: connection.run(f'SELECT count(*) FROM public."{name}"')[0][0] for name in rows}
    if arrived != rows:
        raise BenchmarkError(f"{what} brought {arrived} of {rows} in {stored.folder}.")


def by_sling(stored: Stored, programs: Path) -> Part:
    """Sling, a full refresh of all tables: a tool that copies, and does nothing besides."""
    try:
        sling = _sling(programs)
    except (BenchmarkError, OSError) as error:
        return Part("Sling", skipped=str(error))
    rows = stored.rows()
    target = stored.database("sling")
    told = programs / "replication.json"
    streams = {f"public.{name}": None for name in SOURCE}
    defaults = {"mode": "full-refresh", "object": "public.{stream_table}"}
    told.write_text(json.dumps({"source": "FROM", "target": "TO", "defaults": defaults, "streams": streams}))
    environment = {
        "FROM": f"{stored.pair.source_url}?sslmode=disable",
        "TO": f"{target}?sslmode=disable",
        "SLING_HOME_DIR": str(programs),
        "SLING_DISABLE_TELEMETRY": "true",
    }
    with Watch(stored.server) as watch:
        done = _run([str(sling), "run", "--replication", str(told)], environment)
    if done.returncode:
        return Part("Sling", skipped=f"it failed: {_end(done.stdout + done.stderr)}")
    _check_copy("Sling", stored, target, rows)
    return Part("Sling", watch.usage, sum(rows.values()), note=f"version {SLING}, full refresh")


def _sling(programs: Path) -> Path:
    """Its program, from its wheel in a folder of its own: it is nothing that this project needs."""
    package = f"sling-{platform.system().lower()}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'amd64'}"
    sling = programs / package.replace("-", "_") / "bin" / package
    if not sling.exists():
        programs.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = _run([*pip, "--target", str(programs), f"{package}=={SLING}"], {})
        if done.returncode or not sling.exists():
            raise BenchmarkError(f"{package} {SLING} could not be installed: {_end(done.stderr)}")
    return sling


# --------------------------------------------------------------------------- this pipeline


def session_start(stored: Stored) -> Part:
    """A process that starts Spark, asks it for nothing, and ends: what each run pays before it begins."""
    lake = stored.folder / "no lake"
    with Watch(stored.server) as watch:
        done = _run(
            [sys.executable, "-c", f"from retail_etl import spark; spark.session({str(lake)!r}).range(1).count()"], {}
        )
    _expect(done, "session start", {0})
    return Part("session start", watch.usage)


def run(name: str, stored: Stored, command: Iterable[str] = ("run",), note: str = "") -> Part:
    """A command of `etl.py` as people run it, from its start to its end."""
    environment = {
        "SOURCE_URL": stored.pair.source_url,
        "WAREHOUSE_URL": stored.pair.warehouse_url,
        "LAKE": str(stored.pair.lake),
    }
    with Watch(stored.server) as watch:
        done = _run([sys.executable, str(ROOT / "scripts" / "etl.py"), *command, "--json"], environment)
    _expect(done, name, {0, NEEDS_ATTENTION})
    told = json.loads(done.stdout.splitlines()[-1])
    stages = tuple(Timed(stage["name"], stage["seconds"], stage["rows"]) for stage in told["stages"])
    rows = sum(stage.rows for stage in stages if stage.name in ("extract", "reconcile"))
    return Part(name, watch.usage, rows, stages, tuple(tables_told(done.stderr)), stored.bytes(), note)


def tables_told(text: str) -> Iterator[Timed]:
    """The tables of each stage, of what a run writes where nobody looks on."""
    for line in _TABLE_LINE.finditer(text):
        rows, seconds = int(line["rows"].replace(",", "")), float(line["seconds"])
        yield Timed(f"{line['stage']}.{line['table']}", seconds, rows)


def first_run(name: str, stored: Stored) -> Part:
    """All of the source, into a new lake and an empty warehouse."""
    stored.begin_anew()
    part = run(name, stored)
    if part.rows != (there := sum(stored.rows().values())):
        raise BenchmarkError(f"{name} read {part.rows:,} of {there:,} rows.")
    return part


def changed_run(name: str, stored: Stored, rows: int, seed: int) -> Part:
    """A run after about so many rows were inserted, updated and deleted, as the application does it."""
    with stored.pair.owner() as source:
        counts = demo_data.simulate(source, max(1, round(rows / ROWS_A_CHANGE)), seed)
    how = {kind: sum(of_table[kind] for of_table in counts.values()) for kind in ("inserted", "updated", "deleted")}
    return run(name, stored, note=", ".join(f"{number:,} {kind}" for kind, number in how.items()))


# --------------------------------------------------------------------------- processes


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    library = os.pathsep.join((str(ROOT / "lib"), str(ROOT)))
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": library, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _expect(done: subprocess.CompletedProcess[str], what: str, codes: set[int]) -> None:
    if done.returncode not in codes:
        raise BenchmarkError(f"{what} ended with code {done.returncode}: {_end(done.stderr)}")


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:])


def check_machine() -> None:
    """ConfigurationError where memory cannot be measured."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise ConfigurationError("The benchmark reads memory from /proc/<pid>/smaps_rollup: run it on Linux.")
