"""Two cameras in the north, for tests of pages: what they tell and the pictures they send."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest

from edge.drivers.camera.values import COMMANDS
from tests.cloud.conftest import RunningCloud
from tocsin.contract.evidence import Detection, EvidencePart, Exhibit, Growth
from tocsin.contract.messages import VERSION, Event

BOX = (0.4, 0.2, 0.2, 0.3)


def jpeg(width: int, shade: int) -> bytes:
    """A white plume over a green hill."""
    picture = np.full((width * 9 // 16, width, 3), (200, 180, shade), np.uint8)
    cv2.ellipse(picture, (width // 2, width * 9 // 16), (width, width // 5), 0, 0, 360, (40, 90, 50), -1)  # fmt: skip
    cv2.ellipse(picture, (width // 2, width // 5), (width // 12, width // 14), 0, 0, 360, (230, 230, 230), -1)  # fmt: skip
    return cv2.imencode(".jpg", picture)[1].tobytes()


def sha(data: bytes) -> str:
    """Its name."""
    return hashlib.sha256(data).hexdigest()


def exhibit(role: str, data: bytes) -> Exhibit:
    """As a gateway tells of it."""
    return msgspec.convert(
        {"sha256": sha(data), "role": role, "media": "image/jpeg", "size": len(data), "t": time.time_ns()}, Exhibit,
    )  # fmt: skip


def tell(cloud: RunningCloud, kind: str, said: object, camera: str = "cam-1") -> None:
    """An event of the gateway in the north."""
    now_ns = time.time_ns()
    data = msgspec.to_builtins(said)
    event = Event(VERSION, "north", "gw-north", "S", 0, kind, now_ns, camera, "", data)
    cloud.do(lambda _: cloud.vision.on_event(event, now_ns))


def bring(cloud: RunningCloud, data: bytes) -> None:
    """The picture itself."""
    part = EvidencePart(VERSION, "north", "gw-north", sha(data), 0, len(data), data)
    cloud.do(lambda _: cloud.vision.on_part(part))


THUMBNAIL, AT, AFTER = (jpeg(320, 150), jpeg(640, 170), jpeg(640, 190))
VIEW, NEWER = jpeg(320, 200), jpeg(320, 210)
FIRE = jpeg(480, 120)


def watching_detection(cloud: RunningCloud) -> Detection:
    """As it was told last."""
    return msgspec.convert(cloud.vision.gallery.row("d-1", None)["told"], Detection)


def raised(cloud: RunningCloud, alarm: str, picture: bytes, *, ended: bool = False) -> None:
    """By a camera, before anybody told what it saw; what stood there before has ended."""
    tell(
        cloud,
        "vision.detection",
        msgspec.structs.replace(watching_detection(cloud), change="ended"),
    )
    seen = replace(
        cloud.spine.alarms["ALARM-north"], alarm=alarm, device="cam-1", measurement="vision", quantity="confirmed",
        rule="confirmed-high", level=2, value=1.0, unit="1", limit=1.0, raised_ns=time.time_ns(), evidence=sha(picture),
    )  # fmt: skip
    if ended:
        seen = replace(seen, beyond=False, latched=False, closed_ns=time.time_ns())

    def add(_: object) -> None:
        cloud.spine.alarms[alarm] = seen
        cloud.spine.note(alarm, "raised")

    cloud.do(add)


def seen(
    cloud: RunningCloud, detection: str, picture: bytes, grown: Growth | None = None, label: str = "smoke"
) -> None:  # fmt: skip
    """What the camera's gateway tells of it."""
    shown = [exhibit("thumbnail", picture)]
    told = Detection(detection, "confirmed", label, 0.9, BOX, time.time_ns(), evidence=shown, grown=grown)  # fmt: skip
    tell(cloud, "vision.detection", told)


def looks(cloud: RunningCloud, detection: str = "d-9") -> list[str]:
    """Who looked at its pictures."""
    return [str(v["account"]) for v in cloud.vision.gallery.seen_by(detection)]


@pytest.fixture
def watching(two_sites: RunningCloud) -> RunningCloud:
    """Two cameras, one of them with a picture and a detection that raised an alarm."""
    takes = json.loads(msgspec.json.encode(COMMANDS))
    for name, usable in (("cam-1", 1.0), ("cam-2", 0.0)):

        def add(spine: object, name: str = name, usable: float = usable) -> None:
            two_sites.spine.device("north", name, "vision", commands=takes)
            two_sites.spine.measure(
                "north", name, usable=(usable, "1"), fps=(5.0, "Hz"), confirmed=(0.0, "1")
            )

        two_sites.do(add)
    for device in two_sites.spine.devices.values():
        device["period_s"] = 60.0  # none is stale on a slow machine
    tell(two_sites, "vision.view", exhibit("view", VIEW))
    bring(two_sites, VIEW)
    shown = [exhibit("thumbnail", THUMBNAIL), exhibit("at", AT), exhibit("after", AFTER)]
    seen = Detection(
        "d-1", "confirmed", "smoke", 0.91, BOX, time.time_ns(), why=["it grew 1.8 times"],
        why_zh=["面积增至 1.8 倍"], model="smoke-fire", version="1", bearing=123.4, bearing_error=0.6,
        evidence=shown,
    )  # fmt: skip
    tell(two_sites, "vision.detection", seen)
    bring(two_sites, THUMBNAIL)
    bring(two_sites, AT)
    alarms = two_sites.spine.alarms
    alarms["ALARM-north"] = replace(alarms["ALARM-north"], evidence=sha(THUMBNAIL))
    return two_sites
