"""Pictures in the list of alarms: seen at a glance, each look written down, few questions however many alarms."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import partial

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import event, update

from cloud.identity.rules import Role, Scope
from cloud.vision.tables import evidence
from tests.cloud.conftest import RunningCloud
from tests.cloud.console.cameras import BOX, bring, exhibit, jpeg, sha, tell
from tests.cloud.console.watched import Watched
from tocsin.contract.evidence import Detection, Growth

FIRE = jpeg(480, 120)


def raised(cloud: RunningCloud, alarm: str, picture: bytes, *, ended: bool = False) -> None:
    """By a camera, before anybody told what it saw."""
    seen = replace(
        cloud.spine.alarms["ALARM-north"], alarm=alarm, device="cam-1", measurement="vision", quantity="confirmed",
        rule="confirmed-high", level=2, value=1.0, unit="1", limit=1.0, raised_ns=time.time_ns(), evidence=sha(picture),
    )  # fmt: skip
    if ended:
        seen = replace(seen, beyond=False, latched=False, closed_ns=time.time_ns())

    def add(_: object) -> None:
        cloud.spine.alarms[alarm] = seen
        cloud.spine.note(alarm, "raised")

    cloud.do(add)


def seen(cloud: RunningCloud, detection: str, picture: bytes, grown: Growth | None = None) -> None:
    """What the camera's gateway tells of it."""
    shown = [exhibit("thumbnail", picture)]
    told = Detection(detection, "confirmed", "smoke", 0.9, BOX, time.time_ns(), evidence=shown, grown=grown)  # fmt: skip
    tell(cloud, "vision.detection", told)


def looks(cloud: RunningCloud, detection: str = "d-9") -> list[str]:
    """Who looked at its pictures."""
    return [str(v["account"]) for v in cloud.vision.gallery.seen_by(detection)]


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
    assert httpx.get(place, headers=headers, timeout=30).status_code == 404
