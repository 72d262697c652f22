"""The archive of classes that set-up makes is the one that a session starts from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retail_etl import java

_START = "import sys; from retail_etl import spark; spark.session(sys.argv[1])"
_SET_UP = Path(sys.prefix) / ".ready"
_FROM_ARCHIVE = "source: shared objects file"


@pytest.mark.skipif(not _SET_UP.exists(), reason="Not set up by make, which makes the archive")
def test_a_session_takes_spark_and_iceberg_from_the_archive(tmp_path: Path) -> None:
    log = tmp_path / "classes.log"
    assert java.CLASS_ARCHIVE.exists()
    # As people start it: with the tests' own configuration the class path is another one.
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_CONF_DIR"}
    environment["SPARK_SUBMIT_OPTS"] = f"-Xlog:class+load:file={log}:none"
    subprocess.run([sys.executable, "-c", _START, str(tmp_path / "lake")], env=environment, check=True)
    lines = log.read_text(encoding="utf-8").splitlines()
    # No JVM archives the lambdas of Scala: they are serializable.
    ours = [line for line in lines if line.startswith(("org.apache.spark.", "org.apache.iceberg."))]
    loaded = [line for line in ours if "$$Lambda" not in line]
    archived = [line for line in loaded if _FROM_ARCHIVE in line]
    assert len(archived) > 0.9 * len(loaded)
    assert any(line.startswith("org.apache.iceberg.spark.SparkCatalog ") for line in archived)
