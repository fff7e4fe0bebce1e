"""The graph behind a model.toml, tried once with an empty picture: what it gives is what its head reads."""

from __future__ import annotations

import numpy as np

from edge.vision.nn.detector import Detector
from edge.vision.nn.feeds import Feeder
from edge.vision.nn.heads.head import Head, LayoutError
from edge.vision.nn.heads.heat_map import HeatMap
from edge.vision.nn.heads.rt_detr import RtDetr
from edge.vision.nn.heads.yolo import YoloV5, YoloV8, YoloV10, YoloX
from edge.vision.nn.session import Session
from edge.vision.nn.settings import HeadTable, ModelSettings
from tocsin.errors import ModelError, ModelReason


def build(settings: ModelSettings, data: bytes, shown: str, variant: str) -> Detector:
    """Raises:
    ModelError: unreadable, other inputs, or outputs that are not those of the head.
    """
    session = Session(data, shown)
    feeder = Feeder(session, settings, shown)
    detector = Detector(settings, session, feeder, head_of(settings), variant)
    empty = np.zeros((settings.input.height, settings.input.width, 3), np.uint8)
    try:
        detector.detect(empty)
    except LayoutError as exc:
        has = "; ".join(map(str, session.outputs))
        raise ModelError(
            ModelReason.UNKNOWN_HEAD,
            f'{shown} gives {has}; a head of kind "{settings.head.kind}" with {len(settings.classes)} class(es) wants {exc}',
            hint="[head] kind and the number of classes in model.toml must be those of the export",
        ) from exc
    except ModelError as exc:
        raise ModelError(ModelReason.WRONG_SHAPE, exc.message, hint=exc.hint) from exc
    return detector


def head_of(settings: ModelSettings) -> Head:
    """The head that model.toml names."""
    return _head(settings.head, len(settings.classes))


def _head(table: HeadTable, classes: int) -> Head:
    match table.kind:
        case "heat-map":
            return HeatMap(classes, table)
        case "yolov5":
            return YoloV5(classes)
        case "yolov8":
            return YoloV8(classes)
        case "yolov10":
            return YoloV10(classes)
        case "yolox":
            return YoloX(classes, table.decoded)
        case "rt-detr":
            return RtDetr(classes)
