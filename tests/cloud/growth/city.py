"""A city on several machines, all of them this one: broker, cloud and ingesters as processes, one state database, one InfluxDB."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

from cloud.query.influxql import InfluxServer, ask
from cloud.rpc import call_once
from tocsin.broker import Account, ChildBroker
from tocsin.contract import topics
from tocsin.contract.columns import Layout, Row
from tocsin.errors import SpineError
from tocsin.testing import run_process, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway
from tocsin.testing.processes import Process

SITE = "plant"
GATEWAYS = ("gw-1", "gw-2", "gw-3", "gw-4")
LOW, HIGH = "0-31", "32-63"
ROWS = 20  # of a chunk
MS = 1_000_000
INGESTERS = ("ingest-1", "ingest-2", "forward-1", "forward-2")


class Node:
    """One process of the cloud: `command` is `cloud.spine`, or a sub-command of `tocsin cloud`."""

    def __init__(self, city: City, name: str, command: str, more: str) -> None:
        self.name, self.data = name, city.folder / name
        self._city, self._command = city, command
        self._stack = contextlib.ExitStack()
        self.process: Process
        self.configure(more)

    def configure(self, more: str) -> None:
        """Write its cloud.toml; counts from the next start."""
        gateways = "".join(f'[[gateways]]\nid = "{g}"\nsite = "{SITE}"\n' for g in GATEWAYS)
        self.config = self._city.folder / f"{self.name}.toml"
        self.config.write_text(
            f"""schema = 1
[cloud]
name = "{self.name}"
data_dir = "{self.name}"
state_db = "sqlite:///{self._city.folder}/state.db"
[broker]
mode = "external"
port = {self._city.broker.port}
password = "{self.name}-password"
[store]
type = "influx"
url = "{self._city.influxd}"
bucket = "{self._city.database}"
version = "v1"
{more}
{gateways}""",
            "utf-8",
        )

    def start(self) -> None:
        """Return once it holds its session."""
        self.launch()
        self.wait_connected()

    def launch(self) -> None:
        """Do not wait."""
        module = ["cloud.spine"] if self._command == "spine" else ["tocsin.cli", "cloud"]
        argv = [sys.executable, "-W", "error", "-m", *module]
        argv += [str(self.config)] if self._command == "spine" else [self._command, "-c", str(self.config)]  # fmt: skip
        self.process = self._stack.enter_context(run_process(argv))

    def wait_connected(self) -> None:
        wait_until_sync(self._connected, 60.0, f"{self.name} on its broker")

    def counters(self) -> dict[str, Any]:
        """Empty while it does not answer."""
        with contextlib.suppress(SpineError):
            return cast("dict[str, Any]", self.call("counters"))
        return {}

    def call(self, op: str) -> Any:
        return call_once(self.data / "spine.sock", op)

    def _connected(self) -> bool:
        assert self.process.returncode is None, self.process.stderr
        return bool(self.counters().get("broker_connected"))

    def close(self) -> None:
        self._stack.close()


class City:
    """The cloud takes alarms, events and health of all gateways; `node` starts who takes their telemetry."""

    def __init__(self, folder: Path, influxd: str, *, resend_after_s: float = 1.0) -> None:
        self.folder, self.influxd = folder, influxd
        self.database = f"city-{time.time_ns()}"
        self._resend_after_s = resend_after_s
        self._begin_ns = time.time_ns() // MS * MS
        self._stack = contextlib.ExitStack()
        self.gateways: list[WireGateway] = []
        self._nodes: list[Node] = []
        self.broker: ChildBroker
        self.cloud: Node

    def __enter__(self) -> Self:
        asked = urllib.parse.urlencode({"q": f'CREATE DATABASE "{self.database}"'})
        urllib.request.urlopen(f"{self.influxd}/query?{asked}", b"", timeout=60).close()
        names = ("cloud-0", *INGESTERS)
        accounts = [Account(name, f"{name}-password", "ingester") for name in names]
        accounts += [Account(name, f"{name}-password") for name in GATEWAYS]
        with contextlib.ExitStack() as stack:
            self.broker = stack.enter_context(throwaway_broker("mosquitto", accounts=accounts))
            self.cloud = Node(self, "cloud-0", "spine", '[ingest]\nbuckets = ""')
            stack.callback(self.cloud.close)
            self.cloud.start()
            for name in GATEWAYS:
                gateway = WireGateway(self.broker.port, name, SITE, f"{name}-password", resend_after_s=self._resend_after_s)  # fmt: skip
                self.gateways.append(stack.enter_context(gateway))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def node(self, name: str, command: str, more: str) -> Node:
        """A running process beside the cloud."""
        (node,) = self.nodes((name, command, more))
        return node

    def nodes(self, *wanted: tuple[str, str, str]) -> list[Node]:
        """Several at once: name, command, the rest of `[ingest]` and what follows."""
        nodes = [self.prepared(*one) for one in wanted]
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait_connected()
        return nodes

    def prepared(self, name: str, command: str, more: str) -> Node:
        """As `node`, but not started."""
        node = Node(self, name, command, f"[ingest]\ncommit_ms = 50\n{more}")
        self._stack.callback(node.close)
        self._nodes.append(node)
        return node

    @contextlib.contextmanager
    def load(self, period_s: float = 0.02) -> Iterator[None]:
        """A chunk of every gateway each `period_s`, in the background."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(period_s):
                for gateway in self.gateways:
                    self.put(gateway)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def put(self, gateway: WireGateway) -> None:
        """The next rows; a row's number is its value and its millisecond."""
        layout = Layout(f"gas-{gateway.gateway}", "gas", ("h2s", "o2"), "ff")
        seqs = range(gateway.rows, gateway.rows + ROWS)
        gateway.put([Row(layout, self._begin_ns + n * MS, (float(n), 20.9)) for n in seqs])

    def more_acks(self, n: int = 10, of: Sequence[str] = GATEWAYS) -> None:
        """Wait until each gateway in `of` got `n` more commit-acks."""
        goals = {g: g.acks + n for g in self.gateways if g.gateway in of}
        wait_until_sync(lambda: all(g.acks >= goal for g, goal in goals.items()), 60.0, "commit-acks")  # fmt: skip

    def all_committed(self) -> bool:
        return not any(g.uncommitted for g in self.gateways)

    def nothing_lost_or_doubled(self) -> None:
        """Every row of every gateway lies in InfluxDB once, with its own value at its own time."""
        try:
            wait_until_sync(self.all_committed, 90.0, "everything committed")
        except TimeoutError as exc:
            left = {g.gateway: (g.rows, g.uncommitted, list(g.settled)[:5]) for g in self.gateways}
            raise AssertionError(left, {n.name: n.counters() for n in self._nodes}) from exc
        for gateway in self.gateways:
            assert gateway.rows > 0
            assert self.stored(gateway) == [
                (self._begin_ns + n * MS, float(n), n) for n in range(gateway.rows)
            ]
            assert not gateway.rejected

    def stored(self, gateway: WireGateway) -> list[tuple[Any, ...]]:
        """Time, value and number of its rows, by time."""
        device = f"gas-{gateway.gateway}"
        text = f"SELECT h2s, seq FROM gas WHERE device = '{device}' AND site = '{SITE}'"
        found = ask(InfluxServer(self.influxd, self.database), text)
        return list(zip(*found.data, strict=True)) if found.data else []

    def of_buckets(self, text: str) -> list[str]:
        """Gateways whose bucket is among these."""
        numbers = topics.bucket_numbers(text)
        return [g for g in GATEWAYS if topics.bucket(g) in numbers]
