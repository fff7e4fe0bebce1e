"""The lab's children end with the lab, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tocsin.lab.children import Children, LabError
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


def test_of_a_child_that_died_the_end_of_its_log_is_told_or_that_there_is_none(
    tmp_path: Path,
) -> None:
    for name, argv, told in (
        ("silent", "false", "silent.log is empty"),
        ("loud", "echo why >&2; false", "loud.log:\nwhy"),
    ):
        with Children(tmp_path) as children:
            child = children.start_program(name, "sh", "-c", argv)
            child.process.wait(30)
            with pytest.raises(LabError, match=f"{name} died with status 1") as caught:
                children.check()
        assert caught.value.hint == f"{tmp_path}/{told}"
