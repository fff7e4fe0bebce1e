"""The web process: API and console over one port. The supervisor starts it: `python -m cloud.web CONFIG --fd FD`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import socket
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
from cloud.db import open_engine
from cloud.identity.accounts import Accounts
from cloud.identity.permit_roles import PermitRoles
from cloud.identity.pins import Pins
from cloud.identity.second_factor import SecondFactors
from cloud.identity.sessions import Sessions
from cloud.identity.tokens import Tokens
from cloud.permits.parts import PermitParts
from cloud.registry import Registry
from cloud.rpc import SpineClient
from cloud.sealing import Sealing
from tocsin.cli.logs import setup_logging
from tocsin.cli.output import fail
from tocsin.errors import TocsinError
from tocsin.sdk.clock import SystemClock


def build(config: CloudConfig, engine: Engine) -> FastAPI:
    """The application on its real parts."""
    clock = SystemClock()
    sealing = Sealing.of(config.secrets_key)
    parts = Services(
        accounts=Accounts(engine, clock),
        sessions=Sessions(engine, clock),
        tokens=Tokens(engine, clock),
        factors=SecondFactors(engine, clock, sealing),
        permit_roles=PermitRoles(engine),
        pins=Pins(engine, clock),
        permits=PermitParts.of(config, engine, clock, sealing),
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


def web_options(config: CloudConfig, app: FastAPI, port: int = 0) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        host=config.http.host,
        port=port,
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


def serve(config: CloudConfig, listener: socket.socket) -> int:
    """Run on a listening socket until SIGTERM or SIGINT."""
    engine = open_engine(config.state_place)
    try:
        server = uvicorn.Server(web_options(config, build(config, engine)))
        # What is here now stays: a walk through all of it for garbage would hold up whatever is answered for 100 ms.
        gc.collect()
        gc.freeze()
        server.run(sockets=[listener])
        return 0 if server.started else 1
    finally:
        engine.dispose()


def main() -> int:
    """Entry point of the process. The supervisor has brought the state database to its newest schema."""
    parser = argparse.ArgumentParser(prog="python -m cloud.web")
    parser.add_argument("config", type=Path)
    parser.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    arguments = parser.parse_args()
    setup_logging()
    try:
        return serve(load_cloud(arguments.config).value, socket.socket(fileno=arguments.fd))
    except TocsinError as error:
        return fail(error, as_json=False)


if __name__ == "__main__":
    sys.exit(main())
