"""The newest open alarms on the overview: seen at once, few questions however many, each look written down."""

from __future__ import annotations

import time
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import event

from cloud.identity.rules import Role, Scope
from tests.cloud.conftest import RunningCloud
from tests.cloud.console.cameras import (
    BOX,
    FIRE,
    THUMBNAIL,
    bring,
    exhibit,
    looks,
    raised,
    seen,
    sha,
    tell,
)
from tests.cloud.console.watched import Watched
from tocsin.contract.evidence import Detection, Growth


@pytest.mark.parametrize(
    ("lang", "title", "grew", "said", "still", "phone"),
    [
        ("zh-CN", "cam-1 · 烟雾", "已扩大到 4.0 倍", "属实", "仍在画面中", True),
        ("zh-CN", "cam-1 · 烟雾", "已扩大到 4.0 倍", "属实", "仍在画面中", False),
        ("en-GB", "cam-1 · Smoke", "Grew to 4.0 times", "Confirmed", "Still in view", True),
        ("en-GB", "cam-1 · Smoke", "Grew to 4.0 times", "Confirmed", "Still in view", False),
    ],
)
def test_who_opens_the_console_sees_the_newest_alarm_with_its_picture_and_the_look_is_written_down(
    watching: RunningCloud, browser: Browser, lang: str, title: str, grew: str, said: str, still: str, phone: bool
) -> None:  # fmt: skip
    watching.account("li", Role.OPERATOR)
    tab = Watched(browser, watching.url, lang=lang, phone=phone)
    tab.log_in("li")
    cards = tab.page.locator("[data-newest]")
    expect(cards).to_have_count(2)  # of the two sites
    raised(watching, "FIRE", FIRE)
    first = cards.first
    expect(first).to_have_attribute("data-newest", "FIRE")
    expect(first.locator("img")).to_have_count(0)
    seen(watching, "d-9", FIRE)
    bring(watching, FIRE)
    assert first.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 480
    expect(first.locator("h3")).to_have_text(title)
    expect(first).to_contain_text(still)
    assert looks(watching) == ["li"]
    seen(watching, "d-9", FIRE, grown=Growth(4.0, BOX, time.time_ns()))
    expect(first.locator(".seen")).to_contain_text(grew)
    watching.vision.judge("d-9", "confirmed", "li", "", None)
    expect(first.locator(".seen")).to_contain_text(said)
    assert looks(watching) == ["li"]  # drawn anew, not fetched anew
    tab.fits()
    tab.shot(f"overview-newest-{lang[:2]}-{'phone' if phone else 'desk'}")
    first.locator(".look").click()
    expect(tab.page).to_have_url(f"{watching.url}/alarms/FIRE")
    tab.done()


def test_the_overview_shows_five_alarms_and_asks_the_database_no_more_than_for_one(
    watching: RunningCloud,
) -> None:
    said: list[str] = []
    event.listen(watching.engine, "before_cursor_execute", lambda c, cur, sql, *_: said.append(sql))
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}

    def page() -> tuple[str, int]:
        said.clear()
        answer = httpx.get(f"{watching.url}/", headers=headers, timeout=30)
        assert answer.status_code == 200
        return answer.text, sum("FROM vision_" in sql for sql in said)

    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    _, few = page()
    pictures = [FIRE + bytes([n]) for n in range(40)]
    for n, picture in enumerate(pictures):
        raised(watching, f"A-{n}", picture)
        seen(watching, f"d-{n}", picture)
        bring(watching, picture)
    text, many = page()
    assert many == few == 2  # first pictures, and what is in view
    shown = [part.partition('"')[0] for part in text.split('data-newest="')[1:]]
    assert shown == [f"A-{n}" for n in (39, 38, 37, 36, 35)]
    assert f'href="/alarms">All ({len(watching.spine.alarms)})' in text
    assert httpx.get(f"{watching.url}/fragments/newest", headers=headers, timeout=30).text.count("data-newest=") == 5  # fmt: skip


def test_nobody_sees_on_the_overview_what_another_site_saw(watching: RunningCloud) -> None:
    raised(watching, "FIRE", FIRE)
    seen(watching, "d-9", FIRE)
    bring(watching, FIRE)
    headers = watching.token(Scope.READ, sites=frozenset({"south"}))
    for path in ("/", "/fragments/newest"):
        page = httpx.get(f"{watching.url}{path}", headers=headers, timeout=30)
        assert page.status_code == 200
        assert sha(FIRE) not in page.text
        assert 'data-newest="ALARM-south"' in page.text
    assert looks(watching) == []


def test_a_console_without_alarms_has_no_list_of_them(watching: RunningCloud) -> None:
    def end(_: object) -> None:
        for name, alarm in watching.spine.alarms.items():
            watching.spine.alarms[name] = replace(
                alarm, beyond=False, latched=False, closed_ns=time.time_ns()
            )

    watching.do(end)
    page = httpx.get(f"{watching.url}/", headers=watching.token(Scope.READ), timeout=30)
    assert page.status_code == 200
    assert "newest" not in page.text.partition('data-fragment="/fragments/newest"')[2]


def test_a_picture_that_another_camera_took_too_stands_once_on_an_alarms_page_with_what_was_seen(
    watching: RunningCloud,
) -> None:
    raised(
        watching, "FIRE", THUMBNAIL
    )  # byte for byte that of d-1, of a camera that looks the same way
    alarms = watching.spine.alarms
    alarms["FIRE"] = replace(alarms["FIRE"], device="cam-2")
    told = Detection("d-2", "confirmed", "fire", 0.9, BOX, time.time_ns(), evidence=[exhibit("thumbnail", THUMBNAIL)])  # fmt: skip
    tell(watching, "vision.detection", told, "cam-2")
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}

    def page() -> str:
        return httpx.get(f"{watching.url}/alarms/FIRE", headers=headers, timeout=30).text

    assert page().count('class="alarm-picture"') == 1
    assert 'data-detection="d-2"' in page()
    watching.vision.judge("d-2", "rejected", "li", "", None)
    assert page().count('class="alarm-picture"') == 1
    assert "cam-2</a> · Fire" in page()  # its name, and the verdict, though all is rejected
    assert "Rejected" in page()


def test_an_alarm_whose_first_picture_nobody_knows_is_called_by_what_was_rejected(
    watching: RunningCloud,
) -> None:
    raised(watching, "FIRE", b"a picture that was never told of")
    seen(watching, "d-9", FIRE)
    watching.vision.judge("d-9", "rejected", "li", "", None)
    headers = watching.token(Scope.READ) | {"Accept-Language": "en"}
    page = httpx.get(f"{watching.url}/alarms", headers=headers, timeout=30).text
    card = page.partition('data-alarm-id="FIRE"')[2].partition("</article>")[0]
    assert "cam-1</a> · Smoke" in card
    assert "Rejected" in card
