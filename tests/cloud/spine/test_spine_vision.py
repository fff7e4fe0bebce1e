"""What cameras saw and their alarms, through a spine on a real broker."""

from __future__ import annotations

import time

from tests.cloud.spine.conftest import Make
from tests.cloud.spine.running import GATEWAY
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, Event
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway


def test_a_detection_whose_end_was_lost_leaves_the_view_with_its_cameras_alarm(
    spine_on: Make,
) -> None:
    camera = [["plant", "gw-1", "cam-1"]]
    data = {"detection": "d-1", "change": "confirmed", "label": "smoke", "score": 0.9, "box": [0.1, 0.1, 0.2, 0.2], "t": time.time_ns()}  # fmt: skip
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
    ):

        def in_view() -> list[str]:
            return [row["detection"] for row in spine.call("detections_in_view", cameras=camera)]

        def event(seq: int) -> bytes:
            return encode(Event(VERSION, "plant", "gw-1", gateway.stream, seq, "vision.detection", time.time_ns(), "cam-1", "", data))  # fmt: skip

        def alarm(change: AlarmChange, value: float, seq: int) -> bytes:
            return encode(Alarm(
                VERSION, "plant", "gw-1", gateway.stream, seq, "A1", "cam-1", "vision", "confirmed", "confirmed-high",
                change, 2, time.time_ns(), value=value, unit="1", limit=1.0, latched=True, beyond=bool(value),
            ))  # fmt: skip

        gateway.put_sealed(1, topics.EVENT, event)
        gateway.put_sealed(1, topics.ALARM, lambda seq: alarm(AlarmChange.RAISED, 1.0, seq))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "both committed")
        assert in_view() == ["d-1"]
        gateway.put_sealed(1, topics.ALARM, lambda seq: alarm(AlarmChange.RETURNED, 0.0, seq))
        wait_until_sync(lambda: in_view() == [], 30.0, "an empty view")
