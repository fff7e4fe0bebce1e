"""The wall of cameras, a detection and its verdict, masks drawn on the picture: in a real Chromium."""

from __future__ import annotations

import json
import time
import zipfile

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, Route, expect

from cloud.identity.rules import Role
from cloud.ingest.last import Last
from tests.cloud.conftest import KnownSpine, RunningCloud
from tests.cloud.console.cameras import (
    AFTER,
    BOX,
    NEWER,
    VIEW,
    bring,
    exhibit,
    sha,
    tell,
    watching_detection,
)
from tests.cloud.console.watched import Watched
from tocsin.contract.evidence import FixedMask, Growth

TEXT = "http://10.0.0.9/a.jpg: connection refused"


def test_a_camera_is_seen_judged_and_masked(watching: RunningCloud, browser: Browser) -> None:
    watching.account("li", Role.OPERATOR)
    tab = Watched(browser, watching.url)
    tab.log_in("li")
    tab.page.goto("/cameras")
    cards = tab.page.locator(".camera")
    expect(cards).to_have_count(2)
    expect(cards.first).to_have_attribute("data-key", "north/cam-2")  # it cannot be judged
    expect(cards.last.locator(".picture-age")).to_contain_text("秒前")
    assert cards.last.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 320
    tab.shot("cameras")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell(watching, "vision.view", exhibit("view", NEWER))
    bring(watching, NEWER)  # and the wall moves by itself
    shown = cards.last.locator("img")
    expect(shown).to_have_attribute("src", f"/api/v1/evidence/{sha(NEWER)}", timeout=3000)

    tab.page.goto("/alarms/ALARM-north")
    assert tab.page.locator(".alarm-picture img").evaluate("i => i.decode().then(() => 1)")
    tab.shot("alarm-picture")
    larger = msgspec.structs.replace(watching_detection(watching), change="updated", grown=Growth(4.04, BOX, time.time_ns()))  # fmt: skip
    expect(tab.page.locator(".grown")).to_have_count(0)
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell(watching, "vision.detection", larger)  # and the page says so by itself
    expect(tab.page.locator(".grown")).to_contain_text("已扩大到 4.0 倍", timeout=3000)
    tab.shot("alarm-grown")
    tab.page.get_by_role("link", name="查看识别详情").click()
    expect(tab.page.locator("h1")).to_have_text("烟雾")
    expect(tab.page.locator(".why")).to_have_text("面积增至 1.8 倍")
    expect(tab.page.locator(".facts")).to_contain_text("123.4° ± 0.6°")
    expect(tab.page.locator(".facts .grown")).to_contain_text("已扩大到 4.0 倍")
    roles = tab.page.locator("figure").evaluate_all("all => all.map(e => e.dataset.role)")
    assert roles == ["at", "thumbnail", "after"]  # the moment, what is here, what is not
    drawn = tab.page.locator('figure[data-role="at"] img')
    expect(drawn).to_have_js_property("naturalWidth", 640)
    left, high = tab.page.evaluate(
        "() => { const [i, r] = ['img', 'rect'].map(e => document.querySelector(`figure[data-role=at] ${e}`).getBoundingClientRect()); return [(r.x - i.x) / i.width, r.height / i.height] }"
    )
    assert left == pytest.approx(BOX[0], abs=0.02)
    assert high == pytest.approx(BOX[3], abs=0.03)
    after = tab.page.locator('figure[data-role="after"]')
    after.get_by_role("button", name="取回").click()
    expect(after).to_contain_text("正在取回")
    bring(watching, AFTER)  # the page moves by itself
    expect(after.locator("img")).to_be_visible()
    tab.shot("detection")
    tab.page.fill("input[name=note]", "烧荒")
    tab.page.get_by_role("button", name="误报").click()
    expect(tab.page.locator(".facts")).to_contain_text("li")
    expect(tab.page.locator(".facts")).to_contain_text("烧荒")
    sent = watching.spine.sent[-1].args
    assert (sent["arg.detection"], sent["arg.verdict"]) == ("d-1", "rejected")
    expect(tab.page.locator(".lookers")).to_contain_text("li")
    tab.page.goto("/detections")
    expect(tab.page.locator(".detections")).to_contain_text("已扩大到 4.0 倍")
    tab.page.goto("/detections?show=open")
    expect(tab.page.locator(".empty")).to_be_visible()
    tab.page.get_by_text("导出标注图片").click()
    tab.shot("detections-export")
    with tab.page.expect_download() as given:
        tab.page.get_by_role("button", name="下载 ZIP").click()
    with zipfile.ZipFile(given.value.path()) as judged:
        assert [i["verdict"] for i in json.loads(judged.read("train.json"))["images"]] == [
            "rejected"
        ]

    tab.page.goto("/cameras/north/cam-1")
    area = tab.page.locator(".draw")
    area.scroll_into_view_if_needed()
    size = area.bounding_box()
    assert size
    for x, y in ((0.1, 0.1), (0.4, 0.1), (0.4, 0.5)):
        area.click(position={"x": size["width"] * x, "y": size["height"] * y})
    tab.page.get_by_role("button", name="闭合").click()
    expect(area.locator("polygon")).to_have_count(1)
    expect(tab.page.locator(".replaces")).to_contain_text("将被取代")
    tab.shot("camera-masks")
    tab.page.get_by_role("button", name="发送到摄像机").click()
    expect(tab.page.locator("table.commands tbody tr").first).to_contain_text("masks")
    (mask,) = json.loads(str(watching.spine.sent[-1].args["arg.masks"]))
    assert mask["labels"] == []
    assert np.allclose(mask["points"], [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5]], atol=0.01)
    tab.done()


@pytest.mark.parametrize(
    ("lang", "hold", "close", "send"),
    [
        ("zh-CN", "始终有效，只能在网关配置中更改", "闭合", "发送到摄像机"),
        ("en-GB", "these always hold and are changed only there", "Close", "Send to the camera"),
    ],
)  # fmt: skip
def test_masks_of_the_gateway_s_configuration_are_shown_and_not_drawn_over(
    watching: RunningCloud, browser: Browser, lang: str, hold: str, close: str, send: str
) -> None:
    fixed = [FixedMask([(0.6, 0.5), (0.9, 0.5), (0.9, 0.9), (0.6, 0.9)]), FixedMask([(0, 0), (0.3, 0), (0, 0.2)], ["smoke"])]  # fmt: skip
    shown = msgspec.to_builtins(exhibit("view", NEWER)) | {"masks": msgspec.to_builtins(fixed)}
    watching.account("li", Role.OPERATOR)
    tab = Watched(browser, watching.url, lang=lang)
    tab.log_in("li")
    tab.page.goto("/cameras/north/cam-1")
    expect(tab.page.locator(".legend")).to_have_count(0)
    tell(watching, "vision.view", shown)
    bring(watching, NEWER)
    tab.page.reload()
    area = tab.page.locator(".draw")
    expect(area.locator("polygon.fixed")).to_have_count(2)
    expect(tab.page.locator("#masks .legend")).to_contain_text(hold)
    area.scroll_into_view_if_needed()
    size = area.bounding_box()
    assert size
    for x, y in ((0.1, 0.4), (0.4, 0.4), (0.4, 0.8)):
        area.click(position={"x": size["width"] * x, "y": size["height"] * y})
    tab.page.get_by_role("button", name=close, exact=True).click()
    expect(area.locator("polygon")).to_have_count(3)
    colours = area.locator("polygon").evaluate_all(
        "all => all.map(e => getComputedStyle(e).stroke)"
    )
    assert len(set(colours)) == 2
    tab.shot(f"camera-fixed-masks-{lang}")
    tab.page.get_by_role("button", name=send).click()
    expect(tab.page.locator("table.commands tbody tr").first).to_contain_text("masks")
    (mask,) = json.loads(str(watching.spine.sent[-1].args["arg.masks"]))
    assert np.allclose(mask["points"], [[0.1, 0.4], [0.4, 0.4], [0.4, 0.8]], atol=0.01)
    tell(watching, "vision.view", exhibit("view", NEWER))  # they were taken out there
    tab.page.reload()
    expect(tab.page.locator("polygon.fixed")).to_have_count(0)
    tab.done()


def test_cameras_fit_a_phone_and_a_viewer_changes_nothing(
    watching: RunningCloud, browser: Browser
) -> None:
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, phone=True, lang="en-GB")
    tab.log_in("eye")
    for name, path in (("cameras", "/cameras"), ("camera", "/cameras/north/cam-1"), ("detections", "/detections"), ("detection", "/detections/d-1")):  # fmt: skip
        tab.page.goto(path)
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
        tab.fits()
        tab.shot(f"phone-{name}")
    expect(tab.page.locator(".why")).to_have_text("it grew 1.8 times")
    expect(tab.page.locator('button[name="verdict"]')).to_have_count(0)
    tab.page.goto("/detections")
    expect(tab.page.locator(".export")).to_have_count(0)
    row = tab.page.locator(".detections tbody tr")
    expect(row.locator("img")).to_have_attribute("alt", "Picture from cam-1: Smoke")
    expect(row.locator("img")).to_have_js_property("naturalWidth", 320)
    assert tab.page.evaluate(  # no cell is out of sight
        "[...document.querySelectorAll('.detections td')].every(cell => cell.getBoundingClientRect().right <= innerWidth)"
    )
    tab.done()


def test_who_sits_at_the_same_browser_next_is_asked_and_written_down(
    watching: RunningCloud, browser: Browser
) -> None:
    watching.account("ann", Role.VIEWER)
    watching.account("bob", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")

    def looks() -> list[str]:
        told = watching.vision.gallery.looked_at("north", "cam-1")
        return [
            str(v["account"]) for v in reversed(told) if v["role"] == "view"
        ]  # the overview shows the alarm's

    for name in ("ann", "bob"):
        tab.log_in(name)
        tab.page.goto("/cameras")
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
        shown = tab.page.locator(f'img[src="/api/v1/evidence/{sha(VIEW)}"]')
        shown.evaluate("i => i.decode()")
        with tab.page.expect_response("**/fragments/cameras"):  # the wall is drawn anew
            tell(watching, "vision.view", exhibit("view", VIEW))
        shown.evaluate("i => i.decode()")
        tab.log_out()
    assert looks() == ["ann", "bob"]  # each once: a picture that stays is not fetched again
    tell(watching, "vision.view", exhibit("view", NEWER))
    bring(watching, NEWER)
    tab.log_in("ann")
    tab.page.goto("/cameras/north/cam-1")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tab.page.get_by_text("Who looked").click()
    expect(tab.page.locator(".lookers")).to_contain_text("bob")  # the picture is gone, that stays
    tab.fits()
    tab.shot("camera-lookers")
    tab.done()


@pytest.mark.parametrize(
    ("lang", "frozen", "dark", "unknown"),
    [
        ("zh-CN", "无法判断：画面静止不动", "无法判断：画面太暗", "无法判断：fogged"),
        ("en-GB", "Cannot be judged: the picture stands still", "Cannot be judged: too dark", "Cannot be judged: fogged"),
    ],
)  # fmt: skip
def test_a_camera_whose_picture_cannot_be_judged_is_not_ok_and_says_why(
    watching: RunningCloud, browser: Browser, lang: str, frozen: str, dark: str, unknown: str
) -> None:
    def tell(camera: str, usable: float, why: str) -> None:
        watching.do(
            lambda spine: spine.measure(
                "north", camera, usable=(usable, "1"), unjudged=(why, "1"), fps=(5.0, "Hz")
            )
        )

    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang=lang)
    tab.log_in("eye")
    tell("cam-1", 1.0, "")
    tell("cam-2", 0.0, "frozen")
    tab.page.goto("/cameras")
    cards = tab.page.locator(".camera")
    expect(cards.first).to_have_attribute("data-key", "north/cam-2")
    mark = cards.first.locator(".status .state")
    expect(mark).to_have_text(frozen)
    amber = tab.page.evaluate(
        "() => { const s = document.createElement('i'); s.style.color = 'var(--warn)'; document.body.append(s); return getComputedStyle(s).color }"
    )
    expect(mark).to_have_css("color", amber)
    expect(cards.last.locator(".status .state")).to_have_attribute("data-state", "ok")
    tab.shot(f"cameras-unjudged-{lang[:2]}")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell("cam-1", 0.0, "dark")  # the wall moves by itself
    expect(cards.locator(".status .state", has_text=dark)).to_have_count(1)
    tell("cam-2", 1.0, "")
    expect(cards.locator('.status .state[data-state="ok"]')).to_have_count(1)

    tab.page.goto("/cameras/north/cam-1")
    now = tab.page.locator(".panel.device .status .state")
    expect(now).to_have_text(dark)
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell("cam-1", 0.0, "fogged")  # a newer gateway's word
    expect(now).to_have_text(unknown)
    tab.shot(f"camera-unjudged-{lang[:2]}")
    tell("cam-1", 1.0, "")
    expect(now).to_have_attribute("data-state", "ok")
    tab.page.goto("/")
    tell("cam-1", 0.0, "dark")
    expect(tab.page.locator('[data-key="north/cam-1"] .state')).to_have_text(dark)
    tally = tab.page.locator(".tally dd")
    expect(tally.nth(1)).to_have_text("1")
    expect(tally.nth(2)).to_have_text("2")  # the other camera and the vehicle
    tab.fits()
    tab.shot(f"overview-unjudged-{lang[:2]}")
    tab.done()


@pytest.mark.parametrize(
    ("lang", "model", "trial"),
    [
        ("zh-CN", "当前识别模型", "新版本试用中"),
        ("en-GB", "Model that looks", "New version on trial"),
    ],
)
def test_a_cameras_page_shows_which_version_of_its_model_looks_and_since_when_that_is_known(
    watching: RunningCloud, browser: Browser, lang: str, model: str, trial: str
) -> None:
    def tell(version: str, on_trial: float) -> None:
        watching.do(
            lambda spine: spine.measure(
                "north", "cam-1", model=(f"smoke-fire {version}", "1"), model_trial=(on_trial, "1")
            )
        )

    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang=lang)
    tab.log_in("eye")
    tell("0.6.0", 0.0)
    tab.page.goto("/cameras/north/cam-1")
    shown = tab.page.locator('.panel.device [data-quantity="model"]')
    expect(shown.locator(".label")).to_have_text(model)
    expect(shown.locator("[data-value]")).to_have_text("smoke-fire 0.6.0")
    expect(shown.locator("[data-age]")).to_be_visible()
    expect(tab.page.locator('[data-quantity="model_trial"] .label')).to_have_text(trial)
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell("0.7.0-rc.1", 1.0)
    expect(shown.locator("[data-value]")).to_have_text("smoke-fire 0.7.0-rc.1")
    for width in (1280, 375):
        tab.page.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("e => e.querySelector('.number').scrollWidth <= e.clientWidth")
        tab.fits()
    tab.shot(f"camera-model-{lang[:2]}")
    tab.page.goto("/")
    assert shown.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")
    tab.fits()
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    tab.shot(f"overview-model-{lang[:2]}")
    tab.done()


@pytest.mark.parametrize(
    ("lang", "answered", "why"),
    [
        ("zh-CN", "最后应答： 5 分钟前", "被拒绝或正被占用"),
        ("en-GB", "Last answered: 5 min ago", "Refused, or in use"),
    ],
)
def test_a_camera_that_does_not_answer_says_since_when_and_why_in_the_words_of_the_reader(
    watching: RunningCloud, browser: Browser, lang: str, answered: str, why: str
) -> None:
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang=lang)
    tab.log_in("eye")
    tab.page.goto("/cameras")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")

    def lose(spine: KnownSpine) -> None:
        camera = spine.devices["north", "cam-1"]
        health = {"last_ok_ns": time.time_ns() - 330 * 10**9}
        camera |= {"state": "unavailable", "last_error": TEXT, "last_reason": "refused", "health": health}  # fmt: skip
        spine.feed.publish("device", camera)

    rows_ns: list[int] = []

    def empty(spine: KnownSpine) -> None:
        now_ns = time.time_ns()
        rows_ns.append(now_ns)
        rows = [Last("north", "gw-north", "cam-1", "vision", q, "1", None, 66, now_ns, now_ns) for q in ("usable", "unjudged", "fps")]  # fmt: skip
        for one in rows:
            spine.last.put(one)
        spine.feed.publish_last({"north/cam-1": rows})

    watching.do(lose)
    status = tab.page.locator('[data-key="north/cam-1"] .status')
    expect(status).to_contain_text(answered)
    expect(status.locator(".reason")).to_have_text(why)
    expect(status.locator(".reason")).to_have_attribute("title", TEXT)
    watching.do(empty)  # and it is no younger by what holds nothing
    fps = tab.page.locator('[data-key="north/cam-1"] [data-quantity="fps"]')
    expect(fps).to_contain_text("—")
    known = fps.locator("[data-age]").get_attribute("data-age")  # of the value, not of that row
    tab.page.reload()
    assert fps.locator("[data-age]").get_attribute("data-age") == known
    assert known is not None
    assert int(known) < rows_ns[0]
    expect(status).to_contain_text(answered)
    tab.fits()
    tab.shot(f"cameras-lost-{lang[:2]}")
    tab.page.goto("/devices/north/cam-1")
    charts = tab.page.locator(".chart")
    charted = charts.evaluate_all("all => all.map(e => e.dataset.quantity)")
    assert "unjudged" not in charted  # words, not numbers
    assert "fps" in charted
    tab.page.locator(".title a").click()  # to its picture
    expect(tab.page).to_have_url(f"{watching.url}/cameras/north/cam-1")
    for path in ("/", "/cameras/north/cam-1"):
        tab.page.goto(path)
        expect(status).to_contain_text(answered)
        expect(status.locator(".reason")).to_have_text(why)
    expect(status).to_contain_text(TEXT)  # there is room for it
    tab.done()


def test_a_picture_becomes_no_younger_by_what_a_camera_tells_that_never_answered(
    watching: RunningCloud, browser: Browser
) -> None:
    def lose(spine: KnownSpine) -> None:
        spine.devices["north", "cam-1"] |= {"state": "unavailable", "last_error": "refused"}

    watching.do(lose)
    taken_ns = time.time_ns() - 3600 * 10**9
    tell(watching, "vision.view", msgspec.structs.replace(exhibit("view", VIEW), t=taken_ns))
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("eye")
    tab.page.goto("/cameras")
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    card = tab.page.locator('[data-key="north/cam-1"]')
    expect(card.locator(".status [data-age]")).to_have_count(0)
    age = '[data-key="north/cam-1"] .picture-age [data-age]'
    tab.page.evaluate(
        "age => { window.ages = []; document.addEventListener('tocsin:last', () => ages.push(document.querySelector(age).dataset.age)) }",
        age,
    )
    watching.do(lambda spine: spine.measure("north", "cam-1", fps=(7.0, "Hz")))
    tab.page.wait_for_function("ages.length > 0")
    assert set(tab.page.evaluate("ages")) == {str(taken_ns)}
    tab.done()


def test_a_picture_of_the_wall_that_a_newer_one_took_the_place_of_is_asked_for_again(
    watching: RunningCloud, browser: Browser
) -> None:
    watching.account("eye", Role.VIEWER)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("eye")
    asked: list[str] = []

    def late(route: Route) -> None:  # the answer named a picture, and this came in between
        if not asked:
            _renewed(watching)
        asked.append(route.request.url)
        route.fallback()

    def _renewed(cloud: RunningCloud) -> None:
        tell(cloud, "vision.view", exhibit("view", NEWER))
        bring(cloud, NEWER)

    tab.page.route("**/api/v1/evidence/*", late)
    tab.page.route("**/api/v1/events", lambda route: route.abort())  # nobody tells this page of it
    tab.page.goto("/cameras")
    shown = tab.page.locator('[data-key="north/cam-1"] img')
    expect(shown).to_have_attribute("src", f"/api/v1/evidence/{sha(NEWER)}")
    expect(shown).to_have_js_property("naturalWidth", 320)
    assert [url.rsplit("/", 1)[1] for url in asked] == [sha(VIEW), sha(NEWER)]
    tab.context.close()


def test_what_was_never_known_has_no_age_until_it_is_known(
    watching: RunningCloud, browser: Browser
) -> None:
    def tell(value: float | None) -> None:
        def told(spine: KnownSpine) -> None:
            now_ns = time.time_ns()
            row = Last("north", "gw-north", "cam-1", "vision", "max_temperature", "Cel", value, 0 if value else 66, now_ns, now_ns)  # fmt: skip
            spine.last.put(row)
            spine.feed.publish_last({"north/cam-1": [row]})

        watching.do(told)

    watching.account("eye", Role.VIEWER)
    tell(None)
    tab = Watched(browser, watching.url, lang="en-GB")
    tab.log_in("eye")
    tab.page.goto("/devices/north/cam-1")
    hottest = tab.page.locator(".reading[data-quantity=max_temperature]")
    expect(hottest).to_contain_text("—")
    expect(hottest.locator(".age")).to_have_count(0)
    expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
    tell(None)
    tell(31.0)
    expect(hottest).to_contain_text("31.00")
    expect(hottest.locator(".age")).to_contain_text("ago")
    tab.done()
