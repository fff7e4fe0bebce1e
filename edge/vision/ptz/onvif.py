"""A camera's head over ONVIF (PTZ service, GetStatus)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.vision.pose import Turned
from edge.vision.ptz.head import Answer
from tocsin.config import Secret
from tocsin.errors import DriverReason, LinkError, MissingExtraError

if TYPE_CHECKING:
    from edge.onvif.link import OnvifLink

T = TypeVar("T")

_DEGREES = "SphericalPositionSpaceDegrees"


class Target(msgspec.Struct, frozen=True):
    """Which camera."""

    host: str
    port: int = 80
    tls: bool = False
    username: str | None = None
    password: Secret | None = None
    profile: str | None = None
    timeout_s: float = 4.0
    device: str = ""

    @property
    def address(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


class Spaces(msgspec.Struct, frozen=True):
    """What the generic spaces mean at this camera: -1 and 1 of pan (clockwise) and of tilt (up), in degrees; 1 of zoom, times."""

    pan_deg: tuple[float, float] = (-180.0, 180.0)
    tilt_deg: tuple[float, float] = (-90.0, 90.0)
    zoom_most: float = 1.0


class OnvifHead:
    """Its conversation needs an event loop: it has one of its own."""

    def __init__(self, target: Target, spaces: Spaces) -> None:
        self._target, self._spaces = target, spaces
        self._runner: asyncio.Runner | None = None
        self._link: OnvifLink | None = None
        self._task: asyncio.Task[Any] | None = None

    def ask(self) -> Answer:
        """Finds the service the first time.

        Raises:
            DriverError: with the reason.
            MissingExtraError: `tocsin[onvif]` is not installed.
        """
        try:
            from edge.onvif.link import OnvifLink
            from edge.onvif.status import told
        except ModuleNotFoundError as exc:
            raise MissingExtraError("onvif", exc.name or "onvif") from exc
        if self._runner is None or self._link is None:
            self._runner, self._link = asyncio.Runner(), OnvifLink(self._target)
            self._within(self._runner, self._link.open())
        status = self._within(self._runner, self._link.status())
        pan, tilt, zoom, moving = told(status)
        if pan is None or tilt is None:
            text = f"{self._target.address}: PTZ status without a position"
            raise LinkError(DriverReason.GARBAGE, text, hint="does it tell where it looks?")
        return Answer(self._turned(pan, tilt, zoom, _space(status)), moving)

    def _within(self, runner: asyncio.Runner, work: Coroutine[Any, Any, T]) -> T:
        async def named() -> T:
            self._task = asyncio.current_task()
            return await work

        try:
            return runner.run(named())
        except asyncio.CancelledError:
            raise LinkError(DriverReason.CLOSED, f"{self._target.address}: ended") from None

    def end(self) -> None:
        """The question under way fails at once."""
        task = self._task
        if task is not None:
            with suppress(RuntimeError):  # its loop is over
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _turned(self, pan: float, tilt: float, zoom: float | None, space: str) -> Turned:
        spaces = self._spaces
        if not space.endswith(_DEGREES):
            pan, tilt = _along(spaces.pan_deg, pan), _along(spaces.tilt_deg, tilt)
        share = min(1.0, max(0.0, zoom or 0.0))
        return Turned(pan, tilt, 1.0 + (spaces.zoom_most - 1.0) * share)

    def close(self) -> None:
        """Ends the connection and the loop."""
        runner, self._runner = self._runner, None
        link, self._link = self._link, None
        if runner is not None:
            try:
                if link is not None:
                    runner.run(link.close())
            finally:
                runner.close()


def _along(ends: tuple[float, float], x: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * (x + 1.0) / 2.0


def _space(status: Any) -> str:
    position = getattr(getattr(status, "Position", None), "PanTilt", None)
    return str(getattr(position, "space", None) or "")
