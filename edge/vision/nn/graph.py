"""The graph behind a model.toml, tried on pictures that no camera takes: what it gives is what its head reads."""

from __future__ import annotations

import numpy as np

from edge.vision.nn.detector import Detector
from edge.vision.nn.feeds import Feeder
from edge.vision.nn.heads.head import Head
from edge.vision.nn.heads.heat_map import HeatMap
from edge.vision.nn.heads.rt_detr import RtDetr
from edge.vision.nn.heads.unit import Unit
from edge.vision.nn.heads.yolo import YoloV5, YoloV8, YoloV10, YoloX
from edge.vision.nn.session import Session
from edge.vision.nn.settings import HeadTable, ModelSettings
from tocsin.errors import ModelError, ModelReason


def build(settings: ModelSettings, data: bytes, shown: str, variant: str) -> Detector:
    """Raises:
    ModelError: unreadable, other inputs, or outputs that are not those of the head or mean nothing.
    """
    session = Session(data, shown)
    feeder = Feeder(session, settings, shown)
    unit = Unit(settings.head)
    head = _head(settings.head, len(settings.classes), unit)
    detector = Detector(settings, session, feeder, head, variant)
    shape = (settings.input.height, settings.input.width, 3)
    grey = np.full(shape, 128, np.uint8)
    noise = np.random.default_rng(0).integers(16, 236, shape, dtype=np.uint8)
    try:
        detector.detect(np.zeros(shape, np.uint8))
        detector.detect(grey)
        detector.detect(noise, grey)
    except ModelError as exc:
        if exc.reason is not ModelReason.RUN_FAILED:
            raise
        raise ModelError(ModelReason.WRONG_SHAPE, exc.message, hint=exc.hint) from exc
    unit.tried = True
    return detector


def _head(table: HeadTable, classes: int, unit: Unit) -> Head:
    """The head that model.toml names."""
    match table.kind:
        case "heat-map":
            return HeatMap(classes, table)
        case "yolov5":
            return YoloV5(classes, unit)
        case "yolov8":
            return YoloV8(classes, unit)
        case "yolov10":
            return YoloV10(classes, unit)
        case "yolox":
            return YoloX(classes, table, unit)
        case "rt-detr":
            return RtDetr(classes)
