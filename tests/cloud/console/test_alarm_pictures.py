"""Pictures in the list of alarms: seen at a glance, each look written down, few questions however many alarms."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import partial

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import event, update

from cloud.identity.rules import Role, Scope
from cloud.vision.tables import evidence
from tests.cloud.conftest import RunningCloud
from tests.cloud.console.cameras import (
    BOX,
    FIRE,
    bring,
    exhibit,
    jpeg,
    looks,
    raised,
    seen,
    sha,
)
from tests.cloud.console.watched import Watched
from tocsin.contract.evidence import Detection, Growth
from tocsin.contract.messages import VERSION, Event

SECOND = jpeg(480, 60)


@pytest.mark.parametrize(
    ("lang", "waits", "what", "alt", "grew", "phone"),
    [
        ("zh-CN", "画面还没有到达", "烟雾", "cam-1 画面：烟雾", "已扩大到 4.0 倍", False),
        ("en-GB", "The picture is not here yet", "Smoke", "Picture from cam-1: Smoke", "Grew to 4.0 times", True),
    ],
)  # fmt: skip
def test_an_alarm_in_the_list_gets_its_picture_by_itself_and_the_look_is_written_down_once(
    watching: RunningCloud, browser: Browser, lang: str, waits: str, what: str, alt: str, grew: str, phone: bool
) -> None:  # fmt: skip
    watching.account("li", Role.OPERATOR)
    tab = Watched(browser, watching.url, lang=lang, phone=phone)
    tab.log_in("li")
    tab.page.goto("/alarms")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    raised(watching, "FIRE", FIRE)
    card = tab.page.locator('[data-alarm-id="FIRE"]')
    expect(card.locator(".look")).to_contain_text(waits)  # the alarm did not wait for it
    seen(watching, "d-9", FIRE)
    expect(card.locator("h3")).to_contain_text(what)
    expect(card.locator(".facts .big")).to_have_text(re.compile(r"^\s*0\s*$"))
    expect(card.locator("img")).to_have_count(0)
    bring(watching, FIRE)
    expect(card.locator("img")).to_have_attribute("alt", alt)
    assert card.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 480
    assert looks(watching) == ["li"]
    seen(watching, "d-9", FIRE, grown=Growth(4.0, BOX, time.time_ns()))
    expect(card.locator(".seen")).to_contain_text(grew)  # drawn anew
    assert card.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 480
    assert looks(watching) == ["li"]
    expect(tab.page.locator("#banner")).to_contain_text(f"cam-1 · {what}")
    tab.fits()
    tab.shot(f"alarms-pictures-{lang[:2]}")
    card.locator(".look").click()
    expect(tab.page).to_have_url(f"{watching.url}/alarms/FIRE")
    tab.done()


def test_a_picture_that_is_gone_is_said_to_be_gone_and_not_on_its_way(
    watching: RunningCloud, browser: Browser
) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    with watching.engine.begin() as c:
        c.execute(update(evidence).where(evidence.c.sha256 == sha(FIRE)).values(state="dropped"))
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("eye")
    for path, place in (("/alarms", '[data-alarm-id="FIRE"] .look'), ("/alarms/FIRE", ".alarm-picture")):  # fmt: skip
        tab.page.goto(path)
        expect(tab.page.locator(place)).to_contain_text("Kept long enough, deleted")
    tab.done()


def test_an_alarm_is_judged_on_its_own_page_by_whoever_may(
    watching: RunningCloud, browser: Browser
) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    bring(watching, FIRE)
    watching.account("li", Role.OPERATOR)
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("li")
    tab.page.goto("/alarms/FIRE")
    said = tab.page.locator(".said")
    expect(said).to_contain_text("Not judged")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    said.get_by_role("button", name="Reject").click()
    expect(said).to_contain_text("Rejected li · ")
    expect(tab.page).to_have_url(f"{watching.url}/alarms/FIRE")
    sent = watching.spine.sent[-1].args
    assert (sent["arg.detection"], sent["arg.verdict"]) == ("d-9", "rejected")
    tab.shot("alarm-judged")
    tab.page.goto("/alarms/FIRE?told=no")
    expect(tab.page.locator(".problem")).to_contain_text("its camera cannot be told")
    tab.page.goto("/alarms")
    expect(tab.page.locator('[data-alarm-id="FIRE"] .seen')).to_contain_text("Rejected")
    tab.log_out()
    tab.log_in("eye")
    tab.page.goto("/alarms/FIRE")
    expect(said).to_contain_text("Rejected li · ")
    expect(said.get_by_role("button")).to_have_count(0)
    tab.done()


def test_an_alarm_whose_first_sight_was_rejected_shows_the_fire_that_is_there_now(
    watching: RunningCloud, browser: Browser
) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)  # steam
    bring(watching, FIRE)
    watching.account("li", Role.OPERATOR)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("li")
    tab.page.goto("/alarms/FIRE")
    tab.page.locator(".said").get_by_role("button", name="Reject").click()
    expect(tab.page.locator(".said")).to_contain_text("Rejected li · ")
    tab.page.goto("/alarms")
    card = tab.page.locator('[data-alarm-id="FIRE"]')
    expect(card.locator(".seen")).to_contain_text("Rejected")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    seen(watching, "d-10", SECOND, label="fire")
    bring(watching, SECOND)
    expect(card.locator("h3")).to_have_text("cam-1 · Fire")
    expect(card.locator("img")).to_have_attribute("src", f"/api/v1/evidence/{sha(SECOND)}")
    expect(card).not_to_contain_text("Rejected")
    expect(tab.page.locator("#banner")).to_contain_text("cam-1 · Fire")
    tab.shot("alarms-second-fire")
    tab.page.goto("/alarms/FIRE")
    blocks = tab.page.locator(".alarm-picture")
    expect(blocks).to_have_count(2)
    fire, steam = blocks.first, blocks.last
    expect(fire).to_contain_text("Fire")
    expect(fire).to_contain_text("Not judged")
    expect(steam).to_contain_text("Smoke")
    expect(steam).to_contain_text("Rejected li · ")
    expect(steam.locator("img")).to_have_attribute("src", f"/api/v1/evidence/{sha(FIRE)}")
    expect(steam.get_by_role("link", name="Open the detection")).to_have_attribute("href", "/detections/d-9")  # fmt: skip
    tab.fits()
    tab.shot("alarm-second-fire")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    fire.get_by_role("button", name="Confirm").click()
    expect(fire).to_contain_text("Confirmed li · ")
    sent = watching.spine.sent[-1].args
    assert (sent["arg.detection"], sent["arg.verdict"]) == ("d-10", "confirmed")
    expect(steam).to_contain_text("Rejected li · ")
    tab.done()


def test_a_verdict_stands_on_an_active_alarm_only_while_nothing_else_may_be_real(
    watching: RunningCloud,
) -> None:
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}

    def card() -> str:
        return httpx.get(f"{watching.url}/alarms", headers=headers, timeout=30).text

    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    seen(watching, "d-10", SECOND, label="fire")
    watching.vision.judge("d-10", "confirmed", "li", "", None)
    assert "cam-1</a> · Fire" in card()
    assert 'class="seen"' not in card()  # d-9 waits for a verdict
    watching.vision.judge("d-9", "rejected", "li", "", None)
    assert "Confirmed" in card().partition('class="seen"')[2].partition("</p>")[0]
    watching.vision.judge("d-10", "rejected", "li", "", None)
    assert "cam-1</a> · Smoke" in card()  # as it was raised
    raised(watching, "FIRE", FIRE, ended=True)
    seen(watching, "d-11", jpeg(480, 90), label="fire")
    assert "cam-1</a> · Fire" not in card()  # an alarm that ended keeps what it had
    assert "d-11" not in httpx.get(f"{watching.url}/alarms/FIRE", headers=headers, timeout=30).text


def test_two_gateways_with_the_same_picture_keep_what_each_saw_in_it(
    watching: RunningCloud,
) -> None:
    raised(watching, "A", FIRE, ended=True)
    seen(watching, "d-a", FIRE)
    bring(watching, FIRE)
    raised(watching, "B", FIRE, ended=True)
    alarms, now_ns = watching.spine.alarms, time.time_ns()
    alarms["B"] = replace(alarms["B"], gateway="gw-2", device="cam-2")
    told = Detection("d-b", "confirmed", "fire", 0.9, BOX, now_ns, evidence=[exhibit("thumbnail", FIRE)])  # fmt: skip
    said = Event(VERSION, "north", "gw-2", "S", 0, "vision.detection", now_ns, "cam-2", "", msgspec.to_builtins(told))  # fmt: skip
    watching.do(lambda _: watching.vision.on_event(said, now_ns))
    watching.vision.judge("d-b", "rejected", "li", "", None)
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}
    page = httpx.get(f"{watching.url}/alarms", headers=headers, timeout=30).text
    rows = {name: page.partition(f'data-past="{name}"')[2].partition("</tr>")[0] for name in "AB"}
    assert "Smoke" in rows["A"]
    assert "Rejected" not in rows["A"]
    assert "Fire" in rows["B"]
    assert "Rejected" in rows["B"]


def test_what_another_gateway_left_open_is_not_what_a_camera_sees_now(
    watching: RunningCloud,
) -> None:
    raised(watching, "A", FIRE)
    seen(watching, "d-a", FIRE)
    watching.vision.judge("d-a", "rejected", "li", "", None)
    now_ns = time.time_ns()
    told = Detection("d-old", "confirmed", "fire", 0.9, BOX, now_ns)
    said = Event(VERSION, "north", "gw-old", "S", 0, "vision.detection", now_ns, "cam-1", "", msgspec.to_builtins(told))  # fmt: skip
    watching.do(lambda _: watching.vision.on_event(said, now_ns))
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}
    page = httpx.get(f"{watching.url}/alarms/A", headers=headers, timeout=30).text
    assert "Rejected" in page
    assert "d-old" not in page


def test_of_hundreds_of_alarms_only_the_pictures_in_sight_are_fetched(
    watching: RunningCloud, browser: Browser
) -> None:
    pictures = [FIRE + bytes([n]) for n in range(200)]
    for n, picture in enumerate(pictures):
        raised(watching, f"A-{n}", picture, ended=True)
        seen(watching, f"d-{n}", picture)
        bring(watching, picture)
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("eye")
    tab.page.goto("/alarms")
    rows = tab.page.locator("tr[data-past]")
    expect(rows).to_have_count(200)
    last = rows.last.locator("img")
    expect(rows.first.locator("img")).to_have_js_property("naturalWidth", 480)
    tab.shot("alarms-history", full=False)
    looked = partial(watching.vision.gallery.looked_at, "north", "cam-1")
    assert 0 < len(looked()) < 60
    assert looks(watching, "d-0") == []
    tab.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(last).to_have_js_property("naturalWidth", 480)
    assert looks(watching, "d-0") == ["eye"]
    tab.done()


def test_a_page_of_many_alarms_asks_the_database_no_more_than_one_of_few(
    watching: RunningCloud,
) -> None:
    said: list[str] = []
    event.listen(watching.engine, "before_cursor_execute", lambda c, cur, sql, *_: said.append(sql))
    headers = watching.token(Scope.READ)

    def asked() -> int:
        said.clear()
        page = httpx.get(f"{watching.url}/alarms", headers=headers, timeout=30)
        assert page.status_code == 200
        return len(said)

    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    few = asked()
    for n in range(150):
        picture = FIRE + bytes([n])
        raised(watching, f"A-{n}", picture, ended=n % 2 == 0)
        seen(watching, f"d-{n}", picture)
        bring(watching, picture)
    assert asked() <= few + 1  # the list of ended ones was empty before


def test_nobody_sees_in_the_list_what_another_site_saw(watching: RunningCloud) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    bring(watching, FIRE)
    page = f"{watching.url}/alarms"
    mine = httpx.get(page, headers=watching.token(Scope.READ), timeout=30)
    theirs = httpx.get(page, headers=watching.token(Scope.READ, sites=frozenset({"south"})))
    assert sha(FIRE) in mine.text
    assert theirs.status_code == 200
    assert sha(FIRE) not in theirs.text
    assert watching.vision.gallery.pictures([sha(FIRE)], {"south"}) == []
    assert len(watching.vision.gallery.in_view([("north", "gw-north", "cam-1")], {"north"})) == 1
    assert watching.vision.gallery.in_view([("north", "gw-north", "cam-1")], {"south"}) == []
    assert looks(watching) == []  # nobody fetched it


def test_a_picture_that_went_while_it_was_asked_for_is_not_found(watching: RunningCloud) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    bring(watching, FIRE)
    headers = watching.token(Scope.READ)
    place = f"{watching.url}/api/v1/evidence/{sha(FIRE)}"
    there = httpx.get(place, headers=headers, timeout=30)
    assert there.content == FIRE
    assert there.headers["content-type"] == "image/jpeg"
    assert there.headers["cache-control"] == "no-store"
    (watching.directory / "evidence" / sha(FIRE)[:2] / sha(FIRE)).unlink()
    assert len(looks(watching)) == 1
    assert httpx.get(place, headers=headers, timeout=30).status_code == 404
    assert len(looks(watching)) == 1  # nobody saw anything
