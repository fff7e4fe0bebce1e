"""The demo's and bench's child processes: on a leash, so they end when we do, however we end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import msgspec

from tocsin.broker.leash import spawn
from tocsin.errors import TocsinError

if TYPE_CHECKING:
    import psutil


class LabError(TocsinError):
    """A part of the demo or bench did not start, or died."""

    code = "lab.failed"


class Usage(msgspec.Struct, frozen=True):
    """What a process has used so far; `peak_rss_bytes` is VmHWM of /proc/PID/status."""

    cpu_s: float
    rss_bytes: int
    peak_rss_bytes: int


class Child:
    """One process; its output goes to `<log folder>/<name>.log`."""

    def __init__(
        self, name: str, args: Sequence[str], logs: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = logs / f"{name}.log"
        self._stderr: IO[bytes] = self._log.open("ab")
        self._last_usage = Usage(0.0, 0, 0)
        self.process = spawn(
            list(args),
            sig=signal.SIGTERM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ready(self, timeout_s: float = 30.0) -> dict[str, object]:
        """The first line of its output, one JSON object.

        Raises:
            LabError: it ended, or said nothing in time.
        """
        assert self.process.stdout is not None  # noqa: S101 - we asked for a pipe
        stdout = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        line = bytearray()  # grows without being copied: a line may have a million bytes
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    raise LabError(
                        f"{self.name} was not ready in {timeout_s:g} s", hint=self.tail()
                    )
                chunk = os.read(stdout, 1)
                if not chunk:
                    raise LabError(f"{self.name} ended at its start", hint=self.tail())
                line += chunk
        answer: dict[str, object] = msgspec.json.decode(line)
        return answer

    def read_rest(self, timeout_s: float = 30.0) -> bytes:
        """Whatever it still prints until it ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.communicate(timeout=timeout_s)[0]
        return b""

    def usage(self) -> Usage:
        """CPU seconds and memory; the last known figures once it has ended."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        except OSError:
            return self._last_usage
        ticks = int(stat[11]) + int(stat[12])
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if "VmHWM" in fields:
            rss, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
            self._last_usage = Usage(ticks / os.sysconf("SC_CLK_TCK"), rss, peak)
        return self._last_usage

    def stop(self, timeout_s: float = 15.0) -> int:
        """SIGTERM, then SIGKILL when it does not end; the exit status."""
        if self.process.poll() is None:
            self.usage()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return status

    def tail(self, lines: int = 6) -> str:
        """The end of its log, for an error's hint."""
        text = self._log.read_text("utf-8", "replace").strip().splitlines()[-lines:]
        return "\n".join([f"{self._log}:", *text]) if text else f"{self._log} is empty"


class Children:
    """All children of one run; leaving stops them, last started first."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self.all: list[Child] = []

    def start(self, name: str, *args: str, env: Mapping[str, str] | None = None) -> Child:
        """Start `python -P -m args...`; `env` on top of our own."""
        child = Child(name, [sys.executable, "-P", "-m", *args], self._logs, env)
        self.all.append(child)
        return child

    def start_program(self, name: str, *argv: str) -> Child:
        """Start a program that is not ours."""
        child = Child(name, argv, self._logs)
        self.all.append(child)
        return child

    def check(self) -> None:
        """Raises LabError when one has died."""
        for child in self.all:
            status = child.process.poll()
            if status not in (None, 0):
                raise LabError(f"{child.name} died with status {status}", hint=child.tail())

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in reversed(self.all):
            child.stop()


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


def cloud_processes(cloud: Child) -> dict[str, psutil.Process]:
    """The processes under the cloud's supervisor, by kind: spine, web, mosquitto or amqtt."""
    import psutil

    found: dict[str, psutil.Process] = {}
    for process in psutil.Process(cloud.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            found[
                next((k for k in ("mosquitto", "amqtt", "spine", "web") if k in line), "other")
            ] = process
    return found
