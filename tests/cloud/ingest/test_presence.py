"""What is known of devices that come and go."""

from __future__ import annotations

from pathlib import Path

from cloud.db import open_engine, upgrade
from cloud.ingest.presence import Presence
from tocsin.contract.messages import VERSION, Event


def test_a_device_that_left_its_gateway_is_not_waited_for_any_more(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    upgrade(engine)
    presence = Presence(engine, {"gw-1": "plant"}, 0)
    data = {"measurement": "gas", "period_s": 1.0}
    announced = Event(
        VERSION, "plant", "gw-1", "S", 1, "device.announced", 1, device="gas-01", data=data
    )
    presence.on_announced(announced, 1, 1)
    assert [d.period_s for d in presence.devices()] == [1.0]
    presence.on_removed("gw-1", "gas-01")
    presence.on_removed("gw-1", "never-seen")
    assert [d.period_s for d in presence.devices()] == [None]
    assert [d.period_s for d in Presence(engine, {"gw-1": "plant"}, 0).devices()] == [None]
    engine.dispose()
