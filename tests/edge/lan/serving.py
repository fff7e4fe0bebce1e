"""The page on a real port, over real TLS, in a loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from edge.lan.desk import Desk
from edge.lan.routes import Routes
from edge.lan.server import LanPage
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until_sync


@contextmanager
def page(
    desk: Desk,
    folder: Path,
    *,
    tls: bool = True,
    lost_ns: int | None = None,
    listen: str = "127.0.0.1:0",
) -> Iterator[tuple[LanPage, str, Path]]:
    """The page, its address and the certificate to trust."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    cert, key, ca = folder / "lan.crt", folder / "lan.key", folder / "ca.crt"
    own.private_key_pem.write_to_path(key)
    own.cert_chain_pems[0].write_to_path(cert)
    authority.cert_pem.write_to_path(ca)
    routes = Routes("gw-07", desk, SystemClock(), lambda: lost_ns, secure=tls)
    served = LanPage(listen, routes, cert if tls else None, key if tls else None)
    loop = asyncio.new_event_loop()
    task = loop.create_task(served.run())

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run, name="lan-page")
    thread.start()
    try:
        wait_until_sync(lambda: served.port is not None, 10.0)
        yield served, f"{'https' if tls else 'http'}://127.0.0.1:{served.port}", ca
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10.0)
        loop.close()
