"""What a list says of a device: order of its values, alarms of each, calibration, silence inside a dead-band."""

from __future__ import annotations

from datetime import date

import pytest

from cloud.api.overview import calibration, device_views
from cloud.api.rows import Row

S = 10**9
NOW = 1_767_225_600 * S  # 2026-01-01T00:00:00Z


def row(quantity: str, age_s: int) -> Row:
    at = NOW - age_s * S
    return {
        "site": "a", "device": "g", "quantity": quantity, "value": 1.0, "q": 0,
        "time_ns": at, "received_ns": at,
    }  # fmt: skip


def test_values_stand_in_the_catalogues_order_and_the_one_in_alarm_is_marked() -> None:
    state = {"site": "a", "device": "g", "measurement": "gas", "period_s": 1.0, "state": "ok"}
    alarm = {"site": "a", "device": "g", "quantity": "o2", "level": 2}
    rows = [row(q, 1) for q in ("zz", "o2", "h2s", "co")]
    (view,) = device_views([], [state], rows, [alarm], NOW)
    told = [(v.quantity, v.alarm_level) for v in view.values]
    assert told == [("co", 0), ("h2s", 0), ("o2", 2), ("zz", 0)]


def test_a_device_inside_its_dead_band_is_not_stale_while_its_gateway_says_it_answers() -> None:
    state = {"site": "a", "device": "g", "measurement": "gas", "period_s": 1.0, "state": "ok"}
    (silent,) = device_views([], [state], [row("h2s", 40)], [], NOW)
    answers = {**state, "health": {"last_ok_ns": NOW - 2 * S}}
    (quiet,) = device_views([], [answers], [row("h2s", 40)], [], NOW)
    assert (silent.state, quiet.state) == ("stale", "ok")
    assert quiet.last_ns == NOW - 40 * S


def test_a_device_that_does_not_answer_says_since_when_and_why_and_one_that_does_says_neither() -> (
    None
):
    health = {"last_ok_ns": NOW - 90 * S}
    state = {"site": "a", "device": "g", "measurement": "gas", "health": health, "last_error": "port 3: no answer", "last_reason": "no-answer"}  # fmt: skip
    (lost,) = device_views([], [{**state, "state": "unavailable"}], [row("h2s", 0)], [], NOW)
    (well,) = device_views([], [{**state, "state": "ok"}], [row("h2s", 0)], [], NOW)
    assert (lost.answered_ns, lost.last_error) == (NOW - 90 * S, "port 3: no answer")
    assert lost.last_reason == "no-answer"
    assert (well.answered_ns, well.last_error, well.last_reason) == (None, "", "")


def test_what_is_not_known_is_as_old_as_what_was_known_last_and_a_row_without_a_value_no_sign_of_life() -> (
    None
):
    state = {"site": "a", "device": "g", "measurement": "gas", "state": "ok"}
    lost = {**row("h2s", 0), "value": None, "q": 66, "known_ns": NOW - 90 * S}
    (view,) = device_views([], [state], [lost, row("co", 100)], [], NOW)
    assert [v.known_ns for v in view.values] == [NOW - 100 * S, NOW - 90 * S]
    assert (view.last_ns, view.heard_ns) == (NOW - 90 * S, NOW)
    (never,) = device_views([], [state], [{**row("h2s", 0), "value": None, "q": 66}], [], NOW)
    assert (never.values[0].known_ns, never.last_ns) == (None, None)


@pytest.mark.parametrize(
    ("due", "told"),
    [
        (None, ""),
        (date(2025, 12, 31), "overdue"),
        (date(2026, 1, 1), "soon"),
        (date(2026, 1, 15), "soon"),
        (date(2026, 1, 16), ""),
    ],
)
def test_calibration_is_called_due_two_weeks_before_and_overdue_the_day_after(
    due: date | None, told: str
) -> None:
    assert calibration(due, NOW) == told
