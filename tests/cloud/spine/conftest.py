"""A spine process on a real broker and the real embedded store."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from cloud.rpc import call_once
from tocsin.broker import Account, ChildBroker
from tocsin.contract.columns import Layout, Row
from tocsin.errors import SpineError
from tocsin.testing import INGESTER, run_process, wait_until_sync
from tocsin.testing.processes import Process

GATEWAY = Account("gw-1", "gw-1-password")
QUANTITIES = ("h2s", "o2", "co", "ex")
LAYOUT = Layout("gas-01", "gas", QUANTITIES, "ffff")


class SpineProcess:
    """Start, kill and ask a spine."""

    def __init__(self, folder: Path, broker: ChildBroker, more: str = "") -> None:
        self.data = folder / "cloud"
        self._config = folder / "cloud.toml"
        self._config.write_text(
            f"""schema = 1
[cloud]
name = "{INGESTER.user}"
data_dir = "cloud"
[broker]
mode = "external"
port = {broker.port}
password = "{INGESTER.password}"
[ingest]
commit_ms = 50
{more}
[[gateways]]
id = "{GATEWAY.user}"
site = "plant"
command_key = "the gateway's command key"
""",
            "utf-8",
        )
        self._stack = contextlib.ExitStack()
        self.process: Process

    def start(self) -> None:
        """Return once it answers and holds its session."""
        argv = [sys.executable, "-W", "error", "-m", "cloud.spine", str(self._config)]
        self.process = self._stack.enter_context(run_process(argv))
        self.wait_connected()

    def wait_connected(self) -> None:
        wait_until_sync(self._connected, 30.0, "a spine on its broker")

    def _connected(self) -> bool:
        assert self.process.returncode is None, self.process.stderr
        with contextlib.suppress(SpineError):
            return bool(self.call("counters")["broker_connected"])
        return False

    def call(self, op: str, **args: Any) -> Any:
        return call_once(self.data / "spine.sock", op, **args)

    def column(self, sql: str) -> list[Any]:
        """The first column of a query's answer."""
        return cast(list[list[Any]], self.call("query", sql=sql)["data"])[0]

    def close(self) -> None:
        self._stack.close()


Make = Callable[..., AbstractContextManager[SpineProcess]]


@pytest.fixture
def spine_on(tmp_path: Path) -> Make:
    @contextlib.contextmanager
    def make(broker: ChildBroker, more: str = "") -> Iterator[SpineProcess]:
        spine = SpineProcess(tmp_path, broker, more)
        try:
            spine.start()
            yield spine
        finally:
            spine.close()

    return make


@pytest.fixture
def gateway_account() -> Account:
    return GATEWAY


Scan = Callable[[int, int], list[Row]]


@pytest.fixture
def scan() -> Scan:
    """`scan(n, at)`: n rows whose first value is their running number, from `at`."""
    return _scan


def _scan(n: int, at: int) -> list[Row]:
    now = time.time_ns() // 1_000_000 * 1_000_000
    return [Row(LAYOUT, now + i * 1000, (float(at + i), 20.9, 0.5, None)) for i in range(n)]
