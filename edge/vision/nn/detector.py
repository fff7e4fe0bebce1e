"""A loaded model: from a picture to scores and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.nn import thin, tiles
from edge.vision.nn.feeds import Feeder
from edge.vision.nn.fit import Fitted, Mask, crop, fit
from edge.vision.nn.heads.head import Candidates, Head, LayoutError, ValuesError
from edge.vision.nn.odds import Odds
from edge.vision.nn.session import Arrays, Session
from edge.vision.nn.settings import ModelSettings
from edge.vision.observation import Box
from tocsin.errors import ModelError, ModelReason


class Found(msgspec.Struct, frozen=True):
    """What one model found in one picture."""

    scores: dict[str, float]  # by class, of the whole picture, 0..1
    boxes: tuple[Box, ...] = ()  # px of the whole picture, the best first
    heat: dict[int, float] = {}  # highest score of each tile that was looked at, by its number
    odds: Odds | None = None  # the heat map of the whole picture as it came


class Detector:
    """May be called from many threads at once; holds nothing of any camera (`Sight` does)."""

    def __init__(
        self, settings: ModelSettings, session: Session, feeder: Feeder, head: Head, variant: str
    ) -> None:
        self.settings, self.variant = settings, variant
        self._session, self._feeder, self._head = session, feeder, head

    @property
    def name(self) -> str:
        """As events carry it."""
        return self.settings.name

    @property
    def version(self) -> str:
        """As events carry it."""
        return self.settings.version

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the graph."""
        return self.settings.classes

    def fit(self, picture: Picture) -> Fitted:
        """The whole picture as the model's input."""
        return fit(picture, self.settings.input)

    def detect(
        self,
        picture: Picture,
        reference: Picture | None = None,
        *,
        ignore: Mask | None = None,
        only_tiles: Sequence[int] | None = None,
    ) -> Found:
        """Everything in one picture, (H, W, 3) uint8 BGR.

        `reference` has the picture's shape, or that of its input (`fit`). Where `ignore` (H, W) is True nothing counts.
        `only_tiles` are numbers of `tiles.places`, for models with tiles; None: all of them.

        Raises:
            ModelError: the graph failed.
        """
        fitted = self.fit(picture)
        return self.detect_fitted(picture, fitted, reference, ignore=ignore, only_tiles=only_tiles)

    def detect_fitted(
        self,
        picture: Picture,
        fitted: Fitted,
        reference: Picture | None = None,
        *,
        ignore: Mask | None = None,
        only_tiles: Sequence[int] | None = None,
        usual: Odds | None = None,
    ) -> Found:
        """Like `detect`, for a picture whose `fit` the caller keeps; what is no hotter than `usual` there does not count."""
        whole_reference = None if reference is None else self._like(reference, fitted)
        found = [self._candidates(fitted, whole_reference, ignore, usual)]
        heat: dict[int, float] = {}
        for number, piece in self._pieces(picture, only_tiles):
            before = self._piece_of(reference, picture, piece)
            found.append(self._candidates(piece, before, ignore))
            heat[number] = float(_whole(found[-1], len(self.classes)).max())
        return self._found(found, heat)

    def _pieces(self, picture: Picture, only: Sequence[int] | None) -> list[tuple[int, Fitted]]:
        table = self.settings.input
        if table.fit != "tile":
            return []
        places = tiles.places(picture.shape[1], picture.shape[0], table)
        numbers = range(len(places)) if only is None else only
        return [(i, crop(picture, *places[i], table)) for i in numbers]

    def _piece_of(
        self, reference: Picture | None, picture: Picture, piece: Fitted
    ) -> Picture | None:
        if reference is None or reference.shape != picture.shape:
            return None
        return crop(reference, round(-piece.left), round(-piece.top), self.settings.input).image

    def _like(self, reference: Picture, fitted: Fitted) -> Picture:
        """The reference as an input."""
        if reference.shape == fitted.image.shape:
            return reference
        if reference.shape[:2] != (fitted.height, fitted.width):
            raise ValueError("the reference has neither the picture's shape nor that of its input")
        return self.fit(reference).image

    def _candidates(
        self,
        fitted: Fitted,
        reference: Picture | None,
        ignore: Mask | None,
        usual: Odds | None = None,
    ) -> Candidates:
        """Boxes in px of the whole picture."""
        outputs = self._session.run(self._feeder.feeds(fitted.image, reference))
        read = self._read(outputs, fitted, ignore, usual)
        boxes = fitted.to_picture(read.boxes)
        real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        real &= thin.counted(boxes, ignore)
        return Candidates(boxes[real], read.scores[real], read.labels[real], read.whole, read.odds)

    def _read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None
    ) -> Candidates:
        """What means nothing is a failed look: dropped, it would be a picture with nothing in it."""
        shown, settings = self._session.shown, self.settings
        try:
            _check_numbers(outputs)
            read = self._head.read(outputs, fitted, ignore, usual)
            if not np.isfinite(read.boxes).all():
                raise ValuesError("boxes without an end")
        except LayoutError as exc:
            has = "; ".join(map(str, self._session.outputs))
            raise ModelError(
                ModelReason.UNKNOWN_HEAD,
                f'{shown} gives {has}; a head of kind "{settings.head.kind}" with {len(self.classes)} class(es) wants {exc}',
                hint="[head] kind and the number of classes in model.toml must be those of the export",
            ) from exc
        except ValuesError as exc:
            raise ModelError(
                ModelReason.WRONG_VALUES,
                f"{shown} gives {exc}",
                hint=exc.hint
                or "export it with its sigmoid, in 32-bit floats, with the scale, mean and std of [input] as it was trained with",
            ) from exc
        return read

    def _found(self, parts: list[Candidates], heat: dict[int, float]) -> Found:
        head = self.settings.head
        whole = np.max([_whole(part, len(self.classes)) for part in parts], axis=0)
        boxes, scores, labels = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("boxes", "scores", "labels")
        )
        iou = head.iou if self._head.suppresses or len(parts) > 1 else None
        kept = thin.best(boxes, scores, labels, head.threshold, iou)
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        if len(parts) > 1:
            boxes, scores, labels = thin.joined(boxes, scores, labels)
        order = np.argsort(-scores, kind="stable")[: head.max_boxes]
        return Found(
            {name: float(score) for name, score in zip(self.classes, whole, strict=True)},
            tuple(self._box(boxes[i], scores[i], labels[i]) for i in order),
            heat,
            parts[0].odds,
        )

    def _box(self, box: NDArray[np.float32], score: np.float32, label: np.intp) -> Box:
        x1, y1, x2, y2 = (float(v) for v in box)
        return Box(self.classes[label], float(score), x1, y1, x2 - x1, y2 - y1)


def _check_numbers(outputs: Arrays) -> None:
    """Raises:
    LayoutError, ValuesError: not arrays of numbers.
    """
    for name, array in outputs.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise LayoutError(f"arrays of numbers, and {name} is none")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValuesError(f"NaN (not a number) in its output {name}")


def _whole(part: Candidates, classes: int) -> NDArray[np.float32]:
    """(classes,) scores of the whole input."""
    if part.whole is not None:
        return part.whole
    out = np.zeros(classes, np.float32)
    np.maximum.at(out, part.labels, part.scores)
    return out
