"""Completeness over HTTP."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import httpx

from cloud.identity.rules import Scope
from tests.cloud.audits import complete, gapped
from tocsin.testing import run_process

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def test_completeness_is_told_within_the_sites_of_the_caller(two_sites: RunningCloud) -> None:
    now_ns = time.time_ns()
    two_sites.spine.audits = {
        "gw-north": gapped("north", "gw-north", now_ns),
        "gw-south": complete("south", "gw-south", now_ns),
    }
    everyone = two_sites.token(Scope.READ)
    south = two_sites.token(Scope.READ, sites=frozenset({"south"}))
    with httpx.Client(base_url=f"{two_sites.url}/api/v1", timeout=30) as client:
        found = client.get("/completeness", headers=everyone).json()
        assert {r["gateway"]: r["verdict"] for r in found} == {
            "gw-north": "incomplete",
            "gw-south": "complete",
        }
        assert all("streams" not in r or r["streams"] == [] for r in found)
        (mine,) = client.get("/completeness", headers=south).json()
        assert (mine["gateway"], mine["missing"], len(mine["hours"])) == ("gw-south", 0, 24)
        one = client.get(f"/gateways/gw-north/completeness?from_ns={now_ns}", headers=everyone)
        assert one.json()["from_ns"] == now_ns
        gaps = [g for s in one.json()["streams"] for g in s["gaps"]]
        assert {g["reason"] for g in gaps} == {
            "dead-lettered", "evicted", "damaged", "unknown", "waiting", "in-flight",
        }  # fmt: skip
        assert client.get("/gateways/gw-north/completeness", headers=south).status_code == 404
        assert client.get("/gateways/gw-none/completeness", headers=everyone).status_code == 404
        wrong = client.get("/completeness?from_ns=5&to_ns=5", headers=everyone)
        assert wrong.status_code == 400
        assert client.get("/completeness").status_code == 401


def test_the_command_asks_a_cloud_elsewhere_by_this_api(two_sites: RunningCloud) -> None:
    now_ns = time.time_ns()
    two_sites.spine.audits = {"gw-north": gapped("north", "gw-north", now_ns)}
    token = two_sites.token(Scope.READ)["Authorization"].removeprefix("Bearer ")
    argv = [sys.executable, "-m", "tocsin.cli", "audit", "--url", two_sites.url, "--token", token]
    with run_process([*argv, "--gateway", "gw-north", "--from", "-2d"]) as done:
        assert done.wait(60.0) == 9, done.stderr
        text = "\n".join(done.stdout)
    assert text.startswith("gw-north: incomplete: about ")
    assert "7200-14399" in text
    assert "dead-lettered (bad-crc, wrong-type)" in text
    assert "12 rows were given up before they had a number" in text
    assert "an outbox ended without a last word" in text
    with run_process(argv) as done:
        assert done.wait(60.0) == 9, done.stderr
        assert "incomplete" in done.stdout[1]
    with run_process([*argv, "--gateway", "gw-none", "--json"]) as done:
        assert done.wait(60.0) == 8, done.stderr
    with run_process([*argv, "--from", "now", "--to", "-1h"]) as done:
        assert done.wait(60.0) == 2, done.stderr
