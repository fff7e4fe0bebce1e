"""Looking at frames with one model: what most cameras need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.vision.frame import Frame
from edge.vision.nn.sight import Sight
from edge.vision.observation import Observation
from edge.vision.pipeline.pace import Attention
from edge.vision.pipeline.worker import Looked

if TYPE_CHECKING:
    from edge.vision.nn.detector import Detector
    from edge.vision.nn.slot import Slot


class ModelLook:
    """A `Look` with one model for all cameras; frames of their references are at least `apart_s` apart. `attend` says from an
    observation how closely the camera is worth looking at; by default a box makes it open.
    """

    def __init__(
        self,
        model: Detector | Slot,
        attend: Callable[[Observation], Attention] | None = None,
        *,
        apart_s: float = 2.0,
    ) -> None:
        self._model, self._apart_s = model, apart_s
        self._attend = attend or _boxes_open
        self._sights: dict[str, Sight] = {}

    def __call__(self, frame: Frame) -> Looked:
        """Thermal frames are not a model's.

        Raises:
            ModelError: the graph failed.
        """
        if frame.picture is None:
            return Looked()
        sight = self._sights.get(frame.camera)
        if sight is None:
            sight = self._sights[frame.camera] = Sight(self._model, apart_s=self._apart_s)
        if frame.moved:
            sight.reset()
        found = sight.see(frame.picture, frame.ts_ns, spectrum=frame.spectrum)
        width, height = frame.size
        detector = sight.detector
        observation = Observation(
            frame.camera, frame.index, frame.ts_ns, width, height, found.scores, found.boxes,
            model=detector.name, version=detector.version, spectrum=frame.spectrum,
            quality=frame.quality, moved=frame.moved,
        )  # fmt: skip
        return Looked((observation,), self._attend(observation))


def _boxes_open(observation: Observation) -> Attention:
    return Attention.OPEN if observation.boxes else Attention.IDLE
