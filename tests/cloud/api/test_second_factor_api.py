"""Second factors and permit roles over HTTP, as a person and an admin use them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from cloud.identity.rules import Role, Scope
from cloud.identity.totp import code_at, step_of
from tests.cloud.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

AT = "/api/v1/me/second-factor"


@pytest.fixture
def client(two_sites: RunningCloud) -> Iterator[httpx.Client]:
    two_sites.account("ann", Role.OPERATOR)
    two_sites.account("root", Role.ADMIN)
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        yield client


def log_in(client: httpx.Client, cloud: RunningCloud, name: str) -> dict[str, str]:
    """Headers of a browser session."""
    from cloud.identity.secrets import csrf_of
    from cloud.identity.sessions import Sessions
    from tocsin.sdk import SystemClock

    secret = Sessions(cloud.engine, SystemClock()).log_in(name, PASSWORD, "::1")
    return {"Cookie": f"tocsin_session={secret}", "X-CSRF-Token": csrf_of(secret)}


def test_a_person_enrols_and_an_admin_ends_it(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    ann, root = log_in(client, two_sites, "ann"), log_in(client, two_sites, "root")
    assert client.get(AT, headers=ann).json()["enrolled"] is False
    wrong = client.post(AT, json={"password": "no"}, headers=ann)
    assert (wrong.status_code, wrong.json()["error"]["reason"]) == (401, "bad-credentials")
    made = client.post(AT, json={"password": PASSWORD}, headers=ann)
    assert made.status_code == 201
    assert made.json()["uri"].startswith("otpauth://totp/Tocsin:ann?secret=")
    text = made.json()["secret"]
    code = code_at(base64.b32decode(text + "=" * (-len(text) % 8)), step_of(time.time_ns()))
    confirmed = client.post(f"{AT}/confirm", json={"code": code}, headers=ann)
    assert (confirmed.status_code, confirmed.json()["enrolled"]) == (200, True)
    again = client.post(f"{AT}/confirm", json={"code": code}, headers=ann)
    assert (again.status_code, again.json()["error"]["reason"]) == (403, "no-second-factor")
    ids = {a["name"]: a["id"] for a in client.get("/api/v1/accounts", headers=root).json()}
    mine = client.delete(f"/api/v1/accounts/{ids['root']}/second-factor", headers=root)
    assert mine.status_code == 403
    ended = client.delete(f"/api/v1/accounts/{ids['ann']}/second-factor", headers=root)
    assert (ended.json()["enrolled"], ended.json()["removed_by"]) == (False, "root")
    token = client.get(AT, headers=two_sites.token(Scope.READ))
    assert token.status_code == 403


def test_an_admin_says_who_is_what_where(two_sites: RunningCloud, client: httpx.Client) -> None:
    root = log_in(client, two_sites, "root")
    ann = {a["name"]: a["id"] for a in client.get("/api/v1/accounts", headers=root).json()}["ann"]
    at = f"/api/v1/accounts/{ann}/permit-roles"
    wanted = [{"role": "approver", "site": "north"}, {"role": "entrant"}]
    assert client.put(at, json=wanted, headers=root).status_code == 200
    assert client.get(at, headers=root).json() == [
        {"role": "approver", "site": "north"},
        {"role": "entrant", "site": None},
    ]
    bad = client.put(at, json=[{"role": "king"}], headers=root)
    assert bad.status_code == 400
    assert "approver" in bad.json()["error"]["message"]
    reader = two_sites.token(Scope.READ, sites=frozenset({"south"}))
    assert client.get("/api/v1/sites/south/people", headers=reader).json() == [
        {"name": "ann", "roles": ["entrant"]}
    ]
    assert client.get("/api/v1/sites/north/people", headers=reader).status_code == 404
    assert client.put(at, json=[], headers=log_in(client, two_sites, "ann")).status_code == 403
