"""What the agent knows of each device, as its health message tells it."""

from __future__ import annotations

import logging

import pytest

from edge.devices import Devices
from edge.pipeline import Pipeline
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Channel, DeviceSpec

GAS = DeviceSpec("gas-01", "gas", (Channel("h2s", "[ppm]"),))


def test_a_device_that_is_lost_tells_its_reason_as_a_word_for_machines_and_in_english() -> None:
    devices = Devices(Pipeline([GAS]), lambda kind, device, text, data: None)
    devices.add("s", (GAS,))
    (well,) = devices.health()
    devices.unavailable(GAS.id, LinkError(DriverReason.NO_PORT, "no such port", device=GAS.id))
    (lost,) = devices.health()
    assert (well.last_reason, well.last_error) == ("", "")
    assert (lost.last_reason, lost.last_error) == ("no-port", "gas-01: no such port")


def test_each_reason_why_a_device_is_lost_is_said_once_in_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said: list[tuple[str, str, object]] = []
    devices = Devices(
        Pipeline([GAS]), lambda kind, _, text, data: said.append((kind, text, data.get("reason")))
    )
    devices.add("s", (GAS,))

    def fails(reason: DriverReason, text: str, hint: str = "") -> None:
        devices.unavailable(GAS.id, LinkError(reason, text, device=GAS.id, hint=hint))

    with caplog.at_level(logging.WARNING, "edge.devices"):
        for count in range(3):
            fails(DriverReason.REFUSED, f"refused {count} times", "is the port right?")
            fails(DriverReason.PERMISSION, f"no such account, session {count}")
        (health,) = devices.health()
        devices.recovered(GAS.id)
        fails(DriverReason.PERMISSION, "no such account")
    assert (health.last_reason, health.errors) == ("permission", 6)
    assert said == [
        ("device.unavailable", "gas-01: refused 0 times", "refused"),
        ("device.unavailable", "gas-01: no such account, session 0", "permission"),
        ("device.recovered", "answers again", None),
        ("device.unavailable", "gas-01: no such account", "permission"),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "gas-01 is unavailable: gas-01: refused 0 times (is the port right?)",
        "gas-01 is unavailable: gas-01: no such account, session 0",
        "gas-01 is unavailable: gas-01: no such account",
    ]
