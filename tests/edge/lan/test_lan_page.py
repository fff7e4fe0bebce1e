"""The page over real TLS: who may ask, what is bounded, and that rubbish on one connection harms no other."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge.lan.server import MOST_CONNECTIONS, LanPage, server_context
from edge.lan.sessions import FREE_ANYWHERE, MOST_TRIED, Sessions
from edge.lan.wire import LONGEST_BODY
from tests.edge.lan.desk import PIN, OnePermit
from tests.edge.lan.serving import page
from tocsin.sdk import SystemClock


class Served:
    """The page and a client that trusts its certificate."""

    def __init__(self, served: LanPage, url: str, ca: Path, desk: OnePermit) -> None:
        self.served, self.url, self.desk = served, url, desk
        self.context = ssl.create_default_context(cafile=str(ca))
        self.client = httpx.Client(base_url=url, verify=self.context, timeout=10.0)

    def log_in(self) -> dict[str, str]:
        answer = self.client.post("/api/login", json={"account": "wang", "pin": PIN})
        assert answer.status_code == 200
        return {"x-csrf": answer.json()["csrf"]}

    def port(self) -> int:
        assert self.served.port is not None
        return self.served.port


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    desk = OnePermit()
    with page(desk, tmp_path) as (lan, url, ca):
        found = Served(lan, url, ca, desk)
        yield found
        found.client.close()


def enter(person: str) -> dict[str, object]:
    return {"permit": "P-17", "action": "enter", "said": {"person": person}}


def test_nothing_is_shown_or_done_without_a_login(served: Served) -> None:
    assert served.client.get("/api/state").status_code == 401
    assert served.client.post("/api/ask", json=enter("zhao")).status_code == 401
    assert served.client.get("/").status_code == 200
    assert served.desk.asked == []


def test_what_is_asked_reaches_the_desk_under_the_account_that_logged_in(served: Served) -> None:
    csrf = served.log_in()
    assert served.client.post("/api/ask", json=enter("zhao"), headers=csrf).json() == {"done": True}
    again = served.client.post("/api/ask", json=enter("zhao"), headers=csrf)
    assert (again.status_code, again.json()["en"]) == (409, "Inside already.")
    assert [(who, asked.action) for who, asked in served.desk.asked] == [("wang", "enter")] * 2
    state = served.client.get("/api/state").json()
    assert state["gateway"] == "gw-07"
    assert [p["inside"] for p in state["permits"][0]["roster"]] == [True, True, True]


def test_another_site_cannot_ask_in_somebodys_name(served: Served) -> None:
    csrf = served.log_in()
    for headers in (
        {},
        {"x-csrf": "guessed"},
        csrf | {"sec-fetch-site": "cross-site"},
        csrf | {"origin": "https://elsewhere.example"},
    ):
        assert (
            served.client.post("/api/ask", json=enter("zhao"), headers=headers).status_code == 403
        )
    assert served.desk.asked == []


def test_the_cookie_is_for_this_page_alone(served: Served) -> None:
    answer = served.client.post("/api/login", json={"account": "wang", "pin": PIN})
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    served.client.post("/api/logout", json={}, headers={"x-csrf": answer.json()["csrf"]})
    assert served.client.get("/api/state").status_code == 401


def test_a_pin_cannot_be_guessed(served: Served) -> None:
    statuses = [
        served.client.post("/api/login", json={"account": "wang", "pin": str(n)}).status_code
        for n in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2
    right = served.client.post("/api/login", json={"account": "wang", "pin": PIN})
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 60


def test_who_guesses_a_pin_keeps_nobody_else_out(served: Served) -> None:
    elsewhere = httpx.HTTPTransport(verify=served.context, local_address="127.0.0.2")
    with httpx.Client(base_url=served.client.base_url, transport=elsewhere) as other:
        told = [
            other.post("/api/login", json={"account": "wang", "pin": str(n)}).status_code
            for n in range(7)
        ]
    assert told == [401] * 5 + [429] * 2
    assert served.client.post("/api/login", json={"account": "wang", "pin": PIN}).status_code == 200


def test_guesses_from_many_addresses_bar_the_account_but_not_where_it_was_logged_in() -> None:
    sessions = Sessions(SystemClock())
    sessions.begin("wang", "Wang", "10.0.0.7")
    for n in range(FREE_ANYWHERE):
        assert not sessions.barred_s("wang", f"10.0.1.{n // 4}")
        sessions.failed("wang", f"10.0.1.{n // 4}")
    assert 0 < sessions.barred_s("wang", "10.0.2.1") <= 60
    assert not sessions.barred_s("wang", "10.0.0.7")
    assert not sessions.barred_s("li", "10.0.2.1")
    for n in range(3 * MOST_TRIED):
        sessions.failed(f"nobody-{n}", "10.0.1.1")
    assert sessions.barred_s("wang", "10.0.2.1"), "a flood of other names clears no bar"


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"permit": 1}', b"\xff\xfe", b'{"permit": "a", "action": "b", "x": 1}'])  # fmt: skip
def test_a_body_that_says_nothing_useful_is_a_400(served: Served, body: bytes) -> None:
    csrf = served.log_in()
    assert served.client.post("/api/ask", content=body, headers=csrf).status_code == 400
    assert served.desk.asked == []


def test_a_body_that_is_too_long_is_refused(served: Served) -> None:
    answer = served.client.post("/api/login", content=b"x" * (LONGEST_BODY + 1))
    assert answer.status_code == 413


def test_rubbish_harms_nobody_else(served: Served) -> None:
    csrf = served.log_in()
    for rubbish in (b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"A" * 20_000, os.urandom(500) + b"\r\n\r\n"):  # fmt: skip
        with (
            socket.create_connection(("127.0.0.1", served.port()), 5.0) as raw,
            served.context.wrap_socket(raw, server_hostname="127.0.0.1") as link,
        ):
            link.sendall(rubbish)
            link.shutdown(socket.SHUT_WR)
            assert link.recv(64).startswith((b"HTTP/1.1 4", b""))
    with socket.create_connection(("127.0.0.1", served.port()), 5.0) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")  # no TLS
        plain.recv(64)
    assert served.client.post("/api/ask", json=enter("zhao"), headers=csrf).status_code == 200


def test_more_connections_than_the_most_are_closed_and_counted(tmp_path: Path) -> None:
    with page(OnePermit(), tmp_path, tls=False) as (lan, url, _):
        assert lan.port is not None
        held = [
            socket.create_connection(("127.0.0.1", lan.port), 5.0) for _ in range(MOST_CONNECTIONS)
        ]
        try:
            with socket.create_connection(("127.0.0.1", lan.port), 5.0) as one_more:
                assert one_more.recv(1) == b""
        finally:
            for link in held:
                link.close()
        assert lan.refused >= 1
        assert httpx.get(f"{url}/").status_code == 200


def test_a_certificate_that_is_not_there_or_none_is_named(tmp_path: Path) -> None:
    cert, key = tmp_path / "page-cert.pem", tmp_path / "page-key.pem"
    with pytest.raises(FileNotFoundError, match=r"page-cert\.pem"):
        server_context(cert, key)
    for path in (cert, key):
        path.write_text("rubbish")
    with pytest.raises(OSError, match=r"page-cert\.pem and .*page-key\.pem"):
        server_context(cert, key)
