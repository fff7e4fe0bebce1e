"""Dead letters on the console: real letters of a real spine, looked at and requeued by a browser's requests."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import uvicorn

from cloud.config import load_cloud
from cloud.db import open_engine
from cloud.identity.accounts import Accounts
from cloud.identity.rules import Role
from cloud.web import build, web_options
from tests.cloud.spine.running import GATEWAY, SpineProcess
from tests.cloud.spine.test_spine_requeue import again
from tocsin.broker import Account
from tocsin.contract.columns import Layout, Row
from tocsin.sdk import SystemClock
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[SpineProcess]]
Scan = Callable[[int, int], list[Row]]
PASSWORD = "correct horse battery"


@contextlib.contextmanager
def console_of(spine: SpineProcess, *accounts: tuple[str, Role]) -> Iterator[str]:
    """Its web server; where it listens."""
    config = load_cloud(spine.config).value
    engine = open_engine(config.state_place)
    for name, role in accounts:
        Accounts(engine, SystemClock()).create(name, PASSWORD, role, None)
    server = uvicorn.Server(web_options(config, build(config, engine)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until_sync(lambda: server.started, 30.0, "a web server")
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        engine.dispose()


@contextlib.contextmanager
def signed_in(url: str, name: str, lang: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30, headers={"accept-language": lang}) as client:
        login = {"name": name, "password": PASSWORD, "next": "/"}
        assert client.post("/login", data=login).status_code == 303
        yield client


def csrf(page: str) -> str:
    (token,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
    return str(token)


def test_letters_are_explained_in_both_languages_and_requeued_by_those_who_may(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    now = time.time_ns() // 1_000_000 * 1_000_000
    wide = Layout("gas-01", "gas", ("h2s", "extra"), "ff")
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker, '[store]\ntype = "local"\nmax_columns = 4\n[http]\nport = 0\n') as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
        console_of(spine, ("olga", Role.OPS), ("vera", Role.VIEWER), ("otto", Role.OPERATOR)) as url,
    ):  # fmt: skip
        with signed_in(url, "olga", "en") as ops:
            assert "everything that came is stored" in ops.get("/letters").text
        gateway.put(scan(3, 0))  # four quantities: the table is full
        gateway.put([Row(wide, now + 10_000, (3.0, 33.0))])
        gateway.put([Row(Layout("gas-01", "gas", ("h2s",), "f"), now + 11_000, ("<b>1</b>",))])
        wait_until_sync(lambda: len(spine.call("deadletters", limit=9)) == 2, 30.0, "two letters")
        letters = {row["reason"]: row["id"] for row in spine.call("deadletters", limit=9)}
        for name in ("vera", "otto"):
            with signed_in(url, name, "en") as client:
                assert 'href="/letters"' not in client.get("/").text
                assert client.get("/letters").status_code == 403
                assert client.get(f"/letters/{letters['bad-reading']}").status_code == 403
                assert client.post("/letters/requeue", data={"reason": ""}).status_code == 403
        with signed_in(url, "olga", "zh") as ops:
            page = ops.get("/letters").text
            assert 'href="/letters"' in ops.get("/").text
            assert "存储拒收" in page
            assert "读数错误" in page
            one = ops.get(f"/letters/{letters['store-rejected']}").text
            assert "按存储给出的原因处理" in one
            assert "max_columns" in one
        with signed_in(url, "olga", "en") as ops:
            page = ops.get("/letters", params={"reason": "bad-reading"}).text
            assert f'href="/letters/{letters["bad-reading"]}"' in page
            assert f'href="/letters/{letters["store-rejected"]}"' not in page
            one = ops.get(f"/letters/{letters['bad-reading']}").text
            assert "&lt;b&gt;1&lt;/b&gt;" in one
            assert "<b>1</b>" not in one
            assert ops.get("/letters/999").status_code == 404
            every = {"gateway": "", "reason": "", "csrf": csrf(page)}
            told = ops.post("/letters/requeue", data=every).text
            assert "0 of 2 stored" in told
            assert ops.post("/letters/requeue", data={"reason": ""}).status_code == 403, "no token"
            assert len(spine.call("deadletters", limit=9)) == 2
            again(spine, ("max_columns = 4", "max_columns = 5"))
            mine = {"letter": letters["store-rejected"], "csrf": csrf(page)}
            assert "1 of 1 stored" in ops.post("/letters/requeue", data=mine).text
            told = ops.post("/letters/requeue", data=mine).text
            assert "0 of 1 stored" in told
            assert "no longer there" in told, "twice is said, and does nothing"
        found = spine.call("query", sql="SELECT h2s, extra FROM gas WHERE extra IS NOT NULL")
        assert found["data"] == [[3.0], [33.0]]
