"""What the console says of a gateway's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from cloud.identity.rules import Role

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def test_wrong_sections_and_the_configuration_in_force_are_shown(two_sites: RunningCloud) -> None:
    def speak(spine: object) -> None:
        north, south = two_sites.spine.gateways
        north |= {"t": 1, "config_version": 7, "left_out": ["drivers[1]", "<b>"]}
        south |= {"t": 1, "left_out": 5}

    two_sites.do(speak)
    two_sites.account("ann", Role.VIEWER)
    login = {"name": "ann", "password": "correct horse battery", "next": "/"}
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        assert client.post("/login", data=login).status_code == 303
        page = client.get("/gateways").text
    north, south = page.split('data-gateway="gw-south"')
    assert "网关暂未启用以下部分： drivers[1], &lt;b&gt;" in north
    assert "云端下发，版本 7" in north
    assert "网关本地文件" in south
    assert "网关暂未启用以下部分" not in south
