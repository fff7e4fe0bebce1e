"""A broker as a child process: start, stop, kill, restart on the same port and directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from tocsin.broker import mosquitto_conf
from tocsin.broker.accounts import Account, hash_password
from tocsin.broker.leash import spawn
from tocsin.errors import BrokerError

Kind = Literal["auto", "mosquitto", "amqtt"]
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
MAX_QUEUED_BYTES = 512 << 20


@dataclass(frozen=True)
class ListenerTls:
    """PEM files of a TLS listener; with `client_ca` every client must show a certificate signed by it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def mosquitto_binary() -> str | None:
    """Where mosquitto is; Debian keeps it in /usr/sbin, which is not on a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class ChildBroker:
    """Our own broker on one port. Synchronous: every call returns within seconds; safe to call from any thread.

    `port` 0 takes a free one at the first start and keeps it. The child dies with this process.
    """

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *,
        accounts: Sequence[Account],
        port: int = 0,
        host: str = "127.0.0.1",
        tls: ListenerTls | None = None,
        autosave_s: int = 5,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._max_queued_bytes = max_queued_bytes
        self.kind: Literal["mosquitto", "amqtt"] = (
            kind if kind != "auto" else ("mosquitto" if mosquitto_binary() else "amqtt")
        )
        self.directory, self.host, self.port = directory, host, port
        self._accounts, self._tls, self._autosave_s = tuple(accounts), tls, autosave_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child; 0 when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    @property
    def log_path(self) -> Path:
        """What the child wrote to its standard error."""
        return self.directory / "broker.log"

    def start(self) -> None:
        """Start the child and return once it accepts connections.

        Raises:
            BrokerError: it is not installed, or it ended or stayed silent instead of listening.
        """
        if self.pid:
            return
        fresh = self.port == 0
        for attempt in range(3):
            if fresh:
                self.port = _free_port(self.host)
            try:
                self._start_once()
            except BrokerError:
                self.kill9()
                if not fresh or attempt == 2:  # a free port may be taken by another in between
                    raise
            else:
                return

    def stop(self) -> None:
        """End it in order; mosquitto saves its state first."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill9(self) -> None:
        """SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop in order and start again on the same port and directory."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_once(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refuse_taken_port()
        argv, sig = self._mosquitto() if self.kind == "mosquitto" else self._amqtt()
        with self.log_path.open("ab") as log:
            self._process = spawn(argv, sig=sig, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failed(f"ended with status {self._process.returncode}")
            with contextlib.suppress(OSError), socket.create_connection((host, self.port), 1.0):
                if self._process.poll() is None:
                    return
            time.sleep(0.02)
        raise self._failed(f"does not listen after {START_TIMEOUT_S:g} s")

    def _refuse_taken_port(self) -> None:
        # else the wait below would find the other server and call it ours
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as exc:
                raise BrokerError(
                    f"the child broker cannot listen on {self.host}:{self.port}: {exc.strerror}",
                    hint="another program has the port; choose one or use 0 for a free one",
                ) from exc

    def _failed(self, why: str) -> BrokerError:
        tail = self.log_path.read_text("utf-8", "replace").strip().splitlines()[-3:]
        return BrokerError(
            f"the child broker {self.kind} on {self.host}:{self.port} {why}: {' | '.join(tail)}",
            hint=f"see {self.log_path}; is the port free?",
        )

    def _mosquitto(self) -> tuple[list[str], int]:
        binary = mosquitto_binary()
        if binary is None:
            raise BrokerError(
                "mosquitto is not installed",
                hint="apt-get install mosquitto, or broker kind 'amqtt'",
            )
        tls = (self._tls.certificate, self._tls.key, self._tls.client_ca) if self._tls else None
        files = {
            "passwords": mosquitto_conf.password_file(self._accounts),
            "acl": mosquitto_conf.acl_file(self._accounts),
            "mosquitto.conf": mosquitto_conf.main_file(
                self.directory.resolve(),
                self.host,
                self.port,
                tls=tls,
                autosave_s=self._autosave_s,
                max_queued_bytes=self._max_queued_bytes,
            ),
        }
        for name, text in files.items():
            _write_private(self.directory / name, text)
        return [binary, "-c", str(self.directory / "mosquitto.conf")], signal.SIGTERM

    def _amqtt(self) -> tuple[list[str], int]:
        config = {
            "host": self.host,
            "port": self.port,
            "accounts": [
                {"user": a.user, "hash": hash_password(a.password), "role": a.role}
                for a in self._accounts
            ],
            "tls": [
                str(p) if p else None
                for p in (self._tls.certificate, self._tls.key, self._tls.client_ca)
            ]
            if self._tls
            else None,
        }
        path = self.directory / "amqtt.json"
        _write_private(path, json.dumps(config))
        argv = [sys.executable, "-W", "ignore", "-m", "tocsin.broker.amqtt_child", str(path)]
        return argv, signal.SIGKILL


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
