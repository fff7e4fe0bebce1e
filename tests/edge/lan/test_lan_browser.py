"""The page on a phone, in a real Chromium over TLS. Screenshots land in .test-run/lan."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.edge.lan.desk import PIN, OnePermit
from tests.edge.lan.serving import page
from tocsin.grants.primitives import is_signed
from tocsin.testing import free_port

SHOTS = Path(".test-run") / "lan"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=FLAGS
        )
        yield browser
        browser.close()


def phone(browser: Browser, url: str, language: str) -> tuple[Page, list[str]]:
    context = browser.new_context(
        base_url=url,
        viewport={"width": 390, "height": 844},
        locale=language,
        has_touch=True,
        ignore_https_errors=True,
    )
    shown = context.new_page()
    problems: list[str] = []
    shown.on("pageerror", lambda e: problems.append(str(e)))
    shown.on(
        "request", lambda r: None if r.url.startswith((url, "data:")) else problems.append(r.url)
    )
    shown.goto("/")
    shown.fill("input[name=account]", "wang")
    shown.fill("input[name=pin]", PIN)
    shown.click("button[type=submit]")
    expect(shown.locator("section[data-permit]")).to_be_visible()
    return shown, problems


def shot(shown: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    shown.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("language", "words"), [("zh-CN", ("进入", "求救", "平台断开", "清点人数", "启动应急")), ("en-GB", ("In", "SOS", "cloud away", "Roll call", "Emergency"))])  # fmt: skip
def test_the_attendant_counts_people_and_calls_for_help(
    browser: Browser, tmp_path: Path, language: str, words: tuple[str, ...]
) -> None:
    desk = OnePermit()
    with page(desk, tmp_path, lost_ns=time.time_ns() - 90 * 10**9) as (_, url, _):
        shown, problems = phone(browser, url, language)
        card = shown.locator("section[data-permit]")
        for word in words:
            expect(shown.locator("body")).to_contain_text(word)
        expect(card.locator(".big").first).to_have_text("2")
        expect(card).to_contain_text({"zh-CN": "硫化氢", "en-GB": "Hydrogen sulfide"}[language])
        shot(shown, f"active-{language[:2]}")
        expect(card.locator("button.bad")).to_be_in_viewport(ratio=1)
        card.get_by_role("button", name=words[0], exact=True).click()
        expect(card.locator(".big").first).to_have_text("3")
        card.locator("button.bad").click()
        shown.locator("#ask-yes").click()
        expect(card.locator(".banner")).to_contain_text("陈伟、刘洋、赵敏")
        shot(shown, f"suspended-{language[:2]}")
        expect(card.locator("button.bad")).to_be_in_viewport(ratio=1)
        card.get_by_role("button", name=words[3], exact=True).click()
        shown.locator("#ask-list input").nth(1).uncheck()
        shot(shown, f"roll-call-{language[:2]}")
        shown.locator("#ask-yes").click()
        expect(card.locator(".big").first).to_have_text("2")
        card.get_by_role("button", name=words[4], exact=True).click()
        shown.locator("#ask-yes").click()
        expect(card.locator("a.call")).to_have_attribute("href", "tel:119")
        expect(card.get_by_role("button", name=words[4], exact=True)).to_have_count(0)
        shot(shown, f"emergency-{language[:2]}")
        done = [asked for _, asked in desk.asked if asked.action != "heartbeat"]
        assert [asked.action for asked in done] == ["enter", "sos", "roll-call", "emergency"]
        assert done[2].said["inside"] == "chen\nzhao"
        width = shown.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        assert problems == []


def test_the_page_offers_only_what_the_state_lets_be_done(browser: Browser, tmp_path: Path) -> None:
    desk = OnePermit()
    with page(desk, tmp_path) as (_, url, _):
        shown, problems = phone(browser, url, "en-GB")
        card = shown.locator("section[data-permit]")

        def offered(state: str, *names: str) -> None:
            desk.view = msgspec.structs.replace(desk.view, state=state)
            expect(card.locator(".pill").first).to_have_text(state)
            for name in ("In", "Out", "SOS", "Suspend", "Roll call", "Emergency"):
                found = card.get_by_role("button", name=name, exact=True)
                expect(found.first).to_be_visible() if name in names else expect(found).to_have_count(0)  # fmt: skip

        offered("active", "In", "Out", "SOS", "Suspend", "Roll call", "Emergency")
        offered("suspended", "Out", "SOS", "Roll call", "Emergency")
        offered("closing", "Out", "SOS", "Suspend", "Roll call", "Emergency")
        offered("expired", "Out", "SOS", "Roll call", "Emergency")
        offered("approved", "Out")
        expect(card).to_contain_text("Work has not begun")
        assert problems == []


def test_a_phone_signs_the_locks_challenge_with_a_key_that_never_leaves_it(
    browser: Browser, tmp_path: Path
) -> None:
    desk = OnePermit()
    with page(desk, tmp_path) as (_, url, _):
        shown, problems = phone(browser, url, "en-GB")
        shown.get_by_role("button", name="Register this phone").click()
        expect(shown.locator("#told")).to_contain_text("Sent to the cloud")
        box = shown.locator("#phone")
        expect(box).to_contain_text("Its key waits")
        (holder,) = desk.known
        expect(box.locator(".hash")).to_have_text(" ".join(re.findall("....", holder)))
        shot(shown, "phone-waiting-en")
        desk.known[holder] = "not this man's phone"
        expect(box).to_contain_text("Refused at the cloud: not this man's phone")
        desk.known[holder] = "confirmed"
        expect(box).to_contain_text("confirmed")
        expect(box.get_by_role("button")).to_have_count(0)
        shown.get_by_role("button", name="Unlock").click()
        expect(shown.locator("#told")).to_contain_text("Done")
        asked = {a.action: a.said for _, a in desk.asked}
        public = asked["register"]["public"]
        assert ("wang", holder) in desk.looked, "the grants of this phone's key are asked for"
        assert asked["unlock"]["public"] == asked["challenge"]["public"] == public
        key = bytes.fromhex(public)
        assert is_signed(key, bytes.fromhex(asked["register"]["proof"]), b"HOLD1wang")
        assert is_signed(key, bytes.fromhex(asked["unlock"]["signature"]), bytes.fromhex("00ff" * 8))  # fmt: skip
        assert problems == []


def test_a_gateway_that_does_not_answer_makes_the_page_say_how_old_it_is(
    browser: Browser, tmp_path: Path
) -> None:
    with page(OnePermit(), tmp_path) as (_, url, _):
        shown, _ = phone(browser, url, "en-GB")
    expect(shown.locator("#stale")).to_be_visible(timeout=20_000)
    expect(shown.locator("#stale")).to_contain_text("does not answer")


def test_after_a_restart_of_the_gateway_the_page_asks_for_the_pin_and_says_why(
    browser: Browser, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with page(OnePermit(), tmp_path, listen=listen) as (_, url, _):
        shown, problems = phone(browser, url, "en-GB")
    expect(shown.locator("#stale")).to_contain_text("does not answer", timeout=20_000)
    with page(OnePermit(), tmp_path, listen=listen):
        expect(shown.locator("form input[name=pin]")).to_be_visible(timeout=20_000)
        expect(shown.locator("#main")).to_contain_text("The gateway has started anew")
        expect(shown.locator("#stale")).to_be_hidden()
        shot(shown, "again-en")
        shown.fill("input[name=account]", "wang")
        shown.fill("input[name=pin]", PIN)
        shown.click("button[type=submit]")
        expect(shown.locator("section[data-permit]")).to_be_visible()
        assert problems == []
