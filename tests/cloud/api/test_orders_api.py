"""Commands to devices over HTTP: who may, where, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cloud.identity.rules import Role, Scope
from tocsin.contract.messages import VERSION, Event
from tocsin.contract.orders import unpack

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

AT = "/api/v1/devices/north/gas-north/commands"


@pytest.fixture
def client(two_sites: RunningCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        yield client


def told(cloud: RunningCloud, command: str, kind: str, **data: Any) -> None:
    event = Event(VERSION, "north", "gw-north", "S", 0, kind, 1, "gas-north", "told", {"id": command} | data)  # fmt: skip
    cloud.do(lambda spine: spine.orders.on_event(event, 2))


def test_a_command_is_sent_delivered_and_ends_with_what_the_gateway_tells(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.COMMANDS)
    body = {"name": "move", "args": {"position": 30.5, "slow": True, "n": 3, "text": "x"}}
    answer = client.post(AT, json=body, headers=who)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["state"], made["actor"], made["open"]) == ("sent", "test", True)
    sent = two_sites.spine.sent[0]
    assert unpack(sent.args) == ("gas-north", "move", body["args"])
    assert sent.expires_ns - sent.issued_ns == 30 * 10**9
    told(two_sites, made["id"], "command.accepted")
    assert client.get(f"/api/v1/commands/{made['id']}", headers=who).json()["state"] == "accepted"
    told(
        two_sites, made["id"], "command.result", outcome="armed", code="abc", confirm_until_ns=2**62
    )
    second = client.post(f"/api/v1/commands/{made['id']}/confirm", json={}, headers=who)
    assert (second.status_code, second.json()["confirms"]) == (202, made["id"])
    told(two_sites, made["id"], "command.result", outcome="done", answer={"written": [1]})
    again = client.post(f"/api/v1/commands/{made['id']}/confirm", json={}, headers=who)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "command.refused")
    listed = client.get(AT, headers=who).json()
    assert [(row["id"], row["state"]) for row in listed] == [
        (second.json()["id"], "sent"),
        (made["id"], "done"),
    ]


def test_only_who_may_command_does_and_only_at_their_sites(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    body = {"name": "move"}
    for scope in set(Scope) - {Scope.COMMANDS, Scope.ADMIN}:
        assert client.post(AT, json=body, headers=two_sites.token(scope)).status_code == 403, scope
    south = two_sites.token(Scope.COMMANDS, sites=frozenset({"south"}))
    made = client.post(AT, json=body, headers=two_sites.token(Scope.COMMANDS)).json()["id"]
    for method, path in (
        ("POST", AT), ("GET", AT), ("GET", f"/api/v1/commands/{made}"),
        ("POST", f"/api/v1/commands/{made}/confirm"),
    ):  # fmt: skip
        answer = client.request(method, path, json=body if path == AT else {}, headers=south)
        assert answer.status_code == 404, (method, path)
    assert client.get("/api/v1/commands", headers=south).json() == []
    assert len(client.get("/api/v1/commands", headers=two_sites.token(Scope.READ)).json()) == 1
    no_key = client.post("/api/v1/devices/south/gas-south/commands", json=body, headers=south)
    assert (no_key.status_code, no_key.json()["error"]["hint"] != "") == (409, True)


def test_a_page_of_another_session_cannot_command(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    two_sites.account("op", Role.OPERATOR)
    login = {"name": "op", "password": "correct horse battery", "next": "/"}
    assert client.post("/login", data=login).status_code == 303
    assert client.post(AT, json={"name": "move"}).json()["error"]["reason"] == "csrf"
    form = client.post("/devices/north/gas-north/commands", data={"name": "move"})
    assert form.status_code == 403
    assert two_sites.spine.sent == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "x", "args": {"a": [1]}},
        {"name": "x", "args": {"a": "y" * 5000}},
        {"name": "x", "args": {str(n): 1 for n in range(33)}},
        {"name": "x", "expires_s": 0},
        {"name": "x", "expires_s": 4000},
        {"name": "x", "sure": True},
    ],
)
def test_a_command_that_cannot_be_understood_is_not_sent(
    two_sites: RunningCloud, client: httpx.Client, body: dict[str, Any]
) -> None:
    answer = client.post(AT, json=body, headers=two_sites.token(Scope.COMMANDS))
    assert answer.status_code == 400, answer.text
    assert two_sites.spine.sent == []
