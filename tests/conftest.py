"""For all tests: a JVM that starts quickly."""

import os

# Tests move a few rows through code that runs once: a JVM that compiles lightly is a third faster at that.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
