"""The processes of a chaos run, and how each of them is broken and mended."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import msgspec

from tocsin.broker import Account, ChildBroker, Kind
from tocsin.errors import BrokerError
from tocsin.lab.chaos import site
from tocsin.lab.chaos.clocked import write_offset
from tocsin.lab.chaos.faults import Fault
from tocsin.lab.children import Child, Children, LabError, cloud_processes, tocsin_command
from tocsin.lab.client import ConsoleClient
from tocsin.lab.demo import wait_http
from tocsin.lab.site import GATEWAY, write_cloud
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer
from tocsin.testing.proxy import FaultProxy
from tocsin.testing.waiting import free_port

SLOW_BYTES_PER_S = 1000
RESTART_S = 0.5  # as long as a service manager waits
INGESTER = "cloud-0"
# What a kill may cost of a polled device: an answer's way to the outbox, on busy cores, and the commit interval.
ON_THE_WAY_NS = 1_700_000_000
# A gateway that began without a disk takes it within a second; its drivers start anew, and a question to a device is dropped.
BACK_TO_DISK_NS = 3_000_000_000

_ENDED = b" ended with status "  # as the cloud's supervisor logs it

Mend = Callable[[], None]


class Blind(msgspec.Struct, frozen=True):
    """A time in which an answer of a polled device need not have been acquired: the gateway died, stood still or changed over to its disk."""

    from_ns: int
    to_ns: int


class Rig:
    """Field broker and devices (never broken), gateway, proxy, broker, proxy, cloud. Use as a context manager."""

    def __init__(self, folder: Path, broker: Kind, *, disks: bool) -> None:
        self.folder, self.disks = folder, disks
        self.children = Children(folder / "logs")
        self.blind: list[Blind] = []
        self._gateway_ends = self._kills = 0
        self._kind = broker
        self.gateway: Child | None = None
        self._stack = contextlib.ExitStack()
        self._held = False  # the gateway is down because a fault wants it so
        self._again_at_s = 0.0
        self._full_since_ns = 0

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.gateway is not None:
            self.gateway.stop()
        self.children.__exit__(None, None, None)
        self._stack.close()

    def start(self, say: Callable[[str], None]) -> None:
        """Bring everything up.

        Raises:
            LabError: a part did not start; the hint holds the end of its log.
        """
        say("brokers")
        folder = self.folder
        for part in ("edge", "cloud"):
            (folder / part).mkdir(exist_ok=True)
            if self.disks:
                _mount(folder / part)
        port = free_port()
        self.ingest = self._stack.enter_context(FaultProxy(port))
        self.uplink = self._stack.enter_context(FaultProxy(port))
        config = write_cloud(folder, http_port=0, broker=self._kind, external_port=self.ingest.port)
        password = (folder / "password.secret").read_text("utf-8")
        accounts = [Account(INGESTER, password, "ingester"), Account(GATEWAY, password)]
        self.broker = ChildBroker(self._kind, folder / "broker", accounts=accounts, port=port)
        # amqtt does not send again what a killed client had not acknowledged, so it cannot be the devices' broker.
        self.field = ChildBroker("mosquitto", folder / "field", accounts=[FIELD], autosave_s=3600)
        self._stack.callback(self.broker.stop)
        self.broker.start()
        self._stack.enter_context(self.field)
        say("cloud")
        self.cloud = self.children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(config))
        http = wait_http(folder / "cloud" / "http.json", self.children, self.cloud)
        self.client = ConsoleClient(str(http["url"]), self._token())
        say("devices")
        line = self.children.start("line", *site.modbus_arguments(folder))
        self.metrics_port = free_port()
        self.gateway_toml = site.write_gateway(
            folder,
            broker_port=self.uplink.port,
            field_port=self.field.port,
            modbus=str(line.ready()["port"]),
            metrics_port=self.metrics_port,
        )
        say("gateway")
        self._subscribe_for_the_gateway()
        write_offset(folder / site.CLOCK_FILE, 0)
        self._start_gateway()
        self.until(lambda: self.waiting_rows() is not None, "the gateway does not answer")
        self._publisher = self.children.start(
            "publisher", *site.publisher_arguments(folder, self.field.port)
        )
        self._publisher.ready()
        self._line = line

    def _subscribe_for_the_gateway(self) -> None:
        """Its session with the field broker is there before anything is published: the broker keeps what it is late for."""
        user, password = FIELD.user, FIELD.password
        with Peer(self.field.port, user, password, client_id=site.SESSION, clean=False) as session:
            if not session.subscribe(site.TOPICS):
                raise LabError("the field broker refuses the gateway's subscription")

    def _token(self) -> str:
        args = ("token", "create", "chaos", "--scope", "query")
        made = tocsin_command(*args, "--data", str(self.folder / "cloud"), "--json")
        return str(msgspec.json.decode(made)["token"])

    def until(self, met: Callable[[], bool], text: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition.

        Raises:
            LabError: it was not met, or something died that nobody broke.
        """
        deadline_s = time.monotonic() + timeout_s
        while not met():
            if time.monotonic() > deadline_s:
                raise LabError(f"{text} after {timeout_s:g} s", hint=str(self.folder / "logs"))
            self.look()
            time.sleep(0.1)

    def _start_gateway(self) -> None:
        self.gateway = self.children.start(
            "gateway", "tocsin.lab.chaos.clocked", str(self.folder / site.CLOCK_FILE),
            "edge", "run", "-c", str(self.gateway_toml), "--json",
        )  # fmt: skip
        self.children.all.remove(self.gateway)  # its end is no failure of the run

    def _end_gateway(self) -> None:
        if self.gateway is not None:
            self.gateway.process.kill()
            self.gateway.stop()
        self.gateway = None

    def look(self) -> None:
        """Start the gateway again when it has ended by itself, as a service manager does.

        Raises:
            LabError: something died that nobody broke.
        """
        if self._held:
            return
        if self.gateway is not None and self.gateway.process.poll() is not None:
            now_ns = time.time_ns()
            since_ns = self._full_since_ns or now_ns - ON_THE_WAY_NS
            self.blind.append(Blind(since_ns - ON_THE_WAY_NS, now_ns + ON_THE_WAY_NS))
            self._end_gateway()
            self._gateway_ends += 1
            self._again_at_s = time.monotonic() + RESTART_S
        if self.gateway is None and time.monotonic() >= self._again_at_s:
            self._start_gateway()
        self.children.check()

    def restarts(self) -> int:
        """How often gateway, spine or web ended by themselves and were started again."""
        ended = (self.folder / "logs" / "cloud.log").read_bytes().count(_ENDED)
        return self._gateway_ends + max(0, ended - self._kills)

    def waiting_rows(self) -> int | None:
        """Rows that the gateway has acquired and the cloud has not committed; None when it does not answer."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with (
            contextlib.suppress(OSError, HTTPException, ValueError),
            urllib.request.urlopen(url, timeout=1.0) as answer,
        ):
            for line in answer.read().decode().splitlines():
                if line.startswith("tocsin_outbox_pending_rows "):
                    return int(float(line.split()[1]))
        return None

    def devices_end(self) -> None:
        """Nothing more is published or answered."""
        self._publisher.stop()
        self._line.stop()

    def stop(self) -> None:
        """Gateway and cloud end in order; each finishes what it holds."""
        self._held = True
        if self.gateway is not None:
            self.gateway.stop()
        self.cloud.stop(30.0)

    def strike(self, fault: Fault) -> Mend | None:
        """Break something now. What mends it; None when it was not there to be broken."""
        kind, target = fault.kind, fault.target
        if target in ("uplink", "ingest"):
            return _spoil(self.uplink if target == "uplink" else self.ingest, kind)
        if target == "broker":
            return self._broker_fault(kind)
        if target == "clock":
            return self._jump(fault.amount)
        if target == "gateway" and kind in ("kill", "read-only"):
            return self._kill_gateway(read_only=kind == "read-only")
        pid = self._pid(target)
        if not pid:
            return None
        if kind == "kill":
            self._kills += 1
            _signal(pid, signal.SIGKILL)
            return lambda: None
        if kind == "stall":
            return self._stall(pid, target)
        if target == "gateway":
            self._full_since_ns = time.time_ns()
        if kind == "disk-full":
            return self._fill(target)
        return self._forbid_writing(pid)

    def _pid(self, target: str) -> int:
        if target == "gateway":
            edge = self.gateway
            return edge.pid if edge is not None and edge.process.poll() is None else 0
        found = cloud_processes(self.cloud).get(target)
        return found.pid if found else 0

    def _kill_gateway(self, *, read_only: bool) -> Mend | None:
        if not self._pid("gateway"):
            return None
        self._held = True
        before_ns = self._full_since_ns or time.time_ns()
        self._end_gateway()
        self.blind.append(Blind(before_ns - ON_THE_WAY_NS, time.time_ns() + ON_THE_WAY_NS))
        if read_only:
            _remount(self.folder / "edge", "ro")
            self._held = False
            self._start_gateway()

        def mend() -> None:
            if read_only:
                now_ns = time.time_ns()
                _remount(self.folder / "edge", "rw")
                self.blind.append(Blind(now_ns, now_ns + BACK_TO_DISK_NS))
            self._held = False
            self._again_at_s = 0.0

        return mend

    def _stall(self, pid: int, target: str) -> Mend:
        before_ns = time.time_ns()
        _signal(pid, signal.SIGSTOP)

        def mend() -> None:
            _signal(pid, signal.SIGCONT)
            if target == "gateway":
                self.blind.append(Blind(before_ns - ON_THE_WAY_NS, time.time_ns() + ON_THE_WAY_NS))

        return mend

    def _broker_fault(self, kind: str) -> Mend | None:
        if not self.broker.pid:
            return None
        if kind == "stall":
            return self._stall(self.broker.pid, "broker")
        self.broker.kill9()
        if kind == "forget":
            shutil.rmtree(self.broker.directory)

        def mend() -> None:
            for last in (False, False, True):
                try:
                    self.broker.start()
                except BrokerError:
                    if last:
                        raise
                    time.sleep(0.5)

        return mend

    def _jump(self, seconds: float) -> Mend:
        path = self.folder / site.CLOCK_FILE
        write_offset(path, int(seconds * 1e9))
        return lambda: write_offset(path, 0)

    def _forbid_writing(self, pid: int) -> Mend:
        _limit_files(pid, 0)

        def mend() -> None:
            _limit_files(pid, resource.RLIM_INFINITY)
            self._full_since_ns = 0

        return mend

    def _fill(self, target: str) -> Mend:
        others = self.folder / ("edge" if target == "gateway" else "cloud") / "others"
        with others.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

        def mend() -> None:
            others.unlink()
            self._full_since_ns = 0

        return mend


def _spoil(link: FaultProxy, kind: str) -> Mend:
    if kind == "cut":
        link.cut()
    elif kind == "half-open":
        link.half_open()
    else:
        link.slow(SLOW_BYTES_PER_S)
    return link.resume


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _limit_files(pid: int, most_bytes: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


DISK_MB = 256


def _mount(folder: Path) -> None:
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs", str(folder))


def _remount(folder: Path, how: str) -> None:
    _run("mount", "-o", f"remount,{how}", str(folder))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=30.0)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.decode('utf-8', 'replace').strip()}")
