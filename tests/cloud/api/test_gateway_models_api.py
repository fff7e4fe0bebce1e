"""Models for gateways over HTTP: who may, and what is told."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import httpx

from cloud.identity.rules import Scope
from tocsin.contract.rollout import decode_part

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

AT = "/api/v1/gateways/gw-north/models"


def test_a_model_is_sent_by_operations_staff_and_told(two_sites: RunningCloud) -> None:
    data = b"\0graph"
    toml = f'name = "fire"\nversion = "2"\nfile = "f.onnx"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n'
    body = {"toml": toml, "files": {"f.onnx": base64.b64encode(data).decode()}}
    who = two_sites.token(Scope.ADMIN)
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        for scope in set(Scope) - {Scope.ADMIN}:
            assert client.post(AT, json=body, headers=two_sites.token(scope)).status_code == 403
        answer = client.post(AT, json=body, headers=who)
        assert answer.status_code == 202, answer.text
        made = answer.json()
        assert (made["version"], made["state"], made["actor"]) == ("2", "sent", "test")
        assert made["files"] == [
            {"file": "f.onnx", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        ]
        assert decode_part(two_sites.spine.published[1][1]).data == data
        assert client.get(AT, headers=who).json() == [made]
        wrong = {"toml": toml, "files": {"f.onnx": base64.b64encode(b"x").decode()}}
        for bad in (wrong, {"toml": toml, "files": {"f.onnx": "???"}}, {"toml": toml}):
            assert client.post(AT, json=bad, headers=who).status_code == 400, bad
        south = AT.replace("north", "south")
        assert client.post(south, json=body, headers=who).status_code == 409
