"""Listening for phones: TLS beyond this machine, a bounded number of connections, an address that is taken is tried again."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from edge.lan.routes import Routes
from edge.lan.wire import serve
from edge.listening import address_of

MOST_CONNECTIONS = 32  # a further one is closed at once
HANDSHAKE_S = 10.0
_TRY_AGAIN_S = 5.0
_log = logging.getLogger("edge.lan")


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with the gateway's own certificate.

    Raises:
        OSError: a file is missing or no PEM; it says which.
    """
    for path in (cert, key):
        path.open("rb").close()  # the context's own error names no file
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as exc:
        raise OSError(f"{cert} and {key} do not fit or are no PEM: {exc}") from exc
    return context


class LanPage:
    """One address. `cert` and `key` None: in clear, which the configuration allows on loopback only."""

    def __init__(self, listen: str, routes: Routes, cert: Path | None, key: Path | None) -> None:
        self._host, self._port = address_of(listen)
        self._routes, self._cert, self._key = routes, cert, key
        self._serving: set[asyncio.Task[None]] = set()
        self.refused = 0  # connections beyond the most
        self.port: int | None = None  # once it listens

    async def run(self) -> None:
        """Serve until cancelled; then every connection is closed."""
        try:
            await self._listen()
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _listen(self) -> None:
        said = False
        while True:
            try:
                tls = server_context(self._cert, self._key) if self._cert and self._key else None
                server = await asyncio.start_server(
                    self._client,
                    self._host,
                    self._port,
                    ssl=tls,
                    ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                )
            except OSError as exc:
                if not said:
                    _log.error(
                        "no page at %s:%d until this is mended: %s", self._host, self._port, exc
                    )
                said = True
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            if said:
                _log.info("the page is at %s:%d", self._host, self._port)
            self.port = server.sockets[0].getsockname()[1]
            async with server:
                await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._serving) >= MOST_CONNECTIONS:
            self.refused += 1
            writer.close()
            return
        task.set_name("lan-connection")
        self._serving.add(task)
        try:
            await serve(reader, writer, self._routes.answer)
        finally:
            self._serving.discard(task)
