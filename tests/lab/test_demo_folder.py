"""Where the demo writes, when it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tocsin.testing import run_process
from tocsin.testing.processes import Process


def demo(env: dict[str, str], *more: str) -> Process:
    with run_process([sys.executable, "-m", "tocsin.cli", "demo", *more], env=env) as process:
        process.wait(30.0)
    return process


@pytest.mark.parametrize(
    "env",
    [{"TOCSIN_DATA": "/dev/null"}, {"TOCSIN_DATA": "", "XDG_STATE_HOME": "", "HOME": "/proc/nope"}],
)
def test_a_state_folder_that_cannot_be_made_names_the_variable_to_set(env: dict[str, str]) -> None:
    ended = demo(env)
    assert ended.returncode == 3
    assert ended.stderr[-2:] == [
        "hint: set TOCSIN_DATA to a folder that can be written",
        "folder.unusable",
    ]


def test_a_given_folder_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    ended = demo({"TOCSIN_DATA": str(tmp_path)}, "--data", "/dev/null/demo")
    assert ended.returncode == 3
    assert "--data" in ended.stderr[-2]
