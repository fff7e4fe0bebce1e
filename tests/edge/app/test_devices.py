"""What the agent knows of each device, as its health message tells it."""

from __future__ import annotations

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
