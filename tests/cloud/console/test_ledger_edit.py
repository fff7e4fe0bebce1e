"""An admin changes the ledger in a real Chromium; everybody else only reads it, and every change leaves an entry."""

from __future__ import annotations

import msgspec
from playwright.sync_api import Browser, expect

from cloud.permits.ledger import Qualified
from tests.cloud.console.watched import Watched
from tests.cloud.permits.conftest import crew
from tests.cloud.permits.crew import Crew
from tocsin.permits.context import Instrument
from tocsin.permits.space import Space

__all__ = ["crew"]


def seat(crew: Crew, browser: Browser, who: str, lang: str = "en-GB") -> Watched:
    tab = Watched(browser, crew.cloud.url, phone=lang == "zh-CN", lang=lang)
    tab.known_as(crew.headers[who]["Cookie"])
    tab.page.goto("/permits/ledger")
    return tab


def test_an_admin_changes_a_space_and_the_ledger_says_what_it_was(
    crew: Crew, browser: Browser
) -> None:
    tab = seat(crew, browser, "root", "zh-CN")
    page, ledger = tab.page, crew.cloud.permits.ledger
    before = ledger.get(Space, "north", "well-7")
    page.locator("[data-space=well-7] a").click()
    page.get_by_role("link", name="修改").click()
    expect(page.locator("[name=name]")).to_have_value("Well 7")
    page.fill("[name=name]", "7 号井")
    page.fill("[name=locks]", "lock-7，lock-8")
    tab.shot("ledger-edit-space-zh")
    tab.fits()
    page.get_by_role("button", name="保存").click()
    row = page.locator("[data-ledger-changes] tbody tr").first
    expect(row).to_contain_text("lock-7, lock-8")
    expect(row).to_contain_text("root")
    tab.shot("ledger-changes-zh")
    tab.fits()
    after = ledger.get(Space, "north", "well-7")
    assert after == msgspec.structs.replace(before, name="7 号井", locks=("lock-7", "lock-8"))
    tab.done()


def test_an_admin_changes_a_person_and_a_detector_and_adds_one(
    crew: Crew, browser: Browser
) -> None:
    tab = seat(crew, browser, "root")
    page, parts = tab.page, crew.cloud.permits
    page.locator("[data-person=zhou]").get_by_role("link", name="Edit").click()
    page.fill("[name=fit_until]", "2031-05-06")
    page.get_by_label("Rescue").check()
    tab.shot("ledger-edit-person-en")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-person=zhou]")).to_contain_text("2031-05-06")
    expect(page.locator("[data-person=zhou] .roles")).to_contain_text("Rescue")
    told = page.locator("[data-ledger-changes]")
    expect(told).to_contain_text("entrant@north, rescue@north")
    assert parts.ledger.get(Qualified, "north", "zhou").fit_until_ns > 0
    page.locator("h3", has_text="Instruments").get_by_role("link", name="Add").click()
    page.fill("[name=id]", "no id")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("pattern")
    page.fill("[name=id]", "gd-7")
    page.fill("[name=calibrated]", "2026-05-06")
    page.fill("[name=calibrated_until]", "2031-05-06")
    page.locator("[name=bumped_now]").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-instrument=gd-7]")).to_contain_text("2031-05-06")
    assert parts.ledger.get(Instrument, "north", "gd-7").bumped_ns > 0
    page.locator("h3", has_text="Instruments").get_by_role("link", name="Add").click()
    page.fill("[name=id]", "gd-7")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("already")
    assert parts.ledger.get(Instrument, "north", "gd-7").bumped_ns > 0
    page.goto("/permits/ledger")
    kinds = [c["kind"] for c in crew.must("li", "GET", "/permit-ledger/changes")][:2]
    assert kinds == ["instrument", "roles"]
    tab.done()


def test_nobody_but_an_admin_is_offered_or_allowed_a_change(crew: Crew) -> None:
    for who in ("tech", "qian"):
        headers = crew.headers[who]
        shown = crew.http.get("/permits/ledger", headers=headers)
        assert (shown.status_code, "Well 7" in shown.text) == (200, True)
        assert "ledger-edit" not in shown.text
        path = "/permits/ledger-edit?kind=space&site=north&id=well-7"
        assert crew.http.get(path, headers=headers).status_code == 403
        sent = {"site": "north", "id": "zhou", "role": "approver"}
        told = crew.http.post("/permits/ledger-edit/person", data=sent, headers=headers)
        assert told.status_code == 403
