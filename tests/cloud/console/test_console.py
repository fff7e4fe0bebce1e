"""Journeys through the console in a real Chromium. Screenshots land in .test-run/console."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Playwright, expect
from playwright.sync_api import Error as PlaywrightError

from cloud.identity.rules import Role
from tests.cloud.audits import gapped
from tests.cloud.console.watched import FLAGS, PASSWORD, Watched
from tocsin.contract.messages import Event
from tocsin.testing import wait_until_sync

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def test_the_first_admin_comes_in_by_the_one_time_link(
    cloud: RunningCloud, browser: Browser
) -> None:
    note = cloud.directory / "first-admin.txt"
    assert note.stat().st_mode & 0o777 == 0o600
    tab = Watched(browser, cloud.url)
    tab.page.goto("/")
    expect(tab.page).to_have_url(re.compile(r"/login"))
    tab.shot("login")
    tab.page.goto(note.read_text().strip())
    tab.page.fill("input[name=name]", "chief")
    tab.page.fill("input[name=password]", PASSWORD)
    tab.page.fill("input[name=repeat]", PASSWORD)
    tab.shot("setup")
    tab.page.click("button.primary")
    expect(tab.page.locator("h1")).to_have_text("总览")
    tab.page.goto("/setup")
    expect(tab.page).to_have_url(re.compile(r"/login"))
    tab.done()


def test_the_list_moves_by_itself_and_says_when_a_value_is_stale(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.ADMIN)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    expect(tab.page.locator(".banner")).to_contain_text("2 条报警未解除")
    card = tab.page.locator('[data-key="north/gas-north"]')
    number = card.locator('[data-quantity="h2s"] [data-value]')
    expect(number).to_have_text("55.00")
    two_sites.do(lambda spine: spine.measure("north", "gas-north", h2s=(61.5, "[ppm]")))
    expect(number).to_have_text("61.50")
    two_sites.do(lambda spine: spine.measure("north", "gas-north", q=65, o2=(99.0, "%{vol}")))
    expect(card.locator('[data-quantity="o2"] .quality')).to_have_text("不可信 · 超出范围")
    two_sites.do(lambda spine: spine.device("north", "rain-1", "weather"))
    two_sites.do(lambda spine: spine.measure("north", "rain-1", rain=(0.4, "mm")))
    expect(tab.page.locator('[data-key="north/rain-1"]')).to_contain_text("0.40")
    tab.shot("overview")
    expect(card).to_have_attribute("data-state", "stale", timeout=20_000)
    expect(card.locator(".status")).to_contain_text("过期")
    tab.shot("overview-stale")
    tab.page.fill("#filter", "雨")
    tab.page.fill("#filter", "rain")
    expect(card).to_be_hidden()
    tab.done()


def test_an_alarm_appears_is_acknowledged_and_is_reset_only_once_it_is_over(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.OPERATOR, frozenset({"north"}))
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    expect(tab.page.locator("body")).not_to_contain_text("south")
    two_sites.do(lambda spine: spine.alarm("ALARM-new", "north", "gas-north", "o2", 25.0))
    expect(tab.page.locator(".banner")).to_contain_text("2 条报警未解除")
    tab.page.click(".banner .button")
    alarm = tab.page.locator('[data-alarm-id="ALARM-north"]')
    expect(alarm).to_contain_text("55.00 ppm")
    now = alarm.locator("[data-now]")
    two_sites.do(lambda spine: spine.measure("north", "gas-north", h2s=(61.5, "[ppm]")))
    expect(now).to_have_text("61.50")
    expect(tab.page.locator('.banner [data-now="north/gas-north/h2s"]')).to_have_count(0)
    tab.shot("alarms")
    alarm.locator("input[name=note]").fill("已派人")
    alarm.get_by_role("button", name="复位").click()
    expect(tab.page.locator(".problem")).to_have_text("数值仍超限，不能复位。")
    tab.shot("alarm-refused")
    tab.page.locator("input[name=note]").fill("已派人")
    tab.page.get_by_role("button", name="确认").click()
    expect(tab.page.locator(".journal")).to_contain_text("已派人")
    expect(tab.page.locator(".journal")).to_contain_text("ann")
    two_sites.do(lambda spine: spine.returned("ALARM-north"))
    expect(tab.page.locator("article.alarm")).to_contain_text("已恢复，待复位")
    tab.page.get_by_role("button", name="复位").click()
    expect(tab.page.locator("article.alarm")).to_have_attribute("data-active", "false")
    tab.shot("alarm-journal")
    tab.done()


def test_a_device_has_charts_a_registry_entry_and_the_history_of_its_hardware(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ops", Role.OPS)
    two_sites.remember("north", "gas-north", "h2s")
    now_ns = time.time_ns()
    two_sites.spine.means_until_ns = now_ns - 1500 * 10**9
    two_sites.spine.given_up["north", "gas-north"] = [(now_ns - 1190 * 10**9, now_ns - 610 * 10**9)]
    tab = Watched(browser, two_sites.url, lang="en-GB")
    tab.log_in("ops")
    tab.page.click('[data-key="north/gas-north"] a.name')
    chart = tab.page.locator('.chart[data-quantity="h2s"]')
    expect(chart.locator("canvas")).to_be_visible()
    expect(chart).to_have_attribute("data-points", re.compile(r"^\d{2,}$"))
    expect(chart).to_have_attribute("data-limits", "[20.0]")
    expect(chart).to_have_attribute("data-gaps", "1")
    expect(chart).to_have_attribute("data-means", "true")
    pressed = tab.page.locator('#span [aria-pressed="true"]')
    expect(pressed).to_have_text("1 hour")
    before = int(chart.get_attribute("data-points") or 0)
    two_sites.do(lambda spine: spine.measure("north", "gas-north", h2s=(44.0, "[ppm]")))
    expect(chart).to_have_attribute("data-points", str(before + 1))
    tab.shot("device")
    tab.page.fill("form.panel input[name=name]", "Pump hall")
    tab.page.fill("form.panel input[name=place]", "Tank 3, east side")
    tab.page.locator("form.panel").get_by_role("button", name="Save").click()
    expect(tab.page.locator("h1")).to_have_text("Pump hall")
    tab.page.locator("details.replace summary").click()
    tab.page.fill("details.replace input[name=serial]", "SN-2")
    tab.page.fill("details.replace input[name=note]", "sensor worn out")
    tab.page.locator("details.replace button").click()
    rows = tab.page.locator(".hardware tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("SN-2")
    expect(rows.last).to_contain_text("SN-north")
    tab.shot("device-replaced")
    tab.done()


VALVE = [
    {"name": "open", "title": "Open the valve fully"},
    {
        "name": "move",
        "title": "Drive the valve to a position",
        "arguments": [{"name": "position", "unit": "%", "low": 0.0, "high": 100.0}],
    },
    {
        "name": "control",
        "title": "Who controls the valve",
        "arguments": [{"name": "from", "type": "text", "choices": ["local", "remote"]}],
    },
]


def _told(cloud: RunningCloud, command: str, outcome: str, text: str, **data: object) -> None:
    told: dict[str, object] = {"id": command, "outcome": outcome} | data
    event = Event(1, "north", "gw-north", "S", 0, "command.result", 1, "valve-1", text, told)
    cloud.do(lambda spine: spine.orders.on_event(event, time.time_ns()))


def test_a_valve_is_told_something_and_a_second_person_confirms(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.do(lambda spine: spine.device("north", "valve-1", "machine", commands=VALVE))
    for name, role in (("li", Role.OPERATOR), ("wang", Role.OPERATOR), ("eye", Role.VIEWER)):
        two_sites.account(name, role)
    tab = Watched(browser, two_sites.url)
    tab.log_in("li")
    tab.page.goto("/devices/north/valve-1")
    expect(tab.page.locator("h2#commands")).to_have_text("设备命令")
    tab.page.locator("summary", has_text="下发命令").click()
    form = tab.page.locator('form.give[data-name="move"]')
    form.locator("input[name='arg.position']").fill("30")
    tab.shot("commands-forms")
    tab.fits()
    form.get_by_role("button", name="下发").click()
    row = tab.page.locator("table.commands tbody tr").first
    expect(row).to_contain_text("move position=30")
    expect(row).to_contain_text("已发出")
    command = row.get_attribute("data-command") or ""
    until_ns = time.time_ns() + 60 * 10**9
    _told(
        two_sites, command, "armed", "valve-1 move(position=30) is carried out once it is confirmed",
        code="a1b2c3", confirm_until_ns=until_ns, confirm_by="another",
    )  # fmt: skip
    expect(row).to_contain_text("等待确认")
    expect(row.get_by_role("button")).to_have_count(0)  # not by the one who asked
    tab.done()
    other = Watched(browser, two_sites.url, lang="en-GB", phone=True)
    other.log_in("wang")
    other.page.goto("/devices/north/valve-1")
    other.shot("commands-armed")
    other.fits()
    other.page.locator("table.commands").get_by_role("button", name="Confirm").click()
    expect(other.page.locator("table.commands tbody tr")).to_have_count(2)
    assert two_sites.spine.sent[-1].args == {"code": "a1b2c3"}
    assert [c.actor for c in two_sites.spine.sent] == ["li", "wang"]
    _told(two_sites, command, "done", "valve-1 move(position=30): done", confirmed_by="wang")
    moved = other.page.locator(f'tr[data-command="{command}"]')
    expect(moved).to_contain_text("Done")
    other.shot("commands-done")
    other.done()
    viewer = Watched(browser, two_sites.url)
    viewer.log_in("eye")
    viewer.page.goto("/devices/north/valve-1")
    expect(viewer.page.locator("table.commands tbody tr")).to_have_count(2)
    expect(viewer.page.locator("form.give")).to_have_count(0)
    viewer.done()


def test_the_form_of_a_device_announced_a_moment_ago_holds_what_was_announced(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ops", Role.OPS)
    tab = Watched(browser, two_sites.url, lang="en-GB")
    tab.log_in("ops")
    two_sites.do(lambda spine: spine.device("north", "gas-new", "gas", lat=31.5, serial="SN-new"))
    tab.page.goto("/devices/north/gas-new")
    expect(tab.page.locator("form.panel input[name=lat]")).to_have_value("31.5")
    expect(tab.page.locator(".hardware tbody tr")).to_contain_text("SN-new")
    tab.done()


def test_a_device_minutes_old_has_a_chart_of_ten_minutes(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.VIEWER)
    tab = Watched(browser, two_sites.url, lang="en-GB")
    tab.log_in("ann")
    tab.page.goto("/devices/north/gas-north")
    expect(tab.page.locator('#span [aria-pressed="true"]')).to_have_text("10 min")
    value = tab.page.locator('.reading[data-quantity="h2s"]')
    expect(value).to_have_attribute("data-alarm", "2")
    expect(value.locator(".note")).to_contain_text(re.compile(r"Good\s*\d+ s ago"))
    tab.page.get_by_role("button", name="1 hour").click()
    expect(tab.page.locator('#span [aria-pressed="true"]')).to_have_text("1 hour")
    tab.done()


def test_a_page_without_its_cloud_says_how_old_it_is(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.VIEWER)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    expect(tab.page.locator("#no-live")).to_be_hidden()
    greeted = time.monotonic()
    wait_until_sync(
        lambda: time.monotonic() > greeted + 2.5, 10.0, "other seconds than the hello's"
    )
    newest_s = int(time.time())
    two_sites.do(lambda spine: spine.measure("north", "gas-north", h2s=(61.5, "[ppm]")))
    number = tab.page.locator('[data-key="north/gas-north"] [data-quantity="h2s"] [data-value]')
    expect(number).to_have_text("61.50")
    tab.context.set_offline(True)
    two_sites.stop()
    expect(tab.page.locator("#no-live")).to_contain_text("没有实时连接", timeout=30_000)
    told = re.search(r"\d\d:\d\d:\d\d", tab.page.locator("#no-live").inner_text())
    zone_s = 60 * tab.page.evaluate("new Date().getTimezoneOffset()")
    assert told is not None
    assert told[0] >= time.strftime("%H:%M:%S", time.gmtime(newest_s - zone_s)), (
        "as of the newest value"
    )
    tab.shot("no-live")
    tab.context.close()


def test_an_ended_session_leads_to_the_log_in_page_and_back(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.OPERATOR)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    tab.page.goto("/alarms/ALARM-north")
    tab.context.clear_cookies(name="tocsin_session")
    with suppress(PlaywrightError):  # its own look for news may have led there before
        tab.page.get_by_role("button", name="确认").click(timeout=3_000)
    expect(tab.page).to_have_url(re.compile(r"/login\?next=/alarms/ALARM-north$"))
    tab.page.fill("input[name=name]", "ann")
    tab.page.fill("input[name=password]", PASSWORD)
    tab.page.click("button.primary")
    expect(tab.page).to_have_url(re.compile(r"/alarms/ALARM-north$"))
    tab.page.goto("/nowhere")
    expect(tab.page.locator("h1")).to_have_text("出错了")
    tab.problems = [p for p in tab.problems if "404" not in p]
    tab.done()


def test_what_people_and_devices_write_stays_text(
    two_sites: RunningCloud, browser: Browser
) -> None:
    # markup in a name of the greatest length, without a space to break it at
    evil = (
        '<img src=x onerror="document.title=1"><script>document.title=2</script>"\'>{{7*7}}'
        + "W" * 30
    )
    two_sites.account("ann", Role.ADMIN)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    tab.page.goto("/devices/north/gas-north")
    tab.page.fill("form.panel input[name=name]", evil)
    tab.page.fill("form.panel input[name=place]", evil + "W" * 150)
    tab.page.locator("form.panel").get_by_role("button", name="保存").click()
    expect(tab.page.locator("h1")).to_have_text(evil)
    two_sites.do(lambda spine: spine.note("ALARM-north", "raised", evil, evil))
    for path in ("/", "/map", "/alarms", "/alarms/ALARM-north", "/devices/north/gas-north"):
        tab.page.goto(path)
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
        expect(tab.page.locator(".banner, main").filter(has_text="{{7*7}}").first).to_be_visible()
        expect(tab.page.locator("img")).to_have_count(0)
        assert "Tocsin" in tab.page.title()
        tab.fits()
    tab.done()


def test_the_map_shows_the_vehicle_where_it_is_and_where_it_heads(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.DISPATCHER)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    tab.page.goto("/map")
    expect(tab.page.locator("#map")).to_have_attribute("data-ready", "true", timeout=60_000)
    truck = tab.page.locator('.place[data-kind="vehicle"]')
    expect(truck).to_contain_text("truck-1")
    expect(truck.locator(".pointer")).to_have_attribute("data-heading", re.compile("^90"))
    two_sites.do(
        lambda spine: spine.measure(
            "north",
            "truck-1",
            lat=(31.25, "deg"),
            lon=(121.49, "deg"),
            course=(45.0, "deg"),
            speed=(9.0, "m/s"),
        )
    )
    expect(truck.locator(".pointer")).to_have_attribute("data-heading", "45")
    expect(truck).to_have_attribute("data-lat", "31.25")
    expect(tab.page.locator(".positions")).to_contain_text("31.25000, 121.49000")
    tab.shot("map")
    tab.done()


def test_without_webgl_the_positions_are_a_table(
    two_sites: RunningCloud, playwright: Playwright
) -> None:
    two_sites.account("ann", Role.VIEWER)
    browser = playwright.chromium.launch(
        executable_path="/usr/bin/chromium",
        headless=True,
        args=[*FLAGS[:-1], "--disable-3d-apis"],
    )
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    tab.page.goto("/map")
    expect(tab.page.locator("#no-webgl")).to_be_visible()
    expect(tab.page.locator(".positions")).to_contain_text("truck-1")
    tab.problems = [p for p in tab.problems if "WebGL" not in p]
    tab.done()
    browser.close()


def test_everything_fits_a_phone_and_can_be_hit_with_a_thumb(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("ann", Role.ADMIN)
    now_ns = time.time_ns()
    two_sites.spine.audits = {"gw-north": gapped("north", "gw-north", now_ns)}
    tab = Watched(browser, two_sites.url, phone=True)
    tab.log_in("ann")
    pages = {
        "overview": "/",
        "alarms": "/alarms",
        "alarm": "/alarms/ALARM-north",
        "device": "/devices/north/gas-north",
        "map": "/map",
        "gateways": "/gateways",
        "gateway": "/gateways/gw-north",
        "tokens": "/tokens",
        "accounts": "/accounts",
    }
    for name, path in pages.items():
        tab.page.goto(path)
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "live")
        tab.fits()
        small = tab.page.evaluate(
            """[...document.querySelectorAll('.tabs a, main button, main .button, main input:not([type=checkbox]):not([type=hidden]), main select')]
            .filter(e => e.offsetParent && !e.closest('#map')).filter(e => e.getBoundingClientRect().height < 47.5).map(e => e.outerHTML.slice(0, 120))"""
        )
        assert small == [], path
        tab.shot(f"phone-{name}", full=False)
    tab.done()


def test_the_reader_chooses_language_and_theme(two_sites: RunningCloud, browser: Browser) -> None:
    two_sites.account("ann", Role.ADMIN)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    expect(tab.page.locator("h1")).to_have_text("总览")
    tab.page.click(".menu summary")
    tab.page.get_by_role("button", name="English").click()
    expect(tab.page.locator("h1")).to_have_text("Overview")
    tab.page.click(".menu summary")
    tab.page.click("#theme")
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")
    tab.page.click("h1")
    tab.shot("overview-dark")
    for path, name in (("/gateways", "gateways"), ("/tokens", "tokens"), ("/accounts", "accounts")):
        tab.page.goto(path)
        tab.shot(name)
    tab.done()


def test_a_dispatcher_makes_a_token_and_sees_it_once(
    two_sites: RunningCloud, browser: Browser
) -> None:
    two_sites.account("dan", Role.DISPATCHER)
    tab = Watched(browser, two_sites.url)
    tab.log_in("dan")
    tab.page.goto("/tokens")
    tab.page.fill("input[name=name]", "wall screen")
    tab.page.click("button.primary")
    expect(tab.page.locator("#made")).to_contain_text("tocsin_")
    tab.page.goto("/tokens")
    expect(tab.page.locator("#made")).to_have_count(0)
    tab.page.get_by_role("button", name="撤销").click()
    expect(tab.page.locator("table")).to_contain_text("已撤销")
    tab.done()


def test_sound_is_off_until_a_person_turns_it_on(two_sites: RunningCloud, browser: Browser) -> None:
    two_sites.account("ann", Role.VIEWER)
    tab = Watched(browser, two_sites.url)
    tab.log_in("ann")
    expect(tab.page.locator("#sound")).to_have_attribute("aria-pressed", "false")
    tab.page.click("#sound")
    expect(tab.page.locator("#sound")).to_contain_text(re.compile("声音"))
    tab.done()
