"""Detections whose end never came: lost, or their camera is configured no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.alarms.book import AlarmBook
from cloud.vision.pictures import VisionRules
from tests.cloud.vision.desk import KEY, Desk, seen
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, Event

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
