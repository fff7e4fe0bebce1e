"""What a running agent tells systemd on a real notify socket, and when it goes silent."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.edge.app.conftest import Start, gateway_toml, port_of, start_line
from tocsin.testing import wait_until_sync

WATCHDOG_S = 1.0


class Systemd:
    """The other end of `$NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        self.path, self.heard = path, list[tuple[float, str]]()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while data := self._socket.recv(4096):
            self.heard.append((time.monotonic(), data.decode()))

    def count(self, state: str) -> int:
        """How often a state was told."""
        return sum(state in text.split("\n") for _, text in self.heard)

    def quiet_s(self) -> float:
        """How long nobody has fed the watchdog."""
        return time.monotonic() - max(at for at, text in self.heard if "WATCHDOG=1" in text)

    def close(self) -> None:
        """Free the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """A notify socket."""
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def port() -> Iterator[int]:
    """A head with a gas release."""
    with ExitStack() as stack:
        yield port_of(start_line(stack, 1, releasing=1))


def environment(systemd: Systemd) -> dict[str, str]:
    """What systemd sets for a service with WatchdogSec."""
    return {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


def test_ready_reload_and_stop_are_told(
    tmp_path: Path, systemd: Systemd, start_edge: Start, port: int
) -> None:
    edge = start_edge(gateway_toml(port), **environment(systemd))
    wait_until_sync(lambda: systemd.count("READY=1") == 1, what=f"ready: {edge.stderr}")
    before_us = time.monotonic_ns() // 1000
    os.kill(edge.pid, signal.SIGHUP)
    wait_until_sync(lambda: systemd.count("READY=1") == 2, what=f"the reload: {edge.stderr}")
    ((_, text),) = [h for h in systemd.heard if h[1].startswith("RELOADING=1")]
    state, usec = text.split("\n")[1].split("=")
    assert state == "MONOTONIC_USEC"
    assert before_us <= int(usec) <= time.monotonic_ns() // 1000

    # a file with a mistake: the reload ends too, with the old configuration
    (tmp_path / "gateway.toml").write_text("schema = 2\n", "utf-8")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until_sync(lambda: systemd.count("READY=1") == 3, what=f"the refusal: {edge.stderr}")
    assert edge.terminate() == 0
    assert systemd.count("STOPPING=1") == 1


def test_the_watchdog_is_not_fed_while_commits_hang(
    tmp_path: Path, systemd: Systemd, start_edge: Start, port: int
) -> None:
    edge = start_edge(gateway_toml(port), **environment(systemd))
    wait_until_sync(lambda: systemd.count("WATCHDOG=1") >= 3, what=f"a watchdog: {edge.stderr}")
    (file,) = (tmp_path / "data" / "outbox").glob("*.db")
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # the disk takes nothing
        wait_until_sync(lambda: systemd.quiet_s() > WATCHDOG_S, what="systemd would have acted")
        other.execute("ROLLBACK")
    other.close()
    fed = systemd.count("WATCHDOG=1")
    wait_until_sync(lambda: systemd.count("WATCHDOG=1") > fed + 1, what="it goes on")
    assert edge.terminate() == 0


def _made(pipe: Path) -> bool:
    try:
        os.mkfifo(pipe)
    except FileExistsError:  # the gateway is just writing the last alarm's state
        return False
    return True


def test_the_watchdog_is_not_fed_while_the_flow_hangs(
    tmp_path: Path, systemd: Systemd, start_edge: Start, port: int
) -> None:
    edge = start_edge(gateway_toml(port), **environment(systemd))
    siren = tmp_path / "siren"
    wait_until_sync(
        lambda: siren.exists() and siren.read_text("utf-8") == "on\n", what=f"{edge.stderr}"
    )
    wait_until_sync(lambda: systemd.count("WATCHDOG=1") >= 2)
    pipe = tmp_path / "data" / "alarms.json.new"  # the disk hangs while alarm states are written
    wait_until_sync(lambda: _made(pipe))
    (tmp_path / "button").write_text("pressed", "utf-8")
    wait_until_sync(lambda: systemd.quiet_s() > WATCHDOG_S, what="systemd would have acted")
    assert edge.returncode is None
    edge.kill9()
