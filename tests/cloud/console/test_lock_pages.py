"""Voiding grants and replacing the issuer key in a real Chromium: asked twice, with a reason and a second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Browser, expect

from tests.cloud.console.watched import Watched
from tests.cloud.permits.conftest import crew
from tests.cloud.permits.crew import LOCK, Crew

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

__all__ = ["crew"]


def seat(crew: Crew, browser: Browser, who: str, lang: str = "zh-CN") -> Watched:
    tab = Watched(browser, crew.cloud.url, phone=lang == "zh-CN", lang=lang)
    tab.known_as(crew.headers[who]["Cookie"])
    tab.page.goto("/permits/locks")
    return tab


def send(tab: Watched, reason: str, code: str) -> None:
    tab.page.fill("[name=reason]", reason)
    tab.page.fill("[name=code]", code)
    tab.page.locator("[data-sure] button").click()


def test_a_technician_voids_the_grants_of_a_lock_after_a_second_question(
    crew: Crew, browser: Browser
) -> None:
    crew.active()
    tab = seat(crew, browser, "tech")
    form = tab.page.locator("[data-revoke]")
    form.get_by_text("lock-7").click()
    form.locator("[name=gateways_too]").check()
    form.locator("button").click()
    expect(tab.page.locator("h1")).to_have_text("作废授权？")
    expect(tab.page.locator("[data-sure] li")).to_contain_text("lock-7")
    tab.shot("locks-revoke-zh")
    tab.fits()
    assert crew.cloud.permits.locks.get(LOCK.hex()).min_ctr == 0, "asking alone does nothing"
    send(tab, "丢了一部手机", "000000")
    expect(tab.page.get_by_role("alert")).to_contain_text("验证码不对")
    send(tab, "丢了一部手机", crew.code("tech"))
    row = tab.page.locator("[data-changes] tbody tr")
    expect(row).to_contain_text("作废授权和网关密钥")
    expect(row).to_contain_text("丢了一部手机")
    lock = crew.cloud.permits.locks.get(LOCK.hex())
    assert (lock.min_ctr, lock.epoch, lock.changed_by) == (lock.next_ctr, 2, "tech")
    tab.shot("locks-zh")
    tab.fits()
    tab.done()


def test_an_admin_replaces_the_issuer_key_and_is_told_which_locks_would_be_left_behind(
    crew: Crew, browser: Browser
) -> None:
    tab = seat(crew, browser, "root", "en-US")
    expect(tab.page.locator("[data-revoke]")).to_have_count(0)  # no technician of any site
    tab.page.get_by_role("link", name="Make the next key").click()
    send(tab, "once a year", crew.code("root"))
    tab.page.get_by_role("link", name="Sign with the new key").click()
    expect(tab.page.locator("[data-sure]")).to_contain_text("north/lock-7")
    tab.shot("locks-switch-en")
    send(tab, "once a year", crew.code("root"))
    expect(tab.page.get_by_role("alert")).to_contain_text("Not every lock has taken the new key")
    tab.page.locator("[name=force]").check()
    send(tab, "lock-7 is scrapped", crew.code("root"))
    expect(tab.page.locator("[data-changes] tbody tr").first).to_contain_text("locks left behind")
    assert [s.issues_ns is None for s in crew.cloud.permits.issuers.states()] == [False, False]
    tab.shot("locks-en")
    tab.fits()
    tab.done()


def test_who_may_not_is_shown_no_form_and_refused(cloud: RunningCloud, crew: Crew) -> None:
    headers = crew.headers["zhou"]
    shown = crew.http.get("/permits/locks", headers=headers).text
    assert "data-revoke" not in shown
    assert "data-issuer-keys" not in shown
    asked = {"lock": LOCK.hex(), "reason": "x", "code": "000000"}
    told = crew.http.post("/permits/locks/revoke", data=asked, headers=headers)
    assert told.status_code == 403
    key = {"do": "prepare", "reason": "x", "code": "000000"}
    assert crew.http.post("/permits/locks/issuer", data=key, headers=headers).status_code == 403
    assert cloud.permits.keys.all() == []
