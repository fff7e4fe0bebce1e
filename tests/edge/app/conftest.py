"""A gateway as a process of its own, and what it reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from tocsin.testing import Process, run_process

TOCSIN = [sys.executable, "-c", "from tocsin.cli import main; main()"]
Start = Callable[..., Process]


@pytest.fixture
def start_edge(tmp_path: Path) -> Iterator[Start]:
    """`start_edge(toml)`: a running agent with that gateway.toml in `tmp_path`."""
    with ExitStack() as stack:

        def start(toml: str, **env: str) -> Process:
            path = tmp_path / "gateway.toml"
            path.write_text(toml, "utf-8")
            argv = [*TOCSIN, "edge", "run", "-c", str(path), "--json"]
            return stack.enter_context(run_process(argv, env=env))

        yield start


@pytest.fixture
def start_head() -> Iterator[Start]:
    """`start_head(port, extra)`: a virtual four-gas head over TCP; returns the process."""
    with ExitStack() as stack:

        def start(port: int = 0, extra: str = "") -> Process:
            unit = f"unit=1,device=gas-01,model=gas-head,profile=four-gas-head{extra}"
            argv = [sys.executable, "-m", "firmware_bridges.modbus.device", "--unit", unit]
            process = stack.enter_context(
                run_process([*argv, "--tcp", f"127.0.0.1:{port}", "--stdin-lease"])
            )
            process.wait_line('"ready":true')
            return process

        yield start


def start_line(stack: ExitStack, units: int, *, releasing: int = 0) -> Process:
    """A line of so many four-gas heads over TCP; gas comes at unit `releasing` from the start."""
    argv = [sys.executable, "-m", "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0"]
    for n in range(1, units + 1):
        extra = ",release_after_s=0" if n == releasing else ""
        unit = f"unit={n},device=gas-{n:02},model=gas-head,profile=four-gas-head{extra}"
        argv += ["--unit", unit]
    process = stack.enter_context(run_process([*argv, "--stdin-lease"]))
    process.wait_line('"ready":true')
    return process


def port_of(head: Process) -> int:
    """The TCP port a virtual device listens on."""
    ready = msgspec.json.decode(head.wait_line('"ready":true'))
    return int(ready["port"].rpartition(":")[2])


def gateway_toml(port: int, *, period_s: float = 0.1) -> str:
    """A gas head with two limits, a siren and a button."""
    return f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "heads"
timeout_s = 0.5
backoff_max_s = 0.5
tcp = {{ host = "127.0.0.1", port = {port} }}
devices = [{{ id = "gas-01", unit_id = 1, profile = "four-gas-head", period_s = {period_s} }}]
[[alarms]]
device = "gas-*"
quantity = "h2s"
level1 = 4
level2 = 8
hysteresis = 0.5
[[outputs]]
name = "siren"
path = "siren"
[inputs]
acknowledge = [{{ name = "button", path = "button", poll_ms = 20 }}]
"""


def uplink_toml(port: int) -> str:
    """An uplink to a test broker, with a command key."""
    return f"""[uplink]
host = "127.0.0.1"
port = {port}
password = "gw-1-password"
[commands]
key = "gw-1-key"
"""
