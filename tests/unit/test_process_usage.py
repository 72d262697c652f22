"""What processes take is read from the machine itself: on processes whose take is known."""

import os
import subprocess
import sys
import time

from scripts.process_usage import Process, Watch, below

MEGABYTE = 2**20
PATIENCE_SECONDS = 30
# A process whose child takes 64 MB and half a second of CPU, and stays until its input ends.
CHILD = f"""
import sys, time
taken = bytearray(b"x") * (64 * {MEGABYTE})
while time.process_time() < 0.5: pass
sys.stdin.read()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}], check=True)"


def test_memory_and_cpu_of_all_that_was_started_within_the_block_count() -> None:
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    since = time.monotonic()
    with server, Watch(server.pid) as watch:
        with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE):
            while watch.usage.cpu_seconds < 0.5 and time.monotonic() - since < PATIENCE_SECONDS:
                time.sleep(0.05)
        server.kill()
    usage = watch.usage
    assert 64 * MEGABYTE < usage.memory < 300 * MEGABYTE
    assert 0.5 <= usage.cpu_seconds <= usage.seconds * 2
    assert 0 < usage.server_memory < 64 * MEGABYTE
    assert 0 < usage.seconds <= time.monotonic() - since


def test_below_are_children_and_their_children() -> None:
    processes = [Process(pid, parent, 0, 0) for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1), (6, 9))]
    assert below(2, processes) == {3, 4}


def test_a_process_that_is_gone_is_none() -> None:
    assert Process.read(2**22 + 1) is None
    assert (Process.read(os.getpid()) or Process(0, 0, 0, 0)).parent == os.getppid()
