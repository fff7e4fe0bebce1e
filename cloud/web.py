"""The web process: API and console over one port. Started by the cloud's supervisor; `python -m cloud.web FILE`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from cloud.api import Services, create_api
from cloud.api.follow import follow_devices
from cloud.config import CloudConfig, load_cloud
from cloud.console import add_console
from cloud.db import open_engine, upgrade
from cloud.identity.accounts import Accounts
from cloud.identity.sessions import Sessions
from cloud.identity.tokens import Tokens
from cloud.registry import Registry
from cloud.rpc import SpineClient
from tocsin.errors import TocsinError
from tocsin.sdk.clock import SystemClock

log = logging.getLogger("tocsin.web")
FIRST_ADMIN = "first-admin.txt"


def build(config: CloudConfig, engine: Engine) -> FastAPI:
    """The application on its real parts."""
    clock = SystemClock()
    parts = Services(
        accounts=Accounts(engine, clock),
        sessions=Sessions(engine, clock),
        tokens=Tokens(engine, clock),
        registry=Registry(engine, clock),
        spine=SpineClient(config.socket_path),
        events=SpineClient(config.socket_path),
        clock=clock,
        https=config.http.cert is not None,
        tiles=config.http.tiles,
    )
    app = add_console(create_api(parts))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(follow_devices(parts), name="web.follow-devices")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            for client in (parts.spine, parts.events):
                if isinstance(client, SpineClient):
                    await client.aclose()

    app.router.lifespan_context = lifespan
    return app


def offer_first_admin(accounts: Accounts, data_dir: Path, url: str) -> None:
    """While nobody has an account: print a one-time link, and write it where only the owner reads it."""
    note = data_dir / FIRST_ADMIN
    token = accounts.new_setup_token()
    if token is None:
        note.unlink(missing_ok=True)
        return
    link = f"{url}/setup?token={token}"
    note.unlink(missing_ok=True)
    with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(link + "\n")
    print(f"first administrator: open {link}", file=sys.stderr, flush=True)  # noqa: T201


class Server(uvicorn.Server):
    """uvicorn that says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, settings: CloudConfig, accounts: Accounts) -> None:
        super().__init__(config)
        self._settings, self._accounts = settings, accounts

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, then write `http.json` and offer the first admin."""
        await super().startup()
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        scheme = "https" if self._settings.http.cert else "http"
        url = f"{scheme}://{shown}:{port}"
        await asyncio.to_thread(self._tell, url)

    def _tell(self, url: str) -> None:
        offer_first_admin(self._accounts, self._settings.cloud.data_dir, url)
        fresh = self._settings.http_json.with_suffix(".new")
        fresh.write_text(json.dumps({"url": url}) + "\n")
        fresh.replace(self._settings.http_json)


def web_options(config: CloudConfig, app: FastAPI, port: int | None = None) -> uvicorn.Config:
    """How uvicorn serves the application; `port` instead of the configured one."""
    return uvicorn.Config(
        app,
        host=config.http.host,
        port=config.http.port if port is None else port,
        ssl_certfile=config.http.cert,
        ssl_keyfile=config.http.key,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
        ws="none",
    )


def serve(config: CloudConfig, port: int | None = None) -> int:
    """Run until SIGTERM or SIGINT. With `port` a supervisor runs us: it says where we listen, and offers the first admin."""
    engine = open_engine(config.state_place)
    try:
        upgrade(engine)
        options = web_options(config, build(config, engine), port)
        server: uvicorn.Server
        if port is None:
            server = Server(options, config, Accounts(engine, SystemClock()))
        else:
            server = uvicorn.Server(options)
        server.run()
        return 0 if server.started else 1
    finally:
        engine.dispose()


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="python -m cloud.web")
    parser.add_argument("config", type=Path, help="cloud.toml")
    parser.add_argument("--port", type=int, help="port chosen by the supervisor")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        return serve(load_cloud(arguments.config).value, arguments.port)
    except TocsinError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)  # noqa: T201
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
