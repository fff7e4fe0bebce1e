"""A spine process on a real broker."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, cast

from cloud.rpc import call_once
from tocsin.broker import Account, ChildBroker
from tocsin.contract.columns import Layout
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
        self.config = folder / "cloud.toml"
        self.config.write_text(
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
        argv = [sys.executable, "-W", "error", "-m", "cloud.spine", str(self.config)]
        self.process = self._stack.enter_context(run_process(argv))
        self.wait_connected()

    def wait_connected(self) -> None:
        wait_until_sync(self._connected, 30.0, "a spine on its broker")

    def _connected(self) -> bool:
        self._still_runs()
        with contextlib.suppress(SpineError):
            return bool(self.call("counters")["broker_connected"])
        return False

    def _still_runs(self) -> None:
        assert self.process.returncode is None, self.process.stderr

    def call(self, op: str, **args: Any) -> Any:
        return call_once(self.data / "spine.sock", op, **args)

    def column(self, sql: str) -> list[Any]:
        """The first column of a query's answer."""
        return cast(list[list[Any]], self.call("query", sql=sql)["data"])[0]

    def close(self) -> None:
        self._stack.close()
