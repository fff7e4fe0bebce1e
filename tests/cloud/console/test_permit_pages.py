"""Permits on phones and on the wall, in a real Chromium before the real rules."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Route, expect

from cloud.identity.totp import code_at, step_of
from tests.cloud.console.watched import SHOTS, WALL, Watched
from tests.cloud.permits.crew import LOCK, Crew
from tests.cloud.permits.test_asked_keys import carry
from tocsin.contract.messages import Event
from tocsin.contract.orders import unpack
from tocsin.grants.grant import PROOF_UNLOCK, check, check_holder, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.testing import wait_until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud.conftest import KnownSpine, RunningCloud


@pytest.fixture
def crew(cloud: RunningCloud) -> Iterator[Crew]:
    """Everything is in the ledger; the gas head is announced and measures good air."""
    crew = Crew(cloud)
    cloud.do(lambda spine: spine.device("north", "gas-1", "gas"))
    cloud.do(lambda spine: spine.device("north", "lock-7", "lock"))
    crew.furnish()
    crew.air()
    yield crew
    crew.http.close()


class Seat:
    """One person of the crew with a phone."""

    def __init__(
        self, crew: Crew, browser: Browser, who: str, lang: str = "zh-CN", *, wall: bool = False
    ):
        self.tab = Watched(
            browser, crew.cloud.url, phone=not wall, lang=lang, size=WALL if wall else None
        )
        self.tab.known_as(crew.headers[who]["Cookie"])
        self.page = self.tab.page

    def at(self, path: str) -> Seat:
        self.page.goto(path)
        return self

    def do(self, action: str, **fields: str) -> None:
        """Open an action's form, fill it in, send it."""
        form = self.page.locator(f'details[data-action="{action}"]')
        if form.get_attribute("open") is None:
            form.locator("summary").click()
        for name, value in fields.items():
            form.locator(f'[name="{name}"]').fill(value)
        form.locator("button.primary").click()

    def state(self, state: str) -> None:
        expect(self.page.locator(".permit-now")).to_have_attribute("data-state", state)


def test_an_application_with_a_photo_is_refused_for_what_is_missing_and_then_handed_in(
    crew: Crew, browser: Browser, tmp_path: Path
) -> None:
    zhao = Seat(crew, browser, "zhao").at("/permits")
    zhao.page.get_by_role("link", name="申请作业票").click()
    zhao.page.get_by_text("Well 7").click()
    page = zhao.page
    page.fill("[name=purpose]", "清理 7 号井水泵")
    page.fill("[name=steps]", "通风\n检测\n清理")
    page.fill("[name=rescue_plan]", "三脚架与绞盘，2 号门救援队")
    page.fill("[name=rescue_call]", "119")
    for name, people in (("attendants", ["li"]), ("entrants", ["zhou", "wu", "zheng"])):
        for person in people:
            page.check(f'[name={name}][value="{person}"]')
    for name in ("checklist", "equipment"):
        for box in page.locator(f"[name={name}]").all():
            box.check()
    page.uncheck('[name=equipment][value="harness"]')
    picture = tmp_path / "well.png"
    page.screenshot(path=picture)
    page.set_input_files("[data-photo] input[type=file]", picture)
    expect(page.locator(".photo-told")).to_have_text("照片已保存")
    zhao.tab.shot("permit-form")
    zhao.tab.fits()
    page.get_by_role("button", name="提交申请").click()
    refused = page.locator(".refusal")
    expect(refused).to_contain_text("缺少装备“全身式安全带”。")
    expect(refused.locator(".rule")).to_contain_text("ppe-and-attendant")
    zhao.state("draft")
    zhao.tab.shot("permit-refused")
    page.reload()
    zhao.state("draft")
    assert len(crew.must("bureau", "GET", "/permits")) == 1, "no second draft"
    page.get_by_role("link", name="修改申请").click()
    expect(page.locator("[name=purpose]")).to_have_value("清理 7 号井水泵")
    page.check('[name=equipment][value="harness"]')
    page.get_by_role("button", name="提交申请").click()
    zhao.state("submitted")
    expect(page.locator(".thumbs img").first).to_be_attached()
    permit = page.url.rsplit("/", 1)[1]
    form = crew.must("bureau", "GET", f"/permits/{permit}")["permit"]["form"]
    assert abs(form["from_ns"] - time.time_ns()) < 120 * 10**9
    assert form["until_ns"] - form["from_ns"] == 4 * 3600 * 10**9
    assert len(form["photos"]) == 1
    zhao.tab.done()


def test_the_approver_sees_all_of_an_application_before_accepting_it(
    crew: Crew, browser: Browser
) -> None:
    told = {"activities": ["hot work"], "communication": "channel 3", "contractor": "Pump & Co", "contractor_licence": "L-9"}  # fmt: skip
    made = crew.must("zhao", "POST", "/permits", {"site": "north", "form": crew.form(**told)})
    permit = made["permit"]["id"]
    crew.must("zhao", "POST", f"/permits/{permit}/submit", {})
    qian = Seat(crew, browser, "qian", "en-GB").at(f"/permits/{permit}")
    facts = qian.page.locator(".facts-of")
    for word in ("Hot work", "Communication was tried", "Harness", "channel 3", "Pump & Co · L-9", "119"):  # fmt: skip
        expect(facts.get_by_text(word).first).to_be_visible()
    expect(facts).to_contain_text("Hazards")
    expect(qian.page.locator(".isolations li").first).to_contain_text("not in place")
    qian.tab.shot("permit-submitted")
    qian.tab.fits()
    signed = {"reason": "not now", "code": crew.code("qian")}
    crew.must("qian", "POST", f"/permits/{permit}/reject", signed)
    qian.at("/permits")
    expect(qian.page.locator(".empty")).to_have_text("No permit is under way.")
    expect(qian.page.locator("table")).to_contain_text("zhao")
    qian.at("/permits/locks").page.get_by_role("link", name="Back to permits").click()
    expect(qian.page.locator("h1")).to_have_text("Permits")
    qian.tab.done()


def test_the_second_factor_is_enrolled_by_a_code_and_needed_to_approve(
    crew: Crew, browser: Browser
) -> None:
    permit = crew.tested()
    at = f"/permits/{permit}"
    for name in ("zhou", "wu", "zheng", "li"):
        crew.must(name, "POST", f"{at}/briefing", {})
    crew.must("li", "POST", f"{at}/tools", {"way": "in", "count": 5})
    qian = Seat(crew, browser, "qian", "en-GB").at(at)
    qian.do("approve", reason="checked on site", place="QR-7", code="000000")
    expect(qian.page.locator(".problem")).to_contain_text("no second factor")
    qian.at("/second-factor")
    qian.page.fill("[name=password]", "correct horse battery")
    qian.page.get_by_role("button", name="Set it up").click()
    expect(qian.page.locator(".qr svg")).to_be_visible()
    qian.tab.shot("second-factor")
    qian.tab.fits()
    secret = (qian.page.locator(".secret").text_content() or "").strip()
    key = crew.secret_of(secret)
    picture = qian.page.locator(".qr").inner_html()
    qian.page.fill("[name=code]", "000000")
    qian.page.get_by_role("button", name="Confirm").click()
    expect(qian.page.locator(".problem")).to_contain_text("code")
    expect(qian.page.locator(".secret")).to_have_text(secret)
    assert qian.page.locator(".qr").inner_html() == picture, "the phone may not have scanned it yet"
    crew.forget_codes()
    qian.page.fill("[name=code]", code_at(key, step_of(time.time_ns())))
    qian.page.get_by_role("button", name="Confirm").click()
    expect(qian.page.locator(".message")).to_be_visible()
    qian.at(at)
    crew.forget_codes()
    qian.do(
        "approve",
        reason="checked on site",
        place="QR-8",
        code=code_at(key, step_of(time.time_ns())),
    )
    expect(qian.page.locator(".refusal")).to_contain_text("well-7")
    expect(qian.page.locator('[data-action="approve"] [name=reason]')).to_have_value(
        "checked on site"
    )
    qian.tab.shot("permit-approve")
    assert qian.page.url.endswith(at)
    qian.page.reload()
    expect(qian.page.locator(".refusal")).to_have_count(0)
    qian.at(f"{at}/approve")
    assert qian.page.url.endswith(at)
    crew.forget_codes()
    qian.do(
        "approve",
        reason="checked on site",
        place="QR-7",
        code=code_at(key, step_of(time.time_ns())),
    )
    later = qian.page.locator('.later [data-action="approve"]')
    expect(later).to_contain_text("qian has signed already")  # two pairs of eyes
    qian.tab.done()


def test_a_gas_test_is_typed_in_point_by_point_and_a_bad_value_is_refused_with_its_rule(
    crew: Crew, browser: Browser
) -> None:
    permit = crew.prepared()
    sun = Seat(crew, browser, "sun").at(f"/permits/{permit}")
    points = {
        f"point.{q}.{d}": "0" for q in ("ex", "h2s", "co") for d in ("top", "middle", "bottom")
    }
    points |= {f"point.o2.{d}": "20.9" for d in ("top", "middle", "bottom")}
    field = sun.page.locator('[name="point.o2.top"]')
    field.fill("20.1")
    sun.page.locator("h1").click()  # nothing has the focus any more
    crew.must("zhou", "POST", f"/permits/{permit}/briefing", {})
    expect(sun.page.locator('[data-person="zhou"]')).to_contain_text("已签交底")
    expect(field).to_have_value("20.1")  # what is being filled in is left alone
    sun.do("test", place="QR-7", **(points | {"point.h2s.bottom": "18,5"}))
    refused = sun.page.locator(".refusal")
    expect(refused).to_contain_text("硫化氢")
    expect(refused.locator(".rule")).to_have_attribute("data-rule", "h2s-entry")
    field = sun.page.locator('[name="point.h2s.bottom"]')
    expect(field).to_have_value("18,5")
    crew.must("wu", "POST", f"/permits/{permit}/briefing", {})
    expect(sun.page.locator('[data-person="wu"]')).to_contain_text("已签交底")
    expect(sun.page.locator('[name="point.h2s.bottom"]')).to_have_value("18,5")
    sun.tab.shot("permit-gas-test")
    sun.tab.fits()
    sun.do("test", **{"point.h2s.bottom": "0.4"})
    sun.state("tested")
    test = crew.must("bureau", "GET", f"/permits/{permit}")["permit"]["test"]["told"]
    assert test["instruments"] == ["gd-1"]
    assert {p["unit"] for p in test["points"]} == {"%{vol}", "%{LEL}", "[ppm]"}
    sun.tab.done()


def test_the_attendant_releases_counts_in_and_out_and_everybody_sees_a_suspension_at_once(
    crew: Crew, browser: Browser, cloud: RunningCloud
) -> None:
    permit = crew.approved()
    li = Seat(crew, browser, "li").at(f"/permits/{permit}")
    wu = Seat(crew, browser, "wu", "en-GB").at(f"/permits/{permit}")
    li.do("activate", place="QR-7")
    li.state("active")
    wu.state("active")  # by the event stream
    for name in ("zhou", "wu"):
        li.page.locator(f'[data-person="{name}"] button').click()
        expect(li.page.locator(f'[data-person="{name}"]')).to_have_attribute("data-where", "inside")
    expect(wu.page.locator(".permit-now .inside b")).to_have_text("2")
    expect(li.page.locator("[data-duty] [role=status]")).to_have_text("在岗信号已发出")
    expect(li.page.locator(".outstanding")).to_have_attribute(
        "data-outstanding", re.compile(r"\d+")
    )
    expect(li.page.locator(".left")).to_contain_text("分钟")
    expect(li.page.locator('.gas-now [data-quantity="h2s"] [data-value]')).to_have_text("1.00")
    li.tab.shot("permit-active")
    li.tab.fits()
    crew.air(h2s=8.0)
    cloud.book.look()
    wu.state("suspended")
    expect(wu.page.locator(".problem")).to_contain_text("Gas beyond its limit")
    expect(wu.page.locator('.gas-now [data-quantity="h2s"]')).to_have_attribute("data-alarm", "2")
    status = wu.page.locator(".gas-now .status")
    expect(status.locator('[data-state="ok"]')).to_be_hidden()
    expect(status.locator('[data-state="alarm2"]')).to_have_text("Beyond limit")
    expect(wu.page.locator('[data-person="zheng"] button')).to_have_count(0)  # exits alone
    expect(wu.page.locator(".rescue")).to_contain_text("Nobody goes in after them")
    expect(wu.page.locator(".rescue a")).to_have_attribute("href", re.compile("^tel:"))
    wu.tab.shot("permit-suspended")
    wu.tab.fits()
    wu.page.locator('[data-person="wu"] button').click()
    expect(li.page.locator(".permit-now .inside b")).to_have_text("1")
    qian = Seat(crew, browser, "qian").at(f"/permits/{permit}")
    resume = qian.page.locator('.later [data-action="resume"]')
    expect(resume).to_contain_text("里面还有 1 人。")
    expect(qian.page.locator(".chain li").first).to_contain_text("wu 出来")
    expect(qian.page.locator('.state[data-state="ok"]', has_text="哈希链完整")).to_be_visible()
    qian.tab.shot("permit-journal")
    qian.tab.fits()
    for seat in (li, wu, qian):
        seat.tab.done()


def test_a_registered_phone_opens_the_lock_by_a_tap_with_a_proof_that_only_it_can_make(
    crew: Crew, browser: Browser, cloud: RunningCloud
) -> None:
    li = Seat(crew, browser, "li").at("/second-factor")
    li.page.get_by_role("button", name="登记这部手机").click()
    expect(li.page.locator("[data-phone] [role=status]")).to_contain_text("这部手机已登记")
    permit = crew.approved()
    li.at(f"/permits/{permit}").do("activate", place="QR-7")
    li.state("active")
    li.page.get_by_role("button", name="开锁 lock-7").click()
    wait_until_sync(lambda: len(cloud.spine.sent) == 1)
    nonce = bytes(range(16))
    _lock_says(cloud, "done", "challenge: done", {"nonce": nonce.hex(), "lock_id": LOCK.hex()})
    wait_until_sync(lambda: len(cloud.spine.sent) == 2)
    device, name, args = unpack(cloud.spine.sent[1].args)
    assert (device, name, args["nonce"]) == ("lock-7", "unlock", nonce.hex())
    keys = crew.must("li", "GET", "/issuer-keys")
    issuers = IssuerKeys({bytes.fromhex(k["kid"]): bytes.fromhex(k["public"]) for k in keys})
    claims = verify(base64.urlsafe_b64decode(f"{args['grant']}=="), issuers).claims
    check(claims, lock_id=LOCK, now_s=crew.now_ns // 10**9)
    public, signature = (bytes.fromhex(str(args[n])) for n in ("holder", "signature"))
    check_holder(claims, public, signature, purpose=PROOF_UNLOCK, nonce=nonce)
    told = li.page.locator(".unlock-told")
    _lock_says(cloud, "failed", "the lock is jammed")
    expect(told).to_have_text("未能打开：the lock is jammed")
    li.page.get_by_role("button", name="开锁 lock-7").click()
    wait_until_sync(lambda: len(cloud.spine.sent) == 3)
    _lock_says(cloud, "done", "challenge: done", {"nonce": nonce[::-1].hex()})
    wait_until_sync(lambda: len(cloud.spine.sent) == 4)
    _lock_says(cloud, "done", "unlock: done")
    expect(told).to_have_text("锁已打开")
    li.tab.shot("permit-unlocked")
    crew.must("li", "POST", f"/permits/{permit}/suspend", {})
    expect(li.page.locator("[data-unlock]")).to_have_count(0)
    li.tab.done()


def test_no_tap_on_a_lock_is_lost_before_the_page_listens_or_while_a_part_of_it_is_fetched_again(
    crew: Crew, browser: Browser, cloud: RunningCloud
) -> None:
    li = Seat(crew, browser, "li").at("/second-factor")
    li.page.get_by_role("button", name="登记这部手机").click()
    expect(li.page.locator("[data-phone] [role=status]")).to_contain_text("这部手机已登记")
    permit = crew.approved()
    li.at(f"/permits/{permit}").do("activate", place="QR-7")
    li.state("active")
    late: list[Route] = []
    li.tab.context.route("**/phone.mjs*", lambda route: late.append(route))
    li.page.goto(f"/permits/{permit}", wait_until="commit")
    button = li.page.get_by_role("button", name="开锁 lock-7")
    expect(button).to_have_css("pointer-events", "none")
    wait_until_sync(lambda: li.page.evaluate("1") and late)
    late[0].continue_()
    button.hover()  # which waits until it can be pressed
    li.page.mouse.down()
    li.page.evaluate(
        """() => {
            const part = document.querySelector("section[data-forms]");
            return htmx.ajax("GET", part.dataset.fragment, { source: part, target: part, swap: "innerHTML" });
        }"""
    )
    li.page.mouse.up()
    wait_until_sync(lambda: li.page.evaluate("1") and len(cloud.spine.sent) == 1)
    _lock_says(cloud, "failed", "out of range")
    expect(li.page.locator(".unlock-told")).to_have_text("未能打开：out of range")
    li.tab.done()


def _lock_says(cloud: RunningCloud, outcome: str, text: str, answer: object = None) -> None:
    """The gateway's result of the newest command."""
    told = {"id": cloud.spine.sent[-1].id, "outcome": outcome, "answer": answer}
    event = Event(1, "north", "gw-north", "S", 0, "command.result", 1, "lock-7", text, told)
    cloud.do(lambda spine: spine.orders.on_event(event, time.time_ns()))


def test_sos_takes_two_taps_and_stops_the_work(crew: Crew, browser: Browser) -> None:
    permit = crew.active("zhou")
    zhou = Seat(crew, browser, "zhou").at(f"/permits/{permit}")
    expect(zhou.page.locator(".sos summary")).to_be_in_viewport(ratio=1)
    zhou.tab.shot("permit-sos-first-screen", full=False)
    zhou.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(zhou.page.locator(".sos summary")).to_be_in_viewport(ratio=1)
    zhou.page.evaluate("scrollTo(0, 0)")
    zhou.page.locator(".sos summary").click()
    expect(zhou.page.locator(".sos button")).to_be_in_viewport(ratio=1)
    zhou.tab.shot("permit-sos")
    zhou.page.get_by_role("button", name="立即求救").click()
    zhou.state("suspended")
    expect(zhou.page.locator(".problem")).to_contain_text("求救")
    zhou.tab.done()


def test_the_wall_shows_what_is_in_force_worst_first_and_moves_by_itself(
    crew: Crew, browser: Browser, cloud: RunningCloud
) -> None:
    permit = crew.active("zhou", "wu")
    wall = Seat(crew, browser, "bureau", wall=True).at("/permits/wall")
    tile = wall.page.locator(f'.tile[data-permit="{permit}"]')
    expect(tile).to_have_attribute("data-state", "active")
    expect(tile.locator(".inside b")).to_have_text("2")
    expect(tile.locator('[data-quantity="h2s"] [data-age]')).to_be_visible()
    wall.tab.shot("permit-wall", full=False)
    crew.air(h2s=8.0)
    cloud.book.look()
    expect(tile).to_have_attribute("data-state", "suspended")
    expect(tile.locator('[data-quantity="h2s"]')).to_have_attribute("data-alarm", "2")
    expect(tile.locator(".why")).to_have_text("气体超限")
    expect(tile.locator('.status [data-state="ok"]')).to_be_hidden()
    expect(tile.locator('.status [data-state="alarm2"]')).to_be_visible()
    wall.tab.shot("permit-wall-suspended", full=False)
    wall.tab.fits()
    wall.tab.done()


def test_the_red_bar_tops_with_the_stop_that_stands_and_says_why_and_who_is_inside(
    crew: Crew, browser: Browser, cloud: RunningCloud
) -> None:
    def raised(spine: KnownSpine) -> None:
        spine.stopped("STOP", "well-7", "permit-suspended", "permit P2: gas; wu, zhou")
        spine.stopped("OVER", "well-7", "permit-emergency", "permit P1: -; nobody inside", level=2, beyond=False)  # fmt: skip

    cloud.do(raised)
    li = Seat(crew, browser, "li").at("/alarms")
    expect(li.page.locator(".banner .what")).to_have_text("well-7 · 有限空间作业已暂停 · 一级报警 · 气体超限 · 在内: wu, zhou")  # fmt: skip
    stop = li.page.locator('[data-alarm-id="STOP"]')
    expect(stop.locator(".stop a")).to_have_attribute("href", "/permits/P2")
    expect(li.page.locator('[data-alarm-id="OVER"]')).to_contain_text("无人在内")
    expect(li.page.locator("[data-alarm-id]").first).to_have_attribute("data-alarm-id", "STOP")
    li.tab.shot("permit-alarms")
    li.tab.fits()
    li.tab.done()


def test_the_pages_are_installable_and_say_so_where_there_is_no_network(
    crew: Crew, browser: Browser
) -> None:
    permit = crew.active()
    li = Seat(crew, browser, "li").at("/permits")
    li.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    buttons = li.page.locator(".push .button").all()
    assert len({round(b.bounding_box()["y"]) for b in buttons}) <= 2  # type: ignore[index]
    for button in buttons:
        assert (box := button.bounding_box()) is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390 - 12
    manifest = li.page.evaluate(
        "fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json())"
    )
    assert manifest["start_url"] == "/permits"
    for icon in manifest["icons"]:
        assert li.page.evaluate("(src) => fetch(src).then((r) => r.status)", icon["src"]) == 200
    li.tab.shot("permits")
    li.tab.fits()
    li.at(f"/permits/{permit}")
    li.page.wait_for_function("navigator.serviceWorker.controller !== null")
    li.tab.problems.clear()
    li.tab.context.set_offline(True)
    li.page.goto("/permits")
    expect(li.page.locator("h1")).to_contain_text("No network")
    assert "Well 7" not in li.page.content()  # an old state would be believed
    assert SHOTS.exists()
    li.tab.context.set_offline(False)
    li.tab.context.close()


def test_a_technician_compares_the_number_and_confirms_it_on_the_page(
    crew: Crew, browser: Browser
) -> None:
    new = carry(crew, "li", b"n" * 32)
    for lang, word in (("en-GB", "Phones that wait"), ("zh-CN", "待确认的手机")):
        tab = Watched(browser, crew.cloud.url, phone=True, lang=lang)
        tab.known_as(crew.headers["tech"]["Cookie"])
        tab.page.goto("/second-factor")
        expect(tab.page.locator("#asked")).to_contain_text(word)
        tab.shot(f"asked-key-{lang[:2]}")
        tab.fits()
    box = tab.page.locator(f"[data-asked='{new}']")
    expect(box).to_contain_text(f"{new[:4]} {new[4:8]}")
    box.locator("[name=code]").fill(crew.code("tech"))
    box.get_by_role("button", name="拒绝").click()
    expect(tab.page.locator(".problem")).to_contain_text("理由")
    box.locator("[name=code]").fill(crew.code("tech"))
    box.get_by_role("button", name="确认").click()
    expect(tab.page.locator(".message")).to_contain_text("手机已确认")
    assert crew.must("li", "GET", "/me/keys")[0]["holder"] == new


def test_the_ledger_shows_spaces_hazards_history_people_and_instruments(
    crew: Crew, browser: Browser
) -> None:
    permit = crew.active("zhou")
    crew.must("root", "PUT", "/permit-ledger/instruments/north/gd-9", {
        "calibrated_ns": 0, "calibrated_until_ns": 0, "bumped_ns": 0,
    })  # fmt: skip
    for lang, hazard, lapsed in (
        ("en-GB", "hydrogen sulfide", "calibration lapsed"),
        ("zh-CN", "硫化氢", "校准已过期"),
    ):
        seat = Seat(crew, browser, "bureau", lang).at("/permits")
        page = seat.page
        page.get_by_role("link", name="台账" if lang == "zh-CN" else "Ledger").click()
        card = page.locator('[data-space="well-7"]')
        expect(card).to_have_attribute("data-state", "active")
        expect(page.locator('[data-person="qian"] .roles i')).to_have_text(
            ["审批人" if lang == "zh-CN" else "Approver"]
        )
        expect(page.locator('[data-instrument="gd-9"]')).to_contain_text(lapsed)
        seat.tab.shot(f"ledger-{lang[:2]}")
        seat.tab.fits()
        card.click()
        expect(page.locator("dl.facts")).to_contain_text(hazard)
        expect(page.locator("main")).not_to_contain_text("QR-7")
        expect(page.locator("[data-rule=h2s-entry]")).to_be_visible()
        seat.tab.shot(f"space-{lang[:2]}")
        seat.tab.fits()
        page.locator(".permits a").first.click()
        seat.state("active")
        assert page.url.endswith(permit)
        seat.tab.done()
