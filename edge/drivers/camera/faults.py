"""A camera whose pictures come and cannot be judged, by a mistake that somebody has to mend: said once, and once when it is over."""

from __future__ import annotations

from edge.vision.pipeline.health import FAILED, CameraHealth
from edge.vision.sources.damage import FIX, HABITS
from edge.vision.sources.source import Reject
from tocsin.sdk import DriverContext

_TEXTS = {
    FAILED: "the model fails at its pictures",
    Reject.EIGHT_BIT.value: "its pictures have 8 bits and tell no temperature; kelvin_per_count is for 16 bits",
    Reject.SIXTEEN_BIT.value: "its pictures have 16 bits, and kelvin_per_count is not set",
}
_TAKEN = (
    "{habit}; they are whole, and are taken until one comes that is as it should be: {fix}",
    "{habit}；画面完整，在收到符合标准的图片之前照常采用：{fix}",
)
_REFUSED = (
    "a JPEG came that is as it should be: those that are not are refused until the next start",
    "已收到符合标准的 JPEG：不符合标准的图片在下次启动前不再采用",
)


class Faults:
    """Of the cameras of one driver. What passes by itself, such as darkness, stands in the readings alone."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._told: dict[str, str] = {}
        self._suspect: dict[str, str] = {}

    async def tell(self, health: CameraHealth) -> None:
        """`camera.not-judged` with the reason, `camera.judged` when its pictures are judged again; likewise `camera.suspect`, `camera.to-standard`."""
        await self._tell_suspect(health)
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

    async def _tell_suspect(self, health: CameraHealth) -> None:
        camera, suspect = health.camera, health.suspect
        before = self._suspect.get(camera, "")
        if suspect is not None and suspect.value != before:
            self._suspect[camera] = suspect.value
            habit = HABITS[suspect]
            en, zh = (t.format(habit=habit[i], fix=FIX[i]) for i, t in enumerate(_TAKEN))
            await self._say("camera.suspect", camera, (en, zh), suspect.value)
        elif suspect is None and before:
            del self._suspect[camera]
            await self._say("camera.to-standard", camera, _REFUSED, before)

    async def _say(self, kind: str, camera: str, text: tuple[str, str], reason: str) -> None:
        self._context.log.warning("camera %s: %s", camera, text[0])
        data: dict[str, object] = {"reason": reason, "en": text[0], "zh": text[1]}
        await self._context.tell(kind, camera, text[0], data)
