"""A whole site as processes of their own: virtual gas head, gateway, broker and cloud."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from cloud.rpc import call_once
from tocsin.contract.quality import Quality
from tocsin.errors import SpineError
from tocsin.testing import Process, run_process, wait_until_sync

TOCSIN = [sys.executable, "-m", "tocsin.cli"]
HEAD = "unit=1,device=gas-01,model=gas-head,profile=four-gas-head"
QUANTITIES = ("ex", "o2", "co", "h2s")


class Site:
    """`store` is the `[store]` table of its cloud."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.data = folder, folder / "cloud"
        self.env = {"TOCSIN_DATA": str(folder / "state")}  # where the last cloud is remembered
        self._ledger = folder / "ledger.ndjson"
        (folder / "cloud.toml").write_text(
            f"""schema = 1
[cloud]
data_dir = "cloud"
[broker]
kind = "mosquitto"
port = 0
[ingest]
commit_ms = 50
[http]
port = 0
{store}
[[gateways]]
id = "gw-1"
site = "plant"
password = "gw-1-password"
""",
            "utf-8",
        )
        self._stack = ExitStack()
        self.head: Process

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.head = stack.enter_context(self._start_head())
            port = json.loads(self.head.wait_line('"ready":true'))["port"].rpartition(":")[2]
            cloud = ["cloud", "run", "-c", str(self.folder / "cloud.toml"), "--json"]
            self.cloud = stack.enter_context(run_process([*TOCSIN, *cloud], env=self.env))
            told = json.loads(self.cloud.wait_line("broker_port", 60.0))
            self.url = str(told["url"])
            gateway = self._gateway(int(port), int(told["broker_port"]))
            edge = ["edge", "run", "-c", str(gateway), "--json"]
            stack.enter_context(run_process([*TOCSIN, *edge], env=self.env))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def call(self, op: str, **args: Any) -> Any:
        """Ask the spine."""
        return call_once(self.data / "spine.sock", op, **args)

    def answered(self) -> list[tuple[float, ...]]:
        """The values of every scan the head answered, in order."""
        if not self._ledger.exists():
            return []
        lines = [json.loads(line) for line in self._ledger.read_text("utf-8").splitlines()]
        scans = [line["values"] for line in lines if "values" in line]
        return [tuple(scan[name] for name in QUANTITIES) for scan in scans]

    def more_answers(self, n: int) -> None:
        """Wait until the head answered `n` more scans."""
        goal = len(self.answered()) + n
        wait_until_sync(lambda: len(self.answered()) >= goal, 60.0 + n / 10, "scans of the head")

    def all_is_stored(self) -> bool:
        """Whether the head's silence is stored as the last row, and the gateway holds nothing the cloud has not."""
        try:
            last = self.call("last")
        except SpineError:
            return False
        silent = [row for row in last if row["device"] == "gas-01" and row["q"] == Quality.COMMS]
        status = [*TOCSIN, "edge", "status", "-c", str(self.folder / "gateway.toml"), "--json"]
        with run_process(status, env=self.env) as told:
            told.wait()
            return bool(silent) and json.loads("".join(told.stdout))["pending_rows"] == 0

    def kill_spine(self) -> None:
        """SIGKILL; the supervisor starts another."""
        before = self._spine()
        os.kill(before, signal.SIGKILL)
        wait_until_sync(lambda: self._spine() not in (0, before), 60.0, "another spine")

    def _spine(self) -> int:
        for child in psutil.Process(self.cloud.pid).children():
            try:
                if "cloud.spine" in child.cmdline():
                    return child.pid
            except psutil.Error:
                continue
        return 0

    def _start_head(self) -> Any:
        argv = [sys.executable, "-m", "firmware_bridges.modbus.device", "--unit", HEAD]
        argv += ["--tcp", "127.0.0.1:0", "--ledger", str(self._ledger), "--stdin-lease"]
        return run_process(argv)

    def _gateway(self, port: int, broker: int) -> Path:
        path = self.folder / "gateway.toml"
        path.write_text(
            f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "gateway"
[uplink]
host = "127.0.0.1"
port = {broker}
password = "gw-1-password"
resend_after_s = 2.0
[[drivers]]
type = "modbus"
name = "heads"
tcp = {{ host = "127.0.0.1", port = {port} }}
devices = [{{ id = "gas-01", unit_id = 1, profile = "four-gas-head", period_s = 0.05 }}]
""",
            "utf-8",
        )
        return path
