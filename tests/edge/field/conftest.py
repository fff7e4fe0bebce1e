"""A line of virtual heads, and an agent that may run beside the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.edge.app.conftest import TOCSIN
from tocsin.cli.root import dispatch
from tocsin.testing import Process, run_process, wait_until_sync

Start = Callable[..., Process]
Run = Callable[..., tuple[int, list[Any], str]]

HEADS = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "rs485-1"
timeout_s = 0.3
retries = 0
backoff_max_s = 0.3
rtu = {{ port = "{port}" }}
[[drivers.devices]]
id = "gas-01"
unit_id = 1
profile = "four-gas-head-int"
period_s = 0.2
[[drivers.devices]]
id = "gas-02"
unit_id = 2
profile = "four-gas-head"
period_s = 0.2
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(argv...)`: a process that ends with the test."""
    with ExitStack() as stack:
        yield lambda *argv: stack.enter_context(run_process([sys.executable, *argv]))


@pytest.fixture
def line(tmp_path: Path, start: Start) -> str:
    """The port of an RS-485 line with head 1 (integers) and nobody else."""
    unit = "unit=1,device=gas-01,model=gas-head,profile=four-gas-head-int"
    argv = ("-m", "firmware_bridges.modbus.device", "--link", str(tmp_path / "rs485"))
    ready = start(*argv, "--unit", unit).wait_line('"ready":true')
    return str(json.loads(ready)["port"])


@pytest.fixture
def config(tmp_path: Path, line: str) -> Path:
    """A gateway.toml for the line, with a dead device on it."""
    path = tmp_path / "gateway.toml"
    path.write_text(HEADS.format(port=line), "utf-8")
    return path


@pytest.fixture
def agent(config: Path, start: Start) -> Process:
    """The agent of that file, answering on its socket."""
    process = start(*TOCSIN[1:], "edge", "run", "-c", str(config))
    socket = config.parent / "data" / "control.sock"
    wait_until_sync(socket.exists, what=f"the agent's socket: {process.stderr}")
    return process


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(args...)`: (exit code, objects of its output, its messages) of one command with --json."""

    def one(*args: str) -> tuple[int, list[Any], str]:
        capsys.readouterr()
        code = dispatch([*args, "--json"])
        captured = capsys.readouterr()
        return code, [json.loads(text) for text in captured.out.splitlines()], captured.err

    return one
