"""Who is silent, and when nobody may be called silent."""

from __future__ import annotations

from cloud.alarms.silence import (
    Condition,
    DeviceHeard,
    GatewayHeard,
    SilenceRules,
    conditions,
)

S = 10**9
RULES = SilenceRules(silent_periods=5, silent_min_s=10, gateway_silent_s=30)


def look(
    gateway: GatewayHeard, *devices: DeviceHeard, now_s: float, since_s: float | None = 0
) -> dict[str, bool]:
    found = conditions(
        [gateway],
        devices,
        now_mono=int(now_s * S),
        listening_since_mono=None if since_s is None else int(since_s * S),
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
    assert look(gw(), dev(1.0), now_s=1000, since_s=995) == {"gw-1": False, "gas-01": False}


def test_the_reason_is_told() -> None:
    (found,) = conditions([gw(online=False)], [], now_mono=5, listening_since_mono=0, rules=RULES)
    assert found == Condition(
        "plant", "gw-1", "", "gateway", "gateway-silent", standing=True, why="offline"
    )
