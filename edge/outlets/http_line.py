"""Line protocol by HTTP POST; one request at a time."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

from edge.outlets.forms import Origin, line_protocol
from edge.outlets.options import OutletConfig
from edge.outlets.outlet import Outlet
from edge.tls import tls_context
from tocsin.config import TlsOptions
from tocsin.errors import UplinkError
from tocsin.sdk import Clock


class HttpLine(Outlet):
    """What answers 4xx will never take these rows: they are dropped and counted as refused."""

    def __init__(self, config: OutletConfig, clock: Clock, origin: Origin) -> None:
        super().__init__(config, clock)
        assert config.http is not None  # noqa: S101 - the configuration is validated
        self._http, self._origin = config.http, origin

    async def session(self) -> None:
        while True:
            rows = await self.waiting.take(self.config.batch_rows)
            try:
                status = await asyncio.to_thread(self._post, line_protocol(rows, self._origin))
            except (OSError, http.client.HTTPException, ValueError) as exc:
                self.waiting.give_back(rows)
                raise UplinkError(f"{self._http.url.partition('?')[0]}: {exc}") from exc
            except asyncio.CancelledError:
                self.waiting.give_back(rows)
                raise
            if 200 <= status < 300:
                self.worked(len(rows))
            elif status in (408, 429) or status >= 500:
                self.waiting.give_back(rows)
                raise UplinkError(f"{self._http.url.partition('?')[0]} answers {status}")
            else:
                self.refused += len(rows)
                raise UplinkError(f"{self._http.url.partition('?')[0]} refuses rows: {status}")

    def _post(self, body: bytes) -> int:
        url = urlsplit(self._http.url)
        host, timeout_s = url.hostname or "", self.config.timeout_s
        connection = http.client.HTTPConnection(host, url.port, timeout=timeout_s)
        if url.scheme == "https":
            context = tls_context(TlsOptions(ca=self._http.ca))
            connection = http.client.HTTPSConnection(
                host, url.port, timeout=timeout_s, context=context
            )
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._http.token is not None:
            headers["Authorization"] = f"Token {self._http.token.reveal()}"
        try:
            target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(4096)
            return answer.status
        finally:
            connection.close()
