"""A run of the workflow that ends by SIGKILL, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from retail_etl import source
from scripts.workflow import GLUE_JOBS
from tests.integration.world import World

ROOT = GLUE_JOBS.parent


def killed_run(world: World, point: str) -> None:
    """Run until the point of `crash_run.POINTS`; AssertionError where the run did not come to it."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "lib"), str(ROOT))),
        "SOURCE_URL": world.databases["source"].url,
        "WAREHOUSE_URL": world.databases["warehouse"].url,
        "LAKE": world.lake,
        "OVERLAP": source.OVERLAP,  # as this test has it
    }
    command = [sys.executable, str(Path(__file__).with_name("crash_run.py")), point]
    # Its standard output would be kept open by a JVM that is still dying.
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL, f"The run was not killed where {point}: it ended with {done.returncode}."
