"""`tocsin demo`: one site, all in one, and a count that nothing was lost.

Starts the virtual devices, the cloud (which starts its broker) and the gateway as processes of their own and imports none of
them. At the end the devices' own ledgers are compared with the store, read back by `tocsin query`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab.children import Child, Children, LabError, tocsin_command
from tocsin.lab.client import AlarmWatch, ConsoleClient
from tocsin.lab.judge import End, judge
from tocsin.lab.ledger import read_ledgers
from tocsin.lab.places import entries
from tocsin.lab.report import DeviceReport, Report, latency
from tocsin.lab.site import GATEWAY, SITE, Site, write_cloud


def wait_http(
    path: Path, children: Children, cloud: Child, timeout_s: float = 60.0
) -> dict[str, Any]:
    """What the cloud wrote to its http.json, once the console answers.

    Raises:
        LabError: it did not in time, or died.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        children.check()
        if path.exists():
            http: dict[str, Any] = msgspec.json.decode(path.read_bytes())
            if ConsoleClient(http["url"]).is_up():
                return http
        time.sleep(0.1)
    raise LabError(f"the console did not answer in {timeout_s:g} s", hint=cloud.tail())


class Demo:
    """One run in `folder`; use as a context manager, then `finish()` for the report."""

    def __init__(
        self,
        folder: Path,
        plan: Site | None = None,
        *,
        http_port: int = 0,
        broker: str = "auto",
    ) -> None:
        self.folder = folder
        self.site, self._http_port, self._broker = plan or Site(), http_port, broker
        self.children = Children(folder / "logs")
        self.console_url = ""
        self.broker_kind = ""
        self.first_admin_url = ""
        self.started_s = 0.0

    def start(self, say: Callable[[str], None]) -> None:
        """Bring everything up; returns when the gateway runs.

        Raises:
            LabError: a part did not start; the hint holds the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        say("cloud: broker, ingest, store, console")
        config = write_cloud(self.folder, http_port=self._http_port, broker=self._broker)
        cloud = self.children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(config))
        http = wait_http(self.folder / "cloud" / "http.json", self.children, cloud)
        self.console_url, self.broker_kind = http["url"], str(http.get("broker_kind", ""))
        self.first_admin_url = str(http.get("setup_url", ""))
        self.client = ConsoleClient(self.console_url, self._token())
        self.watch = AlarmWatch(self.client)
        if not self.watch.connected.wait(10.0):
            raise LabError("the console's event stream does not answer", hint=cloud.tail())
        say("virtual devices")
        processes = self.site.processes(self.folder)
        devices = {name: self.children.start(name, *args) for name, args in processes.items()}
        ports = {name: str(child.ready()["port"]) for name, child in devices.items()}
        say("gateway")
        self.gateway_toml = self.site.write_gateway(
            self.folder, broker_port=int(http["broker_port"]), ports=ports
        )
        self.start_edge()
        for device, entry in entries(self.site.devices).items():
            self.client.put(f"/api/v1/registry/{SITE}/{device}", entry, 30.0)
        self.started_s = time.monotonic()

    def start_edge(self) -> None:
        """Start the gateway agent (again)."""
        self.edge = self.children.start(
            "edge", "tocsin.cli", "edge", "run", "-c", str(self.gateway_toml), "--json"
        )

    @property
    def cloud(self) -> Child:
        """The cloud's supervisor."""
        return next(c for c in self.children.all if c.name == "cloud")

    def _token(self) -> str:
        where = ("--data", str(self.folder / "cloud"), "--json")
        created = tocsin_command(
            "token",
            "create",
            "demo",
            "--scope",
            "read",
            "--scope",
            "query",
            "--scope",
            "registry",
            *where,
        )
        token: str = msgspec.json.decode(created)["token"]
        return token

    def finish(self) -> Report:
        """Stop the gateway, let the cloud commit, stop it, and compare the ledgers with the store."""
        seconds = time.monotonic() - self.started_s
        states = {d["device"]: str(d["state"]) for d in self.client.get("/api/v1/devices")}
        alarms = [
            a
            for a in self.client.get("/api/v1/alarms?active=false&limit=1000")
            if not a["rule"].endswith("-silent")
        ]
        end = self.stop()
        tally, stored = judge(self.folder, self.site, end)
        counts = dict.fromkeys((d.id for d in self.site.devices), 0)
        for row in stored:
            counts[row.device] = counts.get(row.device, 0) + len(row.values)
        marks = read_ledgers(sorted(self.folder.glob("*.ndjson"))).marks
        return Report(
            seconds=round(seconds, 1),
            readings_acquired=tally.acquired,
            readings_stored=tally.stored,
            lost=tally.lost,
            duplicates=tally.duplicates,
            wrong=tally.wrong,
            suppressed_by_deadband=end.suppressed,
            uncommitted=tally.uncommitted,
            unread=tally.unread,
            alarms=len(alarms),
            alarm_latency_ms=latency(marks, self.watch.seen),
            poll_period_s=self.site.gas_period_s,
            devices=[
                DeviceReport(d.id, d.kind, counts[d.id], states.get(d.id, "unknown"))
                for d in self.site.devices
            ],
            console_url=self.console_url,
            broker=self.broker_kind,
            data_dir=str(self.folder / "cloud"),
            audit=end.audit,
            examples=tally.examples,
        )

    def stop(self) -> End:
        """Stop gateway, devices and cloud, in this order; each finishes what it holds."""
        stop_ns = time.time_ns()
        self.edge.process.terminate()
        final = _last_object(self.edge.read_rest())
        for child in self.children.all:
            if child is not self.cloud:
                child.stop()
        self.watch.stop()
        audit = self._audit()
        self.cloud.stop(30.0)
        return End(
            stop_ns,
            int(final.get("suppressed_readings", 0)),
            int(final.get("pending_rows", 0)),
            audit,
        )

    def _audit(self) -> str:
        """The cloud's own account of the gateway's numbers; "" where nobody answers."""
        try:
            told = self.client.get(f"/api/v1/gateways/{GATEWAY}/completeness")
        except LabError:
            return ""
        return str(told["verdict"])

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.children.__exit__(None, None, None)


def _last_object(output: bytes) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith(b"{"):
            found: dict[str, Any] = msgspec.json.decode(line)
            return found
    return {}
