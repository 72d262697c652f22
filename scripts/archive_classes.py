#!/usr/bin/env python
"""Keep Spark's and Iceberg's classes in an archive, from which a JVM takes them ready: sessions start in half the time.

Which classes, `spark-classes.txt.gz` says; after an upgrade of Spark or Iceberg `--list` makes it anew, from what two
runs of the demo's pipeline load. A name that is not there any more is passed over.
"""

import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from pyspark import SparkContext
from pyspark.find_spark_home import _find_spark_home

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from retail_etl import java, spark  # noqa: E402
from retail_etl.errors import RetailEtlError, StateError  # noqa: E402
from retail_etl.postgres import Database  # noqa: E402
from retail_etl.runtime import Progress  # noqa: E402
from scripts import demo_data  # noqa: E402
from scripts.display import show_error  # noqa: E402
from scripts.embedded_postgres import EmbeddedPostgresError  # noqa: E402
from scripts.local import HOME, LocalPair  # noqa: E402
from scripts.workflow import read_pipeline, run_pipeline  # noqa: E402

LIST = Path(__file__).with_name("spark-classes.txt.gz")
SCALE = 5.0
CHANGES = 50
ENDS_WITHIN_SECONDS = 60


def archive() -> None:
    """Make the archive. Where this machine's Java makes none, say what that means: nothing depends on it."""
    java.CLASS_ARCHIVE.unlink(missing_ok=True)
    made = java.CLASS_ARCHIVE.with_suffix(".new")
    with tempfile.NamedTemporaryFile(suffix=".txt") as names:
        names.write(gzip.decompress(LIST.read_bytes()))
        names.flush()
        dump = ["-Xshare:dump", f"-XX:SharedClassListFile={names.name}", f"-XX:SharedArchiveFile={made}"]
        # As large a heap as that of a session: of much more the JVM keeps addresses of another kind.
        like_a_session = [f"-Xmx{spark.driver_memory()}", "-cp", class_path()]
        command = [f"{java.java_home()}/bin/java", *dump, "-Xlog:disable", *like_a_session]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not made.exists():
        said = (done.stdout + done.stderr).strip() or f"it ended with {done.returncode}"
        print(f"This Java keeps no classes ({said}): each session takes some seconds more to start.", file=sys.stderr)
        return
    made.replace(java.CLASS_ARCHIVE)
    print(f"Classes of Spark and Iceberg are kept for the next start ({java.CLASS_ARCHIVE.stat().st_size >> 20} MB).")


def class_path() -> str:
    """The class path with which Spark's launcher starts a session on this machine: an archive is of one class path.
    Nothing is in `conf` where Spark comes from its wheel.
    """
    home = _find_spark_home()
    found = spark.on_class_path(spark.PACKAGES)
    if "spark.driver.extraClassPath" not in found:
        raise StateError("The jars of Iceberg and of PostgreSQL are not in the cache: run scripts/warm_up.py first.")
    return os.pathsep.join([found["spark.driver.extraClassPath"], f"{home}/conf", f"{home}/jars/*"])


def make_list() -> None:
    """Write the list: the classes that everything, and then a run of what changed, load."""
    java.CLASS_ARCHIVE.unlink(missing_ok=True)  # what comes from there would not be listed with all that it needs
    with tempfile.TemporaryDirectory() as folder:
        loaded = Path(folder) / "loaded"
        os.environ["SPARK_SUBMIT_OPTS"] = f"-XX:DumpLoadedClassList={loaded}"
        _run_twice(LocalPair(HOME / "class-list"))
        _end_java()
        names = [line for line in loaded.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    LIST.write_bytes(gzip.compress("\n".join([*names, ""]).encode(), mtime=0))
    print(f"{LIST.name} names {len(names):,} classes now.")


def _run_twice(pair: LocalPair) -> None:
    pair.reset()  # what was cut off
    try:
        pair.up(SCALE)
        _run(pair)
        with pair.owner() as connection:
            demo_data.simulate(connection, CHANGES, seed=1)
        _run(pair)
    finally:
        pair.reset()


def _run(pair: LocalPair) -> None:
    databases = {role: Database.from_url(role, pair.url(role)) for role in ("source", "warehouse")}
    done = run_pipeline(read_pipeline(), {"lake": str(pair.lake)}, databases, lambda name: Progress())
    if done.status != "succeeded":
        raise StateError(f"The run that was to show which classes are loaded did not succeed: {done.error}")


def _end_java() -> None:
    """End Spark, and wait until its JVM has written the list, which it does last."""
    gateway = SparkContext._gateway
    SparkContext.getOrCreate().stop()
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(ENDS_WITHIN_SECONDS)


def _make(
    anew: Annotated[bool, typer.Option("--list", help="Make the list anew, then the archive.")] = False,
) -> None:
    """Keep the classes of Spark and Iceberg in an archive, so that sessions on this machine start in half the time."""
    if anew:
        make_list()
    archive()


def main() -> None:
    """Make the archive; an expected error is one paragraph and exit code 1."""
    try:
        typer.run(_make)
    except (RetailEtlError, EmbeddedPostgresError) as error:
        show_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
