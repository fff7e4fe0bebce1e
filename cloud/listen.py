"""The port of API and console: taken by the supervisor before anything starts, handed to each web process in turn."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl

from cloud.config import HttpSection
from tocsin.errors import ListenError

BACKLOG = 512
ANSWER_S = 2.0


def listen(http: HttpSection) -> socket.socket:
    """A listening socket on `[http]` host and port; while it is open nobody else can have the port.

    Raises:
        ListenError: the port is taken, not permitted, or the host is no address of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            http.host or None, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except (socket.gaierror, UnicodeError) as exc:
        raise _refused(http, "no such host", "http.host") from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise _refused(http, "the port is taken by another process", "http.port") from exc
        key = "http.host" if exc.errno == errno.EADDRNOTAVAIL else "http.port"
        raise _refused(http, os.strerror(exc.errno or 0), key) from exc
    return sock


def reachable(host: str) -> str:
    """The address by which this machine reaches a listener on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host


async def answers(http: HttpSection, port: int) -> bool:
    """Whether a web process serves the port; a connection alone says only that the port is ours."""
    context: ssl.SSLContext | None = None
    if http.cert is not None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is our own socket
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(reachable(http.host), port, ssl=context)
            try:
                writer.write(
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                return (await reader.readline()).startswith(b"HTTP/1.")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _refused(http: HttpSection, why: str, key: str) -> ListenError:
    hints = {
        "http.port": "set http.port in cloud.toml to another port (0 is any free one), or stop who has it",
        "http.host": "set http.host in cloud.toml to an address of this machine",
    }
    return ListenError(
        f"cannot listen on {http.host or '*'} port {http.port}: {why}", hint=hints[key]
    )
