"""What the console says of a gateway's configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from cloud.audit.report import Verdict
from cloud.console.complete import MARKS
from cloud.console.render import translator
from cloud.console.words import Language
from cloud.identity.rules import Role
from tests.cloud.audits import complete, gapped

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def test_wrong_sections_and_the_configuration_in_force_are_shown(two_sites: RunningCloud) -> None:
    def speak(spine: object) -> None:
        north, south = two_sites.spine.gateways
        north |= {"t": 1, "config_version": 7, "left_out": ["drivers[1]", "<b>"]}
        south |= {"t": 1, "left_out": 5}

    two_sites.do(speak)
    with _signed_in(two_sites, "ann") as client:
        page = client.get("/gateways").text
    north, south = page.split('data-gateway="gw-south"')
    assert "网关暂未启用以下部分： drivers[1], &lt;b&gt;" in north
    assert "云端下发，版本 7" in north
    assert "网关本地文件" in south
    assert "网关暂未启用以下部分" not in south


@contextmanager
def _signed_in(two_sites: RunningCloud, name: str, **more: Any) -> Iterator[httpx.Client]:
    two_sites.account(name, Role.VIEWER, **more)
    login = {"name": name, "password": "correct horse battery", "next": "/"}
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        assert client.post("/login", data=login).status_code == 303
        yield client


def test_each_gateway_shows_whether_its_data_are_complete_and_hour_by_hour_what_is_missing(
    two_sites: RunningCloud,
) -> None:
    now_ns = time.time_ns()
    two_sites.spine.audits = {
        "gw-north": gapped("north", "gw-north", now_ns),
        "gw-south": complete("south", "gw-south", now_ns),
    }
    with _signed_in(two_sites, "ann") as client:
        north, south = client.get("/gateways").text.split('data-gateway="gw-south"')
        assert south.count('<li data-state="complete"') == 24
        assert "数据完整" in south
        assert "数据有缺失" in north
        assert north.count("<li data-state=") == 24
        assert north.count('<li data-state="lost"') >= 5
        assert north.count('<li data-state="waiting"') >= 1
        one = client.get("/gateways/gw-north", headers={"accept-language": "en"}).text
        fragment = client.get("/fragments/gateways/gw-north").text
        assert client.get("/gateways/gw-none").status_code == 404
    for reason in ("dead-lettered", "evicted", "damaged", "unknown", "waiting"):
        assert one.count(f'<tr data-reason="{reason}"') == 1, reason
        assert f'<tr data-reason="{reason}"' in fragment
    assert 'data-reason="in-flight"' not in one
    assert "17, 18" in one
    assert "25000–25099" in one


def test_a_viewer_of_one_site_sees_no_gateway_of_another(two_sites: RunningCloud) -> None:
    now_ns = time.time_ns()
    two_sites.spine.audits = {
        "gw-north": gapped("north", "gw-north", now_ns),
        "gw-south": complete("south", "gw-south", now_ns),
    }
    with _signed_in(two_sites, "bob", sites=frozenset({"south"})) as client:
        assert client.get("/gateways/gw-south").status_code == 200
        assert client.get("/gateways/gw-north").status_code == 404


def test_every_verdict_of_an_audit_has_a_mark_and_words_in_both_languages() -> None:
    languages: tuple[Language, ...] = ("zh", "en")
    for verdict in Verdict:
        assert verdict in MARKS
        for lang in languages:
            assert translator(lang)(f"complete.{verdict}") != f"complete.{verdict}"
