"""A job run of Glue as a process here: with the script, the library and the arguments that the deployment holds."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pyspark

from retail_etl import spark
from retail_etl.errors import ConfigurationError
from retail_etl.java import java_home
from scripts.glue_graph import GlueJob

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SPARK_HOME = Path(pyspark.__file__).parent
# What a job on Glue does not have: databases come from secrets, the library from its archive.
_OURS = ("SOURCE_URL", "WAREHOUSE_URL", "LAKE", "PYTHONPATH")
_PATIENCE_SECONDS = 10


class JobProcess:
    """One attempt of a job. `identity`: what Glue adds to the arguments (`--JOB_RUN_ID` and so on)."""

    def __init__(self, s3: "S3Client", job: GlueJob, identity: Mapping[str, str], folder: Path, limit: float) -> None:
        """Download and start it; it may take `limit` seconds. `folder`: for what it needs, and for its log."""
        self.job = job
        self.log = folder / f"{identity['--JOB_RUN_ID']}.log"
        self._since = time.monotonic()
        self._limit = limit
        self._ended: str | None = None
        folder.mkdir(parents=True, exist_ok=True)
        command, environment = _interpreter(job, _Files(s3, folder))
        arguments = [part for argument in {**job.arguments, **identity}.items() for part in argument]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if name not in _OURS} | environment,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._since

    def state(self) -> str:
        """RUNNING, or how it ended: SUCCEEDED, FAILED, or TIMEOUT, in which it is ended here."""
        if self._ended is None:
            code = self._process.poll()
            if code is not None:
                self._ended = "FAILED" if code else "SUCCEEDED"
            elif self.seconds > self._limit:
                self.end("TIMEOUT")
        return self._ended or "RUNNING"

    def end(self, state: str) -> None:
        """End it, with all that it started, as Glue would take its workers away."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self._process.pid, number)
                try:
                    self._process.wait(_PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        self._ended = self._ended or state

    def last_words(self) -> str:
        """The error that it logged, else the last line of its log."""
        lines = [line for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        errors = [line.partition(" ERROR retail_etl: ")[2] for line in lines if " ERROR retail_etl: " in line]
        return next(iter((errors or lines)[-1:]), "it said nothing")


class _Files:
    """Objects of S3 as files in a folder."""

    def __init__(self, s3: "S3Client", folder: Path) -> None:
        self._s3 = s3
        self._folder = folder
        self.region = s3.meta.region_name

    def get(self, uri: str) -> Path:
        """The object, downloaded."""
        from botocore.exceptions import ClientError

        parts = urlparse(uri)
        target = self._folder / Path(parts.path).name
        try:
            self._s3.download_file(parts.netloc, parts.path.lstrip("/"), str(target))
        except ClientError as error:
            raise ConfigurationError(f"{uri}, which a job needs, cannot be read ({error}): deploy again.") from error
        return target

    def named_by(self, job: GlueJob, argument: str) -> list[str]:
        """The objects that an argument names, with commas between them, downloaded."""
        return [str(self.get(uri.strip())) for uri in job.arguments.get(argument, "").split(",") if uri.strip()]


def _interpreter(job: GlueJob, files: _Files) -> tuple[list[str], dict[str, str]]:
    """What runs the job's script, with it, and the environment that it needs besides."""
    script, libraries = str(files.get(job.script)), files.named_by(job, "--extra-py-files")
    region = {"AWS_REGION": files.region}  # Java knows no AWS_DEFAULT_REGION
    if job.command == "pythonshell":
        return [sys.executable, script], region | {"PYTHONPATH": os.pathsep.join(libraries)}
    if job.command != "glueetl":
        raise ConfigurationError(f"The job {job.name} is a {job.command}; glueetl and pythonshell are known here.")
    submit = [str(_SPARK_HOME / "bin" / "spark-submit"), "--master", f"local[{os.cpu_count() or 1}]"]
    submit += ["--name", job.name, "--driver-memory", spark.driver_memory()]
    for name, value in _settings(job, files).items():
        submit += ["--conf", f"{name}={value}"]
    if libraries:
        submit += ["--py-files", ",".join(libraries)]
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    machine = {"SPARK_HOME": str(_SPARK_HOME), "JAVA_HOME": java_home(), "SPARK_LOCAL_IP": "127.0.0.1"}
    return [*submit, script], region | python | machine


def _settings(job: GlueJob, files: _Files) -> dict[str, str]:
    """Spark as the job's `--conf` says; to it come only this machine, where the servers are, and the jars of Glue."""
    formats = job.arguments.get("--datalake-formats", "").split(",")
    packages = [
        package
        for package in spark.PACKAGES + spark.S3_PACKAGES
        if "iceberg" in formats or not package.startswith("org.apache.iceberg:")
    ]
    jars = spark.jars(packages)
    if extra := files.named_by(job, "--extra-jars"):
        jars["spark.jars"] = ",".join([*filter(None, [jars.get("spark.jars")]), *extra])
    quiet = {"spark.log.level": "WARN"}
    return spark.LOCAL | quiet | spark.s3_settings() | deployed_settings(job) | jars


def deployed_settings(job: GlueJob) -> dict[str, str]:
    """The Spark settings in the job's `--conf`: `a=b --conf c=d`."""
    parts = [part for part in shlex.split(job.arguments.get("--conf", "")) if part != "--conf"]
    if broken := [part for part in parts if "=" not in part]:
        raise ConfigurationError(f"--conf of the job {job.name} has no name=value in: {', '.join(broken)}.")
    return dict(part.split("=", 1) for part in parts)
