"""A camera whose pictures come and cannot be judged, by a mistake that somebody has to mend: said once, and once when it is over."""

from __future__ import annotations

from edge.vision.pipeline.health import FAILED, CameraHealth
from edge.vision.sources.source import Reject
from tocsin.sdk import DriverContext

_TEXTS = {
    FAILED: "the model fails at its pictures",
    Reject.EIGHT_BIT.value: "its pictures have 8 bits and tell no temperature; kelvin_per_count is for 16 bits",
    Reject.SIXTEEN_BIT.value: "its pictures have 16 bits, and kelvin_per_count is not set",
}


class Faults:
    """Of the cameras of one driver. What passes by itself, such as darkness, stands in the readings alone."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._told: dict[str, str] = {}

    async def tell(self, health: CameraHealth) -> None:
        """`camera.not-judged` with the reason, `camera.judged` when its pictures are judged again."""
        camera, reason = health.camera, health.unjudged
        before = self._told.get(camera, "")
        if reason in _TEXTS and reason != before:
            self._told[camera] = reason
            text = ": ".join(filter(None, ("not judged", _TEXTS[reason], health.unjudged_why)))
            self._context.log.error("camera %s: %s", camera, text)
            data: dict[str, object] = {"reason": reason, "why": health.unjudged_why[:1000]}
            await self._context.tell("camera.not-judged", camera, text[:1000], data)
        elif not reason and before:
            del self._told[camera]
            self._context.log.warning("camera %s is judged again", camera)
            await self._context.tell("camera.judged", camera, "judged again", {"reason": before})
