"""The Spark session: Glue's own where there is one, else a local one with the same catalog and the same rules."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from urllib.parse import urlparse

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from retail_etl import errors, java
from retail_etl.errors import SparkError

CATALOG = "lake"
PACKAGES = (
    "org.postgresql:postgresql:42.7.7",
    "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.1",
)
S3_PACKAGES = (
    "org.apache.iceberg:iceberg-aws-bundle:1.10.1",
    # What Spark 3.5.6 is built with. 270 MB, of which nothing is fetched before a lake lies on S3.
    "org.apache.hadoop:hadoop-aws:3.3.4",
    "com.amazonaws:aws-java-sdk-bundle:1.12.262",
    "org.wildfly.openssl:wildfly-openssl:1.0.7.Final",
)
"""What Glue has besides, and a session elsewhere needs for a lake on S3."""

FAILURES = (Py4JError, PySparkException)
"""What Spark's own calls raise."""

_T = TypeVar("_T")

MANY = 100_000
"""More rows than that deserve generated code, and workers of their own."""

_FEW_ROWS = "spark.retail_etl.few_rows"
_FOR_FEW_ROWS = {
    _FEW_ROWS: "true",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": str(min(4, os.cpu_count() or 1)),
}
_WORKER_ERROR = "Traceback (most recent call last):"
_FILE_ERRORS = ("java.io.", "java.nio.file.", "org.apache.hadoop.fs.")

LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # People see how far a table is: the counters of running tasks come with the heartbeat.
    "spark.executor.heartbeatInterval": "1s",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
}
"""What suits one machine."""


def settings() -> dict[str, str]:
    """What holds in every session, on Glue too: Terraform puts the same file into the jobs' `--conf`.

    ANSI mode is what Spark 4 (Glue 6) does by default: a cast that fails is an error and not a NULL. FAIR: a batch's
    tables are written side by side; small ones must not wait for a large one. No constraint propagation: what Spark
    infers of a gate's many expressions saves nothing, and takes it seconds for each table (SPARK-19846). What is
    cached is not compressed: keys and bits are narrow, and finding out how to compress them costs as much as reading
    them. No success markers: the raw zone holds data objects alone; the manifest tells that a table is whole.
    """
    file = resources.files("retail_etl").joinpath("spark-settings.json")
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def submitted() -> bool:
    """Whether spark-submit started this process, as it does on Glue: the session has its configuration from there."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def on_glue() -> bool:
    """Whether this process runs in AWS Glue."""
    if not submitted():
        return False
    SparkContext._ensure_initialized()
    jvm: Any = SparkContext._jvm
    return isinstance(jvm.com.amazonaws.services.glue.GlueContext, JavaClass)


def ends_with_the_run() -> None:
    """Say that this process does nothing after the run that it is about to begin: where that is of few rows, Java is
    started as suits it.
    """
    _process["ends with the run"] = True


_process = {"ends with the run": False, "starts Java": False}
_java_runs = Event()


def _note_fork() -> None:
    if _process["starts Java"]:
        _java_runs.set()


os.register_at_fork(after_in_parent=_note_fork)


def wait_for_java(seconds: float) -> bool:
    """Wait until the session that is about to be started has its JVM's process, which takes two seconds more to be of
    use. Who imports much meanwhile must not do so before: PySpark forks under Python's import lock.
    """
    return has_started() or _java_runs.wait(seconds)


def session(lake: str, rows: int | None = None) -> SparkSession:
    """A session whose catalog `lake` lies in the given lake. `rows`: about how many are to be gone over, where it is
    known.

    Every lake has a session of its own over the process's one Spark context, so that two of them never mix.
    """
    if submitted():
        made = SparkSession.builder.getOrCreate()
        _keep_classes_at_hand(made.sparkContext._jvm)
        return made
    are_few = rows is not None and rows <= MANY
    local = _local_context(lake, for_few=are_few and _process["ends with the run"]).newSession()
    for name, value in _catalog(lake).items():
        local.conf.set(f"spark.sql.catalog.{CATALOG}.{name}", value)
    _load_catalog(local)
    return local


def _load_catalog(made: SparkSession) -> None:
    """Have the catalog made by this session's settings, once for all threads. Spark makes it when it is first asked
    for, and by the settings of the session that is active in the thread that asks.
    """
    jvm: Any = made._jvm
    jvm.SparkSession.setActiveSession(made._jsparkSession)
    made._jsparkSession.sessionState().catalogManager().catalog(CATALOG)


def suit(made: SparkSession, rows: int) -> None:
    """Let the session's plans suit a stage that goes over about so many rows. Few are gone over sooner than Java is
    generated and compiled for each query, and a plan that is one task has nothing to adapt to.
    """
    usual = made.sparkContext.getConf()
    for name, for_few in _FOR_FEW_ROWS.items():
        value = for_few if rows <= MANY else usual.get(name)
        if value is None:
            made.conf.unset(name)
        else:
            made.conf.set(name, value)


def is_for_few(made: SparkSession) -> bool:
    """Whether the session's plans are those for few rows: see `suit`."""
    return made.conf.get(_FEW_ROWS, None) is not None


def _catalog(lake: str) -> dict[str, str]:
    """The catalog `lake`: the folder itself, or the Glue Data Catalog for a lake on S3, as on Glue."""
    if _is_on_s3(lake):
        return {"type": "glue", "io-impl": "org.apache.iceberg.aws.s3.S3FileIO", "warehouse": lake}
    return {"type": "hadoop", "warehouse": lake if urlparse(lake).scheme else f"file://{Path(lake).absolute()}"}


def _is_on_s3(lake: str) -> bool:
    return urlparse(lake).scheme == "s3"


def s3_settings() -> dict[str, str]:
    """What a session off Glue needs for `s3://`: Hadoop's S3A, and where the servers are that are not AWS's own
    (`AWS_ENDPOINT_URL`).
    """
    found = {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
    }
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        found |= {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            f"spark.sql.catalog.{CATALOG}.s3.endpoint": endpoint,
            f"spark.sql.catalog.{CATALOG}.s3.path-style-access": "true",
            f"spark.sql.catalog.{CATALOG}.glue.endpoint": endpoint,
        }
    return found


def _local_context(lake: str, *, for_few: bool) -> SparkSession:
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    os.environ["JAVA_HOME"] = java.java_home()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("retail-etl").master(f"local[{os.cpu_count() or 1}]")
    configuration = {
        **settings(),
        **LOCAL,
        **(on_class_path(PACKAGES + S3_PACKAGES) | s3_settings() if _is_on_s3(lake) else on_class_path(PACKAGES)),
        "spark.driver.memory": driver_memory(),
        # What fails is raised, and told once; SPARK_LOG_LEVEL=warn lets Spark speak for itself besides.
        "spark.driver.extraJavaOptions": java.options(Path(__file__).with_name("log4j2.properties"), for_few=for_few),
    }
    for name, value in configuration.items():
        builder = builder.config(name, value)
    _process["starts Java"] = True
    with _standard_output_kept_clean():
        made = builder.getOrCreate()
    _keep_classes_at_hand(made.sparkContext._jvm)
    return made


def driver_memory() -> str:
    """How much memory a session on this machine may take."""
    return os.environ.get("SPARK_DRIVER_MEMORY", "3g")


def _keep_classes_at_hand(jvm: Any) -> None:
    """Look the classes up once that PySpark and we name at every call, each `functions.col` among them: py4j keeps
    none, and the JVM searches hundreds of jars for each of the packages that it does not find one in.
    """
    for name in ("functions", "PythonUtils", "PythonSQLUtils", "SparkSession"):
        setattr(jvm, name, getattr(jvm, name))
    jvm.Spark3Util = jvm.org.apache.iceberg.spark.Spark3Util
    jvm.Expressions = jvm.org.apache.iceberg.expressions.Expressions
    jvm.Conversions = jvm.org.apache.iceberg.types.Conversions
    jvm.Collections = jvm.java.util.Collections


def jars(packages: Sequence[str]) -> dict[str, str]:
    """The packages from the resolver's cache where all of them are there, which saves its seconds; else by resolver."""
    cache = Path.home() / ".ivy2" / "jars"
    found = [cache / f"{group}_{name}-{version}.jar" for group, name, version in (one.split(":") for one in packages)]
    if all(jar.exists() for jar in found):
        return {"spark.jars": ",".join(str(jar) for jar in found)}
    return {"spark.jars.packages": ",".join(packages)}


def on_class_path(packages: Sequence[str]) -> dict[str, str]:
    """The same on the JVM's own class path: of what Spark loads itself, no class can come from an archive."""
    found = jars(packages)
    if "spark.jars" not in found:
        return found
    return {"spark.driver.extraClassPath": found["spark.jars"].replace(",", os.pathsep)}


@contextmanager
def _standard_output_kept_clean() -> Iterator[None]:
    """Let the JVM, which starts within the block, write to standard error: our standard output is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def explained() -> Iterator[None]:
    """Within the block, Spark's failures are one sentence: SparkError with what failed first. An error that our own
    code raised in a Python worker is raised here as it was there.
    """
    try:
        yield
    except FAILURES as error:
        kind, _, said = (cause := _root_cause(error)).partition(": ")
        if ours := _of_ours(kind):
            raise ours(said) from error
        cure = "What it was at does not count: mend that"
        if kind.startswith(_FILE_ERRORS):
            cure = "Check the disk's free space and the rights on the lake"
        raise SparkError(f"Spark failed ({cause}). {cure}, then run again.") from error


def said_by(kind: str, error: Exception) -> str | None:
    """What a Java exception of that class says in the error's chain of causes; None where there is none in it."""
    found = re.search(rf"\b{re.escape(kind)}: (.+)", full_text(error))
    return found.group(1).strip().rstrip(".") if found else None


def _root_cause(error: Exception) -> str:
    return root_cause(full_text(error)) or type(error).__name__


def root_cause(text: str) -> str:
    """What the Python worker's traceback ends with, else the last cause that the JVM names, else the first line."""
    if _WORKER_ERROR in text:
        traceback = re.split(r"\n\s+at ", text.rpartition(_WORKER_ERROR)[2])[0]  # the JVM's own goes on below
        return traceback.strip().splitlines()[-1].strip()
    causes = re.findall(r"^(?:Caused by)?: (.+)$", text, re.MULTILINE)
    said = causes[-1] if causes else text.strip().partition("\n")[0]
    return said.strip().rstrip(".")


def full_text(error: Exception) -> str:
    """What it says, and its causes, which PySpark keeps beside the text where it has an exception for the first one."""
    return f"{error}\n{getattr(error, '_stackTrace', None) or ''}"


def _of_ours(kind: str) -> type[errors.RetailEtlError] | None:
    """The class of our own errors that Python calls so."""
    module, _, name = kind.rpartition(".")
    found: type[errors.RetailEtlError] | None = getattr(errors, name, None) if module == errors.__name__ else None
    return found


def has_started() -> bool:
    """Whether this process has a Spark context."""
    return SparkContext._active_spark_context is not None


def describe(text: str) -> None:
    """Name what this thread does from now on, in Spark's own pages and for `rows_in_flight`."""
    context = SparkContext._active_spark_context
    if context is not None:
        context.setJobDescription(text)


def rows_in_flight() -> dict[str, int]:
    """Description → rows read or written so far by the stages that run now, as their tasks last told."""
    context = SparkContext._active_spark_context
    if context is None or context._jsc is None:
        return {}
    stages: Any = context._jsc.sc().statusStore().activeStages()
    rows: dict[str, int] = {}
    for index in range(stages.size()):
        stage = stages.apply(index)
        told = max(stage.inputRecords(), stage.outputRecords())
        if told and stage.description().isDefined():  # where Python reads files, nobody tells
            name = stage.description().get()
            rows[name] = max(rows.get(name, 0), told)
    return rows


def within_glue(name: str, options: Mapping[str, str], run: Callable[[], _T]) -> _T:
    """Call `run` between Glue's `Job.init` and `Job.commit`; off Glue, just call it."""
    if not on_glue():
        return run()
    from awsglue.context import GlueContext
    from awsglue.job import Job

    job = Job(GlueContext(SparkContext.getOrCreate()))
    job.init(name, dict(options))
    result = run()
    job.commit()
    return result
