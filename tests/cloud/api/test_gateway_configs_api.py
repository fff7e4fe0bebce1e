"""Configurations for gateways over HTTP: who may, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from cloud.identity.rules import Scope
from tocsin.contract.messages import VERSION, Event

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

AT = "/api/v1/gateways/gw-north/configs"


@pytest.fixture
def client(two_sites: RunningCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        yield client


def test_a_configuration_is_sent_and_followed(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.ADMIN)
    answer = client.post(AT, json={"toml": "schema = 1\n"}, headers=who)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["version"], made["state"], made["actor"], made["open"]) == (
        1,
        "sent",
        "test",
        True,
    )
    assert two_sites.spine.sent[0].args == {"version": 1, "toml": "schema = 1\n"}
    problems = [{"line": 1, "key": "gateway", "allowed": "required"}]
    data = {"id": made["id"], "version": 1, "problems": problems}
    event = Event(VERSION, "north", "gw-north", "S", 0, "config.refused", 1, "", "1 mistakes", data)
    two_sites.do(lambda spine: spine.configs.on_event(event, 2))
    full = client.get(f"{AT}/1", headers=who).json()
    assert (full["state"], full["problems"], full["toml"]) == ("refused", problems, "schema = 1\n")
    back = client.post(f"{AT}/withdraw", json={}, headers=who).json()
    assert (back["kind"], back["version"]) == ("config.withdraw", 2)
    assert [row["version"] for row in client.get(AT, headers=who).json()] == [2, 1]


def test_only_operations_staff_without_bounds_may(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    for scope in set(Scope) - {Scope.ADMIN}:
        who = two_sites.token(scope)
        for method, path in (("GET", AT), ("GET", f"{AT}/1"), ("POST", AT)):
            answer = client.request(method, path, json={"toml": "a = 1"}, headers=who)
            assert answer.status_code == 403, (scope, method)
    bound = two_sites.token(Scope.ADMIN, sites=frozenset({"north"}))
    assert client.get(AT, headers=bound).status_code == 403
    assert two_sites.spine.sent == []


def test_what_cannot_be_sent_is_told(two_sites: RunningCloud, client: httpx.Client) -> None:
    who = two_sites.token(Scope.ADMIN)
    for body in ({}, {"toml": ""}, {"toml": "schema ="}, {"toml": "a = 1", "version": 0}):
        assert client.post(AT, json=body, headers=who).status_code == 400, body
    south = AT.replace("north", "south")
    assert client.post(south, json={"toml": "a = 1"}, headers=who).status_code == 409
    assert client.get(AT.replace("north", "east"), headers=who).status_code == 404
    assert client.get(f"{AT}/7", headers=who).status_code == 404
