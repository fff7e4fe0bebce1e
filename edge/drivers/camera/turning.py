"""Cameras that turn: whom to ask where they look, and what is told when one does not say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from edge.drivers.camera.config import CameraDevice, PtzConfig
from edge.drivers.camera.scene import pose_of
from edge.vision.pose import Mount, Pose
from tocsin.errors import TocsinError
from tocsin.sdk import DriverContext

if TYPE_CHECKING:
    from edge.vision.pipeline.handover import Newest
    from edge.vision.ptz.follower import Follower
    from edge.vision.ptz.head import Head

_CLOSE_S = 10.0


class Heads:
    """The cameras of one driver that turn. An async context; `pose` answers at once, from any thread."""

    def __init__(self, devices: Mapping[str, CameraDevice], context: DriverContext) -> None:
        self._devices, self._context = devices, context
        self._followers: dict[str, Follower] = {}
        self._changes: Newest[tuple[str, TocsinError | None]]

    async def __aenter__(self) -> Self:
        from edge.vision.pipeline.handover import Newest
        from edge.vision.ptz.follower import Follower

        changes: Newest[tuple[str, TocsinError | None]] = Newest()
        self._changes = changes
        for name, device in self._devices.items():
            if device.ptz is None:
                continue

            def tell(error: TocsinError | None, name: str = name) -> None:
                changes.put(name, (name, error))

            self._followers[name] = Follower(
                name, head_of(device), mount_of(device), self._context.clock, tell,
                every_s=device.ptz.every_s,
            )  # fmt: skip
        for follower in self._followers.values():
            follower.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._changes.close()
        for follower in self._followers.values():
            follower.stop()
        for follower in self._followers.values():
            await asyncio.to_thread(follower.join, _CLOSE_S)

    def pose(self, camera: str, ts_ns: int, moved: bool) -> Pose | None:
        """Of a camera at one moment; None: it did not say."""
        follower = self._followers.get(camera)
        return None if follower is None else follower.pose(ts_ns, moved=moved)

    async def tell(self) -> None:
        """Who does not say where it looks, once, and when it does again, until cancelled."""
        while (change := await self._changes.get()) is not None:
            camera, error = change
            if error is None:
                kind, en, zh = (
                    "camera.bearing",
                    "It tells where it looks again.",
                    "摄像机重新报告其朝向。",
                )
                self._context.log.info("camera %s tells where it looks again", camera)
            else:
                kind, zh = "camera.no-bearing", f"摄像机未报告其朝向，探测不带方位：{error.message}"
                en = f"It does not tell where it looks, detections have no bearing: {error.message}"
                if error.hint:
                    en += f" ({error.hint})"
                self._context.log.warning("camera %s: %s", camera, en)
            await self._context.tell(kind, camera, en, {"en": en, "zh": zh})


def head_of(device: CameraDevice) -> Head:
    """Whom to ask; nothing is opened yet."""
    ptz = device.ptz
    assert ptz is not None  # noqa: S101 - asked before
    if ptz.protocol == "isapi":
        from edge.vision.ptz.isapi import IsapiHead
        from edge.vision.sources.address import Address

        password = device.password.reveal() if device.password else ""
        root = Address(device.head, device.username or "", password)
        return IsapiHead(root, channel=ptz.channel, down=ptz.tilt == "down")
    return _onvif(device, ptz)


def _onvif(device: CameraDevice, ptz: PtzConfig) -> Head:
    from edge.vision.ptz.onvif import OnvifHead, Spaces, Target

    parts = urlsplit(device.head)
    tls = parts.scheme == "https"
    target = Target(
        parts.hostname or "", parts.port or (443 if tls else 80), tls, device.username, device.password, ptz.profile,
    )  # fmt: skip
    return OnvifHead(target, Spaces(ptz.pan_deg, ptz.tilt_deg, ptz.zoom_most or 1.0))


def mount_of(device: CameraDevice) -> Mount:
    """As configured."""
    assert device.pose is not None  # noqa: S101 - a camera that turns has one
    assert device.ptz is not None  # noqa: S101 - asked before
    return Mount(pose_of(device.pose), device.ptz.speed_deg_per_s)
