"""Every live condition that a permit hangs on, just within its limit and just beyond."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.permits.site import END_NS, INSTRUMENTS, MIN, SPACE, START_NS, Site
from tocsin.permits import facts
from tocsin.permits.context import Other, Reading
from tocsin.permits.due import due
from tocsin.permits.intervals import NS
from tocsin.permits.journal import gateway_source
from tocsin.permits.live import breaches
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import Effect
from tocsin.permits.space import Live


def causes(site: Site) -> list[str]:
    return [b.cause.value for b in breaches(site.permit, site.look(), site.now_ns)]


def test_nothing_is_broken_on_a_good_day() -> None:
    assert causes(Site().to_active("zhou")) == []


@pytest.mark.parametrize(
    ("gas", "good", "bad", "unit", "cause"),
    [
        ("o2", 19.5, 19.49, "%{vol}", "oxygen"),
        ("o2", 23.5, 23.51, "%{vol}", "oxygen"),
        ("ex", 10.0, 10.01, "%{LEL}", "gas"),
        ("h2s", 10.0, 10.01, "mg/m3", "gas"),
        ("h2s", 7.05, 7.07, "[ppm]", "gas"),  # 10 mg/m3 at 20 C are 7.06 ppm
        ("h2s", 7050.0, 7070.0, "[ppb]", "gas"),
        ("co", 30.0, 30.01, "mg/m3", "gas"),
    ],
)
def test_a_gas_is_good_up_to_its_limit(
    gas: str, good: float, bad: float, unit: str, cause: str
) -> None:
    site = Site().to_active()
    site.air[gas] = (good, unit)
    assert causes(site) == []
    site.air[gas] = (bad, unit)
    found = breaches(site.permit, site.look(), site.now_ns)
    assert [b.cause.value for b in found] == [cause]
    assert found[0].rule is not None
    assert found[0].rule.quantity == gas


def with_readings(site: Site, gas: str, *readings: Reading) -> list[str]:
    look = site.look()
    others = tuple(r for r in look.conditions.readings if r.quantity != gas)
    conditions = msgspec.structs.replace(look.conditions, readings=(*others, *readings))
    context = msgspec.structs.replace(look, conditions=conditions)
    return [b.cause.value for b in breaches(site.permit, context, site.now_ns)]


def test_a_value_counts_for_a_minute() -> None:
    site = Site().to_active()
    now_ns = site.now_ns
    for age_ns, found in (
        (60 * NS, []),
        (60 * NS + 1, ["stale"]),
        (-60 * NS - 1, ["stale"]),  # from the future
    ):
        one = Reading("gas-1", "h2s", 1.0, "[ppm]", now_ns - age_ns)
        assert with_readings(site, "h2s", one) == found
    assert with_readings(site, "h2s") == ["stale"]


def test_a_second_detector_keeps_the_permit_but_hides_no_alarm() -> None:
    site = Site().to_active()
    now_ns = site.now_ns
    good = Reading("gas-2", "h2s", 1.0, "[ppm]", now_ns)
    old = Reading("gas-1", "h2s", 1.0, "[ppm]", now_ns - 61 * NS)
    high = Reading("gas-1", "h2s", 50.0, "[ppm]", now_ns, good=False)  # over its range
    bad = Reading("gas-1", "h2s", 1.0, "[ppm]", now_ns, good=False)
    assert with_readings(site, "h2s", old, good) == []
    assert with_readings(site, "h2s", high, good) == ["gas"]
    assert with_readings(site, "h2s", bad) == ["sensor"]
    assert with_readings(site, "h2s", bad, good) == []


@pytest.mark.parametrize("reading", [(float("nan"), "[ppm]"), (1.0, "mA")])
def test_a_value_that_cannot_be_judged_is_no_value(reading: tuple[float, str]) -> None:
    site = Site().to_active()
    site.air["h2s"] = reading
    assert causes(site) == ["sensor"]


def test_only_the_detectors_of_the_space_count() -> None:
    site = Site().to_active()
    site.change(space=msgspec.structs.replace(SPACE, live=Live(gas_devices=("gas-9",))))
    assert set(causes(site)) == {"stale"}


def test_a_detector_whose_calibration_lapses_is_no_detector() -> None:
    site = Site().to_active()
    lapsed = msgspec.structs.replace(
        INSTRUMENTS["gd-1"], device="gas-1", calibrated_until_ns=site.now_ns
    )
    site.change(instruments={"gd-1": lapsed})
    assert set(causes(site)) == {"sensor"}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"sos": ("zhou",)}, "sos"),
        ({"tampered": ("lock-7",)}, "tamper"),
        ({"unlisted": ("a stranger",)}, "unlisted"),
        ({"counted_inside": 2}, "headcount"),
        ({"counted_inside": 0}, "headcount"),
        ({"ventilating": False}, "ventilation"),
        ({"suspended_links": ("HW-1",)}, "linked"),
        ({"weather": "rainstorm, red"}, "weather"),
        ({"siren_ok": False, "cloud_ok": False}, "siren"),
        ({"siren_ok": False}, None),
        ({"cloud_ok": False}, None),
        ({"counted_inside": 1}, None),
        ({"ventilating": True}, None),
    ],
)
def test_each_condition_suspends(changes: dict[str, Any], cause: str | None) -> None:
    site = Site(gateway_source("gw-1"))
    site.change(source="cloud")
    site.to_active("zhou").change(source=gateway_source("gw-1"))
    site.live = msgspec.structs.replace(site.live, **changes)
    request = due(site.permit, site.look(), site.now_ns)
    if cause is None:
        assert request is None
        return
    assert request is not None
    assert (request.action, request.cause) == (Action.SUSPEND, cause)
    site.effects.clear()
    site.request(request)
    assert (site.state(), site.permit.cause) == (State.SUSPENDED, cause)
    assert {Effect.STOP_GRANTS, Effect.SIREN_ON, Effect.EVACUATE} <= set(site.effects)
    assert due(site.permit, site.look(), site.now_ns) is None


def test_a_fan_that_should_tell_and_does_not_is_a_fan_that_stands() -> None:
    site = Site().to_active()
    site.change(space=msgspec.structs.replace(SPACE, live=Live(ventilation="fan-1/running")))
    assert causes(site) == ["stale"]
    running = {"ventilating": True, "ventilating_ns": site.now_ns}
    site.live = msgspec.structs.replace(site.live, **running)
    assert causes(site) == []
    site.now_ns += 61 * NS
    assert causes(site) == ["stale"]


def test_the_attendant_gives_a_sign_every_minute() -> None:
    site = Site().to_active()
    site.attendant_ns = site.now_ns
    site.now_ns += 60 * NS
    assert causes(site) == []
    site.now_ns += 1
    assert causes(site) == ["attendant"]


def test_a_linked_permit_that_is_not_in_force_stops_this_one() -> None:
    site = Site()
    site.must(Action.DRAFT, "zhao", site.form(linked=("P9",)))
    for state, found in (
        (State.ACTIVE, []),
        (State.SUSPENDED, ["linked"]),
        (State.REVOKED, ["linked"]),
        (State.CLOSED, ["linked"]),
        (State.ARCHIVED, ["linked"]),
    ):
        site.change(others=(Other("P9", "roof", state, START_NS, END_NS),))
        assert [c for c in causes(site) if c == "linked"] == found


def test_an_isolation_that_is_taken_away_stops_the_work() -> None:
    site = Site().to_active("zhou")
    site.must(Action.REOPEN, "tech", facts.Isolated("pump"))
    assert (site.state(), site.permit.cause) == (State.SUSPENDED, Cause.ISOLATION)


def test_the_gravest_comes_first() -> None:
    site = Site().to_active("zhou")
    site.air["h2s"] = (50.0, "[ppm]")
    site.live = msgspec.structs.replace(site.live, weather="flood", sos=("zhou",))
    assert causes(site) == ["sos", "gas", "weather"]


def test_it_warns_twice_and_then_expires() -> None:
    site = Site().to_active("zhou")
    for before_min, warned in ((30, "30"), (10, "10")):
        site.now_ns = END_NS - before_min * MIN - 1
        assert due(site.permit, site.look(), site.now_ns) is None
        site.now_ns += 1
        request = due(site.permit, site.look(), site.now_ns)
        assert request is not None
        assert request.action is Action.WARN
        site.request(request)
        assert warned in site.permit.warned
    site.now_ns = END_NS - 1
    assert due(site.permit, site.look(), site.now_ns) is None
    site.now_ns = END_NS
    site.effects.clear()
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    site.request(request)
    assert site.state() is State.EXPIRED
    assert Effect.SIREN_ON in site.effects
    assert site.why(Action.RESUME, "qian") == "wrong-state"


def test_a_clock_that_was_late_warns_once_not_twice() -> None:
    site = Site().to_active()
    site.now_ns = END_NS - 5 * MIN
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    site.request(request)
    assert site.permit.warned == {"10"}
    assert due(site.permit, site.look(), site.now_ns) is None


def test_nobody_is_sent_out_of_an_empty_space_that_is_being_closed() -> None:
    site = Site().to_closing()
    site.air["h2s"] = (50.0, "[ppm]")
    assert due(site.permit, site.look(), site.now_ns) is None
    site = Site().to_closing("zhou")
    site.air["h2s"] = (50.0, "[ppm]")
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    assert request.action is Action.SUSPEND


def test_a_gateway_leaves_what_is_the_clouds_to_the_cloud() -> None:
    site = Site().to_briefed()
    site.now_ns += 30 * MIN
    assert due(site.permit, site.look(), site.now_ns) is not None
    site.change(source=gateway_source("gw-1"))
    assert due(site.permit, site.look(), site.now_ns) is None
    assert site.why(Action.BACK_TO_PREPARED, "gw", role=Role.SYSTEM) == "needs-cloud"
