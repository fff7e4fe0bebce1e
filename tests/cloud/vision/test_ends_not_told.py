"""Detections whose end never came: lost, or their camera is configured no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.alarms.book import AlarmBook
from cloud.db import write
from cloud.vision.pictures import VisionRules
from tests.cloud.vision.desk import KEY, Desk, seen
from tocsin.contract.messages import (
    VERSION,
    Alarm,
    AlarmChange,
    ClockState,
    DeviceHealth,
    Event,
    Health,
)

S = 10**9


class Watched(Desk):
    """With the alarms of its cameras, as a spine has them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, VisionRules(), {"gw-1": KEY})
        self.t0 = self.clock.now_ns()
        self.alarms = AlarmBook(
            self.engine, self.clock, keys={}, command_expires_s=60.0, changed=self.book.on_alarm,
            send=lambda command: None,
        )  # fmt: skip
        self._seq = 0

    def see(self, detection: str, at_s: float, change: str = "confirmed") -> None:
        """At `gw-1`, camera `cam-1`."""
        self.tell(seen(detection=detection, change=change, t=self.at(at_s)))

    def count(self, change: AlarmChange, at_s: float, value: float | None, **more: Any) -> None:
        """Its alarm moved."""
        self._seq += 1
        told = Alarm(
            VERSION, "north", "gw-1", "S", self._seq, "A1", "cam-1", "vision", "confirmed", "confirmed-high",
            change, 2, self.at(at_s), value=value, unit="1", limit=1.0, latched=True, beyond=bool(value),
        )  # fmt: skip
        self.alarms.mirror(msgspec.structs.replace(told, **more), self.at(at_s))

    def healthy(self, at_s: float, *devices: str, gateway: str = "gw-1", **more: Any) -> None:
        """A gateway tells which devices it has."""
        told = [DeviceHealth(id=d, kind="vision", driver="camera", state="ok") for d in devices]
        self.book.on_health(
            Health(
                VERSION, "north", gateway, self.at(at_s), "b", "1", 1.0, ClockState("ntp"), [], told,
                **more,
            )
        )  # fmt: skip

    def at(self, s: float) -> int:
        return self.t0 + int(s * S)

    def ended_s(self, detection: str) -> float | None:
        """When it ended."""
        ended_ns = self.book.gallery.row(detection, None)["ended_ns"]
        return None if ended_ns is None else (int(str(ended_ns)) - self.t0) / S

    def in_view(self) -> list[str]:
        rows = self.book.gallery.in_view([("north", "gw-1", "cam-1")])
        return [str(row["detection"]) for row in rows]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_detection_without_an_end_has_left_when_its_camera_counts_nothing_in_view(
    watched: Watched,
) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RAISED, 1, 1.0)
    assert watched.in_view() == ["d-1"]
    watched.count(AlarmChange.RETURNED, 60, 0.0)
    assert watched.in_view() == []
    assert watched.ended_s("d-1") == 60
    assert watched.told[-1]["ended_ns"] == watched.at(60)  # pages hear of it
    watched.see("d-2", 90)
    assert watched.in_view() == ["d-2"]


def test_what_came_into_view_after_it_was_empty_stays(watched: Watched) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RAISED, 1, 1.0)
    watched.see("d-2", 100)
    watched.count(AlarmChange.RETURNED, 60, 0.0)  # comes late
    assert watched.in_view() == ["d-2"]


@pytest.mark.parametrize(
    "more",
    [
        {"value": 1.0},  # below a limit of 2
        {"value": None},
        {"beyond": True},
        {"quantity": "fps"},
        {"measurement": "gas"},
        {"device": "cam-2"},
        {"gateway": "gw-2"},
        {"site": "south"},
    ],
)
def test_only_an_empty_view_of_the_very_camera_ends_what_burns(
    watched: Watched, more: dict[str, Any]
) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RETURNED, 60, **({"value": 0.0, "beyond": False} | more))
    assert watched.in_view() == ["d-1"]


def test_a_raised_acknowledged_alarm_ends_nothing(watched: Watched) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RAISED, 1, 1.0)
    watched.count(AlarmChange.ACKNOWLEDGED, 2, 1.0, actor="li", acknowledged=True)
    assert watched.in_view() == ["d-1"]


def test_the_end_that_comes_late_says_when_it_was(watched: Watched) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RETURNED, 60, 0.0)
    watched.see("d-1", 59, "ended")
    assert watched.ended_s("d-1") == 59
    watched.count(AlarmChange.RESET, 70, 0.0, latched=False)
    watched.see("d-1", 80, "updated")  # of before, told again
    assert watched.ended_s("d-1") == 59


def test_a_picture_that_comes_late_is_kept_and_what_is_seen_again_is_in_view_again(
    watched: Watched,
) -> None:
    watched.see("d-1", 0)
    watched.count(AlarmChange.RETURNED, 60, 0.0)
    watched.tell(seen(("at", b"late"), change="updated", t=watched.at(50)))
    assert watched.states() == {"at": "wanted"}
    assert watched.ended_s("d-1") == 60
    watched.see("d-1", 65, "updated")
    assert watched.in_view() == ["d-1"]
    watched.count(AlarmChange.ACKNOWLEDGED, 66, 0.0, actor="li", acknowledged=True)
    assert watched.in_view() == ["d-1"]  # the empty view is older than its last word


def test_a_camera_that_is_configured_no_more_has_nothing_in_view(watched: Watched) -> None:
    watched.see("d-1", 0)
    for device in ("cam-2", "cam-1"):
        assert watched.in_view() == ["d-1"]
        event = Event(VERSION, "north", "gw-1", "s", 9, "device.removed", watched.at(30), device)
        watched.book.on_event(event, watched.at(30))
    assert watched.in_view() == []
    assert watched.ended_s("d-1") == 30


def test_a_camera_that_a_restarted_gateway_has_no_more_has_nothing_in_view(
    watched: Watched,
) -> None:
    watched.healthy(0, "cam-1", "cam-2")
    watched.see("d-1", 1)
    watched.healthy(5, "cam-1", "cam-2")
    watched.healthy(6, "cam-9", gateway="gw-2")
    watched.healthy(7, "cam-2", left_out=["drivers.forest"])  # for a mistake in it: to be mended
    assert watched.in_view() == ["d-1"]
    watched.healthy(30, "cam-2")
    assert watched.in_view() == []
    assert watched.ended_s("d-1") == 30
    assert watched.told[-1]["ended_ns"] == watched.at(30)


def test_what_comes_late_of_a_camera_that_is_there_no_more_ends_with_the_next_health(
    watched: Watched,
) -> None:
    watched.healthy(30, "cam-2")
    watched.see("d-1", 3)  # kept by its gateway while it was offline
    assert watched.in_view() == ["d-1"]
    watched.healthy(35, "cam-2")
    assert watched.in_view() == []
    watched.see("d-2", 40)  # it was put back
    watched.healthy(45, "cam-1", "cam-2")
    assert watched.in_view() == ["d-2"]


def test_an_end_that_cannot_be_kept_is_kept_with_the_next_health(watched: Watched) -> None:
    watched.see("d-1", 1)
    with write(watched.engine) as c:
        c.exec_driver_sql("CREATE TRIGGER no BEFORE UPDATE ON vision_detections BEGIN SELECT RAISE(ABORT, 'full'); END")  # fmt: skip
    watched.healthy(30, "cam-2")
    assert watched.book.counts["ends_not_kept"] == 1
    with write(watched.engine) as c:
        c.exec_driver_sql("DROP TRIGGER no")
    watched.healthy(35, "cam-2")
    assert watched.in_view() == []
