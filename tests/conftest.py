"""What holds for all tests, and for every process that they start."""

import os
from pathlib import Path

# Read when a Spark starts, here or in a subprocess. Set to nothing, it has the tests run Spark as production does.
os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).with_name("spark")))
