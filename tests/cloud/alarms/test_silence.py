"""Who is silent, and when nobody may be called silent."""

from __future__ import annotations

import pytest

from cloud.alarms.silence import (
    Condition,
    DeviceHeard,
    GatewayHeard,
    Pulse,
    SilenceRules,
    conditions,
)

S = 10**9
RULES = SilenceRules(silent_periods=5, silent_min_s=10, gateway_silent_s=30)


def look(
    gateway: GatewayHeard,
    *devices: DeviceHeard,
    now_s: float,
    since_s: float | None = 0,
    woke_s: float | None = None,
) -> dict[str, bool]:
    found = conditions(
        [gateway],
        devices,
        now_mono=int(now_s * S),
        listening_since_mono=None if since_s is None else int(since_s * S),
        woke_mono=None if woke_s is None else int(woke_s * S),
        rules=RULES,
    )
    return {c.device or c.gateway: c.standing for c in found}


def gw(online: bool | None = True, heard_s: float = 0) -> GatewayHeard:
    return GatewayHeard("plant", "gw-1", online, int(heard_s * S))


def dev(period_s: float | None, heard_s: float = 0, **more: bool) -> DeviceHeard:
    return DeviceHeard("plant", "gw-1", "gas-01", "gas", period_s, int(heard_s * S), **more)


def test_a_device_is_silent_after_five_periods_but_never_before_ten_seconds() -> None:
    assert look(gw(heard_s=9), dev(1.0), now_s=9.9) == {"gw-1": False, "gas-01": False}
    assert look(gw(heard_s=9), dev(1.0), now_s=10.1)["gas-01"]
    assert not look(gw(heard_s=45), dev(10.0), now_s=49)["gas-01"]
    assert look(gw(heard_s=45), dev(10.0), now_s=51)["gas-01"]


def test_devices_without_a_period_finished_or_retired_are_never_silent() -> None:
    for device in (dev(None), dev(1.0, finished=True), dev(1.0, retired=True)):
        assert look(gw(heard_s=999), device, now_s=1000) == {"gw-1": False, "gas-01": False}


def test_a_silent_gateway_is_named_and_its_devices_are_not() -> None:
    assert look(gw(), dev(1.0), now_s=31) == {"gw-1": True}
    assert look(gw(online=False, heard_s=30), dev(1.0), now_s=31) == {"gw-1": True}


def test_nobody_is_silent_while_we_do_not_listen_nor_for_time_before_we_did() -> None:
    assert look(gw(), dev(1.0), now_s=1000, since_s=None) == {}
    assert look(gw(), dev(1.0), now_s=1000, since_s=995) == {}, "alarms stay as they are"
    heard = gw(heard_s=996), dev(1.0, heard_s=996)
    assert look(*heard, now_s=1000, since_s=995) == {"gw-1": False, "gas-01": False}
    assert look(gw(heard_s=996), dev(1.0), now_s=1006, since_s=995)["gas-01"]


def test_the_reason_is_told() -> None:
    (found,) = conditions([gw(online=False)], [], now_mono=5, listening_since_mono=0, rules=RULES)
    assert found == Condition(
        "plant", "gw-1", "", "gateway", "gateway-silent", standing=True, why="offline"
    )


def test_after_we_slept_silence_counts_from_the_wake_up() -> None:
    assert look(gw(), dev(1.0), now_s=1000.5, woke_s=1000) == {}
    assert look(gw(heard_s=1005), dev(1.0), now_s=1010.5, woke_s=1000) == {
        "gw-1": False,
        "gas-01": True,
    }
    assert look(gw(), now_s=1031, woke_s=1000) == {"gw-1": True}


def test_a_gateway_that_the_broker_called_offline_while_it_slept_has_time_to_come_back() -> None:
    away = gw(online=False, heard_s=999)
    assert look(away, dev(1.0), now_s=1015, woke_s=1000) == {}
    assert look(away, dev(1.0), now_s=1031, woke_s=1000) == {"gw-1": True}
    back = gw(heard_s=1003)
    assert look(back, dev(1.0, heard_s=1004), now_s=1005, woke_s=1000) == {
        "gw-1": False,
        "gas-01": False,
    }


@pytest.mark.parametrize(
    ("mono_s", "wall_s", "away_s"),
    [(1, 1, 0), (4.9, 4.9, 0), (1, -3600, 0), (60, 60, 60), (1, 3600, 3600)],
)
def test_a_gap_far_longer_than_the_pulse_is_a_sleep(
    mono_s: float, wall_s: float, away_s: float
) -> None:
    pulse = Pulse(1.0)
    assert pulse.beat(100 * S, 5000 * S) == 0
    assert pulse.woke_mono is None
    now_mono = int((100 + mono_s) * S)
    assert pulse.beat(now_mono, int((5000 + wall_s) * S)) == away_s
    assert pulse.woke_mono == (now_mono if away_s else None)
    assert pulse.beat(now_mono + S, int((5001 + wall_s) * S)) == 0
    assert pulse.woke_mono == (now_mono if away_s else None), "remembered"
