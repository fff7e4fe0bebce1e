"""`tocsin cloud run`: the supervisor of broker, spine and web process. It does no work of its own.

The supervisor listens on the HTTP port itself, so nobody else's server can be taken for ours; the web process is started
as `python -m cloud.web CONFIG --fd FD` on that socket and is ready when it answers there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy.exc import DBAPIError

from cloud.config import CloudConfig
from cloud.db import open_engine, upgrade
from cloud.identity.accounts import Accounts
from cloud.identity.first_admin import write_link
from cloud.listen import answers, listen, reachable
from cloud.owned import other_owner, owned
from cloud.rpc import SpineClient
from tocsin.broker import Account, ChildBroker, ListenerTls
from tocsin.broker.leash import spawn
from tocsin.cli.output import note, stream_line
from tocsin.cli.paths import remember_cloud_dir
from tocsin.errors import (
    BrokerError,
    ConfigError,
    ConfigProblem,
    StoreUnavailableError,
    TocsinError,
)
from tocsin.sdk import SystemClock

PASSWORD_ENV = "TOCSIN_SPINE_BROKER_PASSWORD"  # noqa: S105 - the name of a variable
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 30.0  # up for so long, and the next fall starts the back-off anew
LOOK_S = 0.1
STOP_S = 8.0  # for the children that store something; the broker takes what is left of ten seconds
_log = logging.getLogger("cloud")


class Child:
    """One supervised process."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name, self._start = name, start
        self._process: subprocess.Popen[bytes] | None = None
        self._falls = 0
        self._since = 0.0
        self._again_at = 0.0

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def look(self, now: float) -> None:
        """Start it, or start it again once its pause is over."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            status, self._process = self._process.returncode, None
            self._falls = 1 if now - self._since > STEADY_S else self._falls + 1
            pause = BACKOFF_S[min(self._falls - 1, len(BACKOFF_S) - 1)]
            self._again_at = now + pause
            _log.error("%s ended with status %d; again in %g s", self.name, status, pause)
        if now >= self._again_at:
            self._process, self._since = self._start(), now

    def terminate(self) -> None:
        """SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def reap(self, patience_s: float) -> None:
        """Wait for its end; SIGKILL when it takes longer."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(max(patience_s, 0.1))
        except subprocess.TimeoutExpired:
            _log.error("%s does not end, killed", self.name)
            process.kill()
            process.wait()


class Cloud:
    """`run` until SIGTERM or SIGINT. One per data directory."""

    def __init__(self, config: CloudConfig, path: Path, *, as_json: bool = False) -> None:
        self._config, self._path, self._as_json = config, path.resolve(), as_json
        self._data = config.cloud.data_dir
        self._password = secrets.token_urlsafe(24)
        self._broker = self._child_broker() if config.broker.mode == "child" else None
        self._broker_again_at = 0.0
        self._broker_falls = 0
        self._listener: socket.socket
        self._spine = Child("spine", self._start_spine)
        self._web = Child("web", self._start_web)

    async def run(self) -> None:
        """Everything up, watched, and down again.

        Raises:
            StoreError: another cloud owns the data directory, or the state database takes no write.
            FolderError: the data directory cannot be made.
            ListenError: the HTTP port is not to be had.
            BrokerError: the child broker does not start.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        with owned(self._data), listen(self._config.http) as self._listener:
            self._config.http_json.unlink(missing_ok=True)
            if foreign := other_owner(self._data):
                _log.warning("%s, or its files will be of two users", foreign)
            setup = await asyncio.to_thread(self._prepare)
            try:
                if self._broker is not None:
                    await asyncio.to_thread(self._broker.start)
                async with asyncio.TaskGroup() as group:
                    ready = group.create_task(self._say_ready(setup), name="readiness")
                    await self._supervise(stop)
                    ready.cancel()
            finally:
                self._config.http_json.unlink(missing_ok=True)
                await asyncio.to_thread(self._stop)

    async def _supervise(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                self._look(time.monotonic())
            except Exception:  # noqa: BLE001 - the last resort of the whole process: say it, and go on watching
                _log.exception("the supervisor failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()

    def _look(self, now: float) -> None:
        if self._broker is not None and not self._broker.pid and now >= self._broker_again_at:
            pause = BACKOFF_S[min(self._broker_falls, len(BACKOFF_S) - 1)]
            self._broker_falls += 1
            self._broker_again_at = now + pause
            _log.error("the broker ended; started again")
            try:
                self._broker.start()
            except BrokerError as exc:
                _log.error("%s; again in %g s", exc.message, pause)
        elif self._broker is not None and now - self._broker_again_at > STEADY_S:
            self._broker_falls = 0
        self._spine.look(now)
        self._web.look(now)

    def _stop(self) -> None:
        """Console and spine together, the spine with everything committed; the broker last."""
        deadline = time.monotonic() + STOP_S
        self._listener.close()
        for child in (self._web, self._spine):
            child.terminate()
        for child in (self._web, self._spine):
            child.reap(deadline - time.monotonic())
        if self._broker is not None:
            self._broker.stop()

    def _prepare(self) -> str | None:
        """The state database at its newest schema; the one-time token when there is no account yet."""
        engine = open_engine(self._config.state_place)
        file = self._config.state_file
        try:
            upgrade(engine)
            return Accounts(engine, SystemClock()).new_setup_token()
        except (DBAPIError, OSError) as exc:
            raise StoreUnavailableError(
                f"the state database{f' {file}' if file else ''} cannot be opened for writing: "
                f"{exc.orig if isinstance(exc, DBAPIError) else exc}",
                hint=(other_owner(file) if file else "")
                or "does it answer, is it writable, is there free space?",
            ) from exc
        finally:
            engine.dispose()

    async def _say_ready(self, setup: str | None) -> None:
        host = self._config.http.host
        scheme = "https" if self._config.http.cert else "http"
        near, port = reachable(host), int(self._listener.getsockname()[1])
        shown = f"[{near}]" if ":" in near else near
        async with SpineClient(self._config.socket_path) as spine:
            while True:
                try:
                    await spine.call("counters", call_timeout_s=2.0)
                except TocsinError:
                    await asyncio.sleep(LOOK_S)
                    continue
                if self._web.pid and await answers(self._config.http, port):
                    break
                await asyncio.sleep(LOOK_S)
        url = f"{scheme}://{shown}:{port}"
        told: dict[str, object] = {"url": url, "pid": os.getpid()}
        if self._broker is not None:
            told |= {"broker_kind": self._broker.kind, "broker_port": self._broker.port}
        else:
            told |= {"broker_kind": "external", "broker_port": self._config.broker.port}
        if setup is not None:
            told["setup_url"] = f"{url}/setup?token={setup}"
        link = told.get("setup_url")
        await asyncio.to_thread(write_link, self._data, str(link) if link else None)
        await asyncio.to_thread(self._write_http, told)
        if self._as_json:
            stream_line(told)
            return
        note(f"console: {url}")
        if setup is not None:
            note(f"first administrator (once): {told['setup_url']}")

    def _write_http(self, told: dict[str, object]) -> None:
        path = self._config.http_json
        draft = path.with_suffix(".tmp")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(told))
        draft.replace(path)
        with contextlib.suppress(
            OSError
        ):  # a home that cannot be written costs only the convenience
            remember_cloud_dir(self._data)

    def _start_spine(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "cloud.spine", str(self._path)]
        if self._broker is not None:
            protocol = "5" if self._broker.kind == "mosquitto" else "3.1.1"
            argv += ["--broker-port", str(self._broker.port), "--broker-protocol", protocol]
        return spawn(argv, env={**os.environ, PASSWORD_ENV: self._password})

    def _start_web(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        argv = [sys.executable, "-m", "cloud.web", str(self._path), "--fd", str(fd)]
        return spawn(argv, pass_fds=(fd,))

    def _child_broker(self) -> ChildBroker:
        config = self._config
        accounts = [Account(config.cloud.name, self._password, "ingester")]
        accounts += [
            Account(g.id, g.password.reveal(), "gateway") for g in config.gateways if g.password
        ]
        tls = config.broker.listener_tls
        return ChildBroker(
            config.broker.kind,
            self._data / "broker",
            accounts=accounts,
            port=config.broker.port,
            host=config.broker.bind,
            tls=ListenerTls(tls.cert, tls.key) if tls else None,
        )


def run(config: CloudConfig, path: Path, *, as_json: bool = False) -> None:
    """Run the cloud of `config` (read from `path`) until it is told to stop.

    Raises:
        ConfigError: the configuration is that of an ingester beside it.
    """
    if config.ingest.share:
        allowed = 'false here: ingesters share, and the cloud beside them has `buckets = ""`'
        problem = ConfigProblem(
            file=str(path), line=0, key="ingest.share", value="true", allowed=allowed
        )
        raise ConfigError([problem])
    asyncio.run(Cloud(config, path, as_json=as_json).run())
