"""Metrics in the text format of Prometheus (version 0.0.4), and the small door through which it scrapes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from edge.listening import address_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_log = logging.getLogger("edge.metrics")
_LONGEST_REQUEST = 8192
_PATIENCE_S = 5.0
_AT_ONCE = 8
_TRY_AGAIN_S = 5.0


class Point(msgspec.Struct, frozen=True):
    """One value of a metric."""

    labels: dict[str, str]
    value: float


class Metric(msgspec.Struct, frozen=True):
    """One metric with all its points. `type` is `gauge` or `counter`."""

    name: str
    type: str
    help: str
    points: list[Point]


def text_of(metrics: Iterable[Metric]) -> str:
    """The exposition; metrics without points are left out."""
    out: list[str] = []
    for metric in metrics:
        if metric.points:
            told = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
            out += [f"# HELP {metric.name} {told}", f"# TYPE {metric.name} {metric.type}"]
            out += [f"{metric.name}{_labels(p.labels)} {p.value!r}" for p in metric.points]
    return "\n".join(out) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsDoor:
    """Answers `GET /metrics` at one address, and nothing else. An address that is taken is tried again."""

    def __init__(self, listen: str, collect: Callable[[], Iterable[Metric]]) -> None:
        self._host, self._port = address_of(listen)
        self._collect = collect
        self._open = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        said = False
        while True:
            try:
                server = await asyncio.start_server(
                    self._client, self._host, self._port, limit=_LONGEST_REQUEST
                )
            except OSError as exc:
                if not said:
                    _log.error("no metrics at %s:%d: %s", self._host, self._port, exc)
                said = True
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            async with server:
                await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _AT_ONCE:
                async with asyncio.timeout(_PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked so has gone, or is no Prometheus
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", "there is only /metrics\n")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "GET /metrics\n", allow="GET, HEAD")
        body = text_of(self._collect())
        return _response("200 OK", body, with_body=method == b"GET")


def _response(status: str, body: str, *, allow: str = "", with_body: bool = True) -> bytes:
    data = body.encode()
    headers = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(data)}",
    ]
    headers += [f"Allow: {allow}"] if allow else []
    headers += ["Connection: close", "", ""]
    return "\r\n".join(headers).encode() + (data if with_body else b"")
