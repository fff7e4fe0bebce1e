"""The lab's children end with the lab, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tocsin.testing import wait_until_sync

STARTS_ONE = """
import sys, time
from pathlib import Path
from tocsin.lab.children import Children
children = Children(Path(sys.argv[1]))
child = children.start("device", "firmware_bridges.nmea.device", "--tcp", "127.0.0.1:0")
child.ready()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_when_the_lab_is_killed(tmp_path: Path) -> None:
    lab = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with lab:
        assert lab.stdout is not None
        child = int(lab.stdout.readline())
        assert psutil.pid_exists(child)
        os.kill(lab.pid, signal.SIGKILL)
        lab.wait(30)
    wait_until_sync(lambda: not psutil.pid_exists(child), 30.0)
