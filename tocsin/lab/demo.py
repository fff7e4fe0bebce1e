"""`tocsin demo`: one site, all in one, and a count that nothing was lost.

Starts the virtual devices, the cloud (which starts its broker) and the gateway as processes of their own and imports none of
them. At the end the devices' own ledgers are compared with the store, read back by `tocsin query`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.client import AlarmWatch, ConsoleClient
from tocsin.lab.ledger import Scan, compare, read_ledgers
from tocsin.lab.report import DeviceReport, Report, latency


def tocsin_command(*args: str) -> bytes:
    """What `tocsin ARGS...` prints.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.cli", *args],
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(
            f"tocsin {args[0]} failed", hint=(done.stdout + done.stderr).decode("utf-8", "replace")
        )
    return done.stdout


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
        *,
        release_after_s: float = 15.0,
        http_port: int = 0,
        broker: str = "auto",
    ) -> None:
        self.folder = folder
        self._release_after_s, self._http_port, self._broker = release_after_s, http_port, broker
        self.children = Children(folder / "logs")
        self.console_url = ""
        self.broker_kind = ""
        self.first_admin_url = ""
        self.started_s = 0.0
        self._edge: Child | None = None

    def start(self, say: Callable[[str], None]) -> None:
        """Bring everything up; returns when the gateway runs.

        Raises:
            LabError: a part did not start; the hint holds the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        say("virtual devices")
        processes = site.device_processes(self.folder, self._release_after_s)
        devices = {name: self.children.start(name, *args) for name, args in processes.items()}
        ports = {name: str(child.ready()["port"]) for name, child in devices.items()}
        say("cloud: broker, ingest, store, console")
        config = site.write_cloud(self.folder, http_port=self._http_port, broker=self._broker)
        cloud = self.children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(config))
        http = wait_http(self.folder / "cloud" / "http.json", self.children, cloud)
        self.console_url, self.broker_kind = http["url"], str(http.get("broker_kind", ""))
        self.first_admin_url = str(http.get("setup_url", ""))
        self.client = ConsoleClient(self.console_url, self._token())
        self.watch = AlarmWatch(self.client)
        if not self.watch.connected.wait(10.0):
            raise LabError("the console's event stream does not answer", hint=cloud.tail())
        say("gateway")
        gateway = site.write_gateway(self.folder, broker_port=int(http["broker_port"]), ports=ports)
        self._edge = self.children.start(
            "edge", "tocsin.cli", "edge", "run", "-c", str(gateway), "--json"
        )
        self.started_s = time.monotonic()

    def _token(self) -> str:
        created = tocsin_command(
            "token",
            "create",
            "--name",
            "demo",
            "--scope",
            "read",
            "--data",
            str(self.folder / "cloud"),
            "--json",
        )
        token: str = msgspec.json.decode(created)["token"]
        return token

    def finish(self) -> Report:
        """Stop the gateway, let the cloud commit, stop it, and compare the ledgers with the store."""
        assert self._edge is not None  # noqa: S101 - start() came first
        seconds = time.monotonic() - self.started_s
        states = {d["id"]: str(d["state"]) for d in self.client.get("/api/v1/devices")}
        alarms = [a for a in self.client.get("/api/v1/alarms?limit=1000") if a["rule"] != "silent"]
        stop_ns = time.time_ns()
        self._edge.process.terminate()
        final = _last_object(self._edge.read_rest())
        for child in self.children.all:
            if child.process.poll() is None and child.name != "cloud":
                child.stop()
        self.watch.stop()
        next(c for c in self.children.all if c.name == "cloud").stop(30.0)
        ledger = read_ledgers(sorted(self.folder.glob("*.ndjson")))
        stored = self.read_store()
        tally = compare(
            ledger.scans,
            stored,
            tolerance_ns={d.id: int(d.period_s * 0.45e9) for d in site.DEVICES},
            deadbands={d.id: d.deadband for d in site.DEVICES},
            stop_ns=stop_ns,
            suppressed=int(final.get("suppressed_readings", 0)),
            uncommitted=int(final.get("uncommitted_readings", 0)),
        )
        counts = {d.id: 0 for d in site.DEVICES}
        for row in stored:
            counts[row.device] = counts.get(row.device, 0) + sum(
                v is not None for v in row.values.values()
            )
        return Report(
            seconds=round(seconds, 1),
            readings_acquired=tally.acquired,
            readings_stored=tally.stored,
            lost=tally.lost,
            duplicates=tally.duplicates,
            wrong=tally.wrong,
            suppressed_by_deadband=int(final.get("suppressed_readings", 0)),
            uncommitted=int(final.get("uncommitted_readings", 0)),
            unread=tally.unread,
            alarms=len(alarms),
            alarm_latency_ms=latency(ledger.marks, self.watch.seen),
            poll_period_s=site.GAS_PERIOD_S,
            devices=[
                DeviceReport(d.id, d.kind, counts[d.id], states.get(d.id, "unknown"))
                for d in site.DEVICES
            ],
            console_url=self.console_url,
            broker=self.broker_kind,
            data_dir=str(self.folder / "cloud"),
            examples=tally.examples,
        )

    def read_store(self) -> list[Scan]:
        """Every row of the site's devices, read back as an analyst would."""
        rows: list[Scan] = []
        for measurement in sorted({d.kind for d in site.DEVICES}):
            sql = f"SELECT * FROM {measurement} ORDER BY device, time"
            found = msgspec.json.decode(
                tocsin_command(
                    "query",
                    sql,
                    "--format",
                    "json",
                    "--max-rows",
                    "10000000",
                    "--data",
                    str(self.folder / "cloud"),
                )
            )
            rows += [_scan(measurement, row) for row in found]
        return rows

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.children.__exit__(None, None, None)


def _scan(measurement: str, row: dict[str, Any]) -> Scan:
    from tocsin.contract.catalogue import catalogue

    known = catalogue()[measurement].quantities
    values = {q: v for q, v in row.items() if q in known and v is not None}
    return Scan(row["device"], iso_to_ns(row["time"]), values)


def iso_to_ns(text: str) -> int:
    """Unix nanoseconds of an ISO 8601 UTC time with up to nine decimals."""
    from datetime import UTC, datetime

    whole, _, fraction = text.rstrip("Z").replace(" ", "T").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])


def _last_object(output: bytes) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith(b"{"):
            found: dict[str, Any] = msgspec.json.decode(line)
            return found
    return {}
