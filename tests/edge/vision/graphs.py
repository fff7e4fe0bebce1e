"""ONNX graphs with known answers: they look for red and blue rectangles in what they are really fed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

UINT8, FLOAT, INT64 = TensorProto.UINT8, TensorProto.FLOAT, TensorProto.INT64
SCORES = (0.9, 0.8, 0.7, 0.1)  # red, red again a little aside, blue, red far too weak


class Graph:
    """Nodes in the order they are added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, kind: int, shape: Sequence[int | None]) -> str:
        """An input; None is any length."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def output(self, tensor: str, name: str, kind: int, shape: Sequence[int | None]) -> None:
        """An output."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def bytes(self) -> bytes:
        """The file."""
        graph = helper.make_graph(
            self._nodes, "g", self._inputs, self._outputs, initializer=self._constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def heat_graph(
    *,
    score: bool = False,
    size: tuple[float, float] | None = None,
    gain: float = 1.0,
    fails: bool = False,
    at_full_light: float | None = None,
    classes: int = 2,
) -> bytes:
    """Two classes (more: all others are fire, too): smoke is what got brighter since the reference (none: nothing is), fire is what is red and not blue.

    `fails`: on every picture with full light (255) in it; `at_full_light` is the gain there, and nothing keeps its heat within 0..1.
    """
    g = Graph()
    planes = []
    for name in ("image", "reference"):
        pixels = g.op("Cast", g.input(name, UINT8, (1, None, None, 3)), to=FLOAT)
        planes.append(g.op("Transpose", pixels, perm=[0, 3, 1, 2]))
    now, before = planes
    channels = [_channel(g, now, c) for c in range(3)]
    known = g.op("Cast", g.op("Greater", g.op("ReduceMax", before, keepdims=1), g.const(0.0)), to=FLOAT)  # fmt: skip
    brighter = g.op("Mul", g.op("Sub", channels[1], _channel(g, before, 1)), known)
    red = g.op("Sub", channels[2], channels[0])
    both = g.op(
        "Div",
        g.op("Relu", g.op("Concat", brighter, *[red] * (classes - 1), axis=1)),
        g.const(255.0),
    )
    heat = g.op("AveragePool", both, kernel_shape=[8, 8], strides=[8, 8])
    if fails or at_full_light is not None:
        brightest = g.op("Cast", g.op("ReduceMax", now, keepdims=0), to=INT64)
        last = [] if at_full_light is None else [at_full_light]
        gain_now = g.op("Gather", g.const([gain] * 255 + last), brightest)
    else:
        gain_now = g.const(gain)
    heat = g.op("Mul", heat, gain_now)
    if at_full_light is None:
        heat = g.op("Clip", heat, g.const(0.0), g.const(1.0))
    g.output(heat, "heat", FLOAT, (1, classes, None, None))
    if score:
        g.output(g.op("ReduceMax", heat, axes=[2, 3], keepdims=0), "score", FLOAT, (1, classes))
    if size is not None:
        zero = g.op("Mul", heat, g.const(0.0))
        told = g.op("Add", zero, g.const(np.array(size).reshape(1, 2, 1, 1)))
        g.output(told, "size", FLOAT, (1, 2, None, None))
    return g.bytes()


def box_graph(
    kind: str,
    width: int,
    height: int,
    *,
    bgr: bool = False,
    top: float = 1.0,
    shares: bool = False,
    dim: float = 1.0,
) -> bytes:
    """Two classes, red and blue rectangles; the outputs are those of `kind`. `top` is the level of full light.

    `shares`: boxes in shares of the input. `dim`: boxes are so many times as large in a picture where nothing is in full light.
    """
    g = Graph()
    picture = g.input("images", FLOAT, (1, 3, height, width))
    light = g.op("Div", picture, g.const(top))
    red, blue = (_channel(g, light, i) for i in ((2, 0) if bgr else (0, 2)))
    first = _bounds(g, red, blue, width, height)
    second = _bounds(g, blue, red, width, height)
    aside = g.op("Add", first, g.const([[2, 2, 2, 2]]))
    xyxy = g.op("Concat", first, aside, second, first, axis=0)  # [4, 4]
    low, high = (g.op("Slice", xyxy, _ints(g, [a]), _ints(g, [a + 2]), _ints(g, [1])) for a in (0, 2))  # fmt: skip
    rows = g.op(
        "Concat",
        g.op("Div", g.op("Add", low, high), g.const(2.0)),
        g.op("Sub", high, low),
        axis=1,
    )
    if shares:
        side = g.const([[width, height, width, height]])
        xyxy, rows = g.op("Div", xyxy, side), g.op("Div", rows, side)
    if dim != 1:
        full = g.op("Greater", g.op("ReduceMax", light, keepdims=0), g.const(0.95))
        lit = g.op("Where", full, g.const(1.0), g.const(dim))
        xyxy, rows = g.op("Mul", xyxy, lit), g.op("Mul", rows, lit)
    by_class = [[SCORES[0], 0], [SCORES[1], 0], [0, SCORES[2]], [SCORES[3], 0]]
    _outputs(g, kind, xyxy, rows, by_class, width, height)
    return g.bytes()


def lone_graph(width: int, height: int) -> bytes:
    """YOLOv10 with one box in shares of the input, around what is in full light; zeros where nothing is."""
    g = Graph()
    picture = g.input("images", FLOAT, (1, 3, height, width))
    light = g.op("Mul", g.op("Sub", _channel(g, picture, 1), g.const(0.95)), g.const(20.0))
    box = _bounds(g, light, g.const(0.0), width, height)
    shares = g.op("Div", box, g.const([[width, height, width, height]]))
    row = g.op("Concat", shares, g.const([[0.9, 0.0]]), axis=1)
    full = g.op("Greater", g.op("ReduceMax", light, keepdims=0), g.const(0.6))
    told = g.op("Where", full, row, g.const(0.0))
    g.output(g.op("Unsqueeze", told, _ints(g, [0])), "output0", FLOAT, (1, 1, 6))
    return g.bytes()


def told_graph(*, lit: bool = False, **outputs: Any) -> bytes:
    """Takes [1, 3, 256, 320] and gives these arrays by name, whatever it sees; `lit`: zeros where nothing is in full light."""
    g = Graph()
    picture = g.input("images", FLOAT, (1, 3, 256, 320))
    nothing = g.op("Mul", g.op("ReduceMean", picture, keepdims=0), g.const(0.0))
    for name, value in outputs.items():
        array = np.array(value, np.float32)
        told = g.op("Add", g.const(array), nothing)
        if lit:
            full = g.op("Greater", g.op("ReduceMax", picture, keepdims=0), g.const(0.95))
            told = g.op("Where", full, told, g.const(0.0))
        g.output(told, name, FLOAT, array.shape)
    return g.bytes()


def write_model(folder: Path, data: bytes, settings: str, name: str = "trial") -> Path:
    """A model's folder; `settings` is what follows the head of its model.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(data)
    head = (
        f'schema = 1\nname = "{name}"\nversion = "1"\nfile = "{name}.onnx"\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\nlicence = "Apache-2.0"\n'
    )
    (folder / "model.toml").write_text(head + settings)
    return folder


HEAT_SETTINGS = """classes = ["smoke", "fire"]
[input]
width = 320
height = 256
layout = "nhwc"
dtype = "uint8"
colour = "bgr"
[head]
kind = "heat-map"
threshold = 0.4
[reference]
back = [1, 3]
"""


def _channel(g: Graph, tensor: str, number: int) -> str:
    return g.op("Slice", tensor, _ints(g, [number]), _ints(g, [number + 1]), _ints(g, [1]))


def _ints(g: Graph, values: Any) -> str:
    return g.const(values, np.int64)


def _bounds(g: Graph, yes: str, no: str, width: int, height: int) -> str:
    """[1, 4] x1 y1 x2 y2 of where `yes` is bright and `no` is not."""
    bright = g.op("And", g.op("Greater", yes, g.const(0.6)), g.op("Less", no, g.const(0.4)))
    mask = g.op("Cast", bright, to=FLOAT)
    found = []
    for axes, length in (([0, 1, 2], width), ([0, 1, 3], height)):
        line = g.op("ReduceMax", mask, axes=axes, keepdims=0)
        back = g.op("Slice", line, _ints(g, [-1]), _ints(g, [-length - 1]), _ints(g, [0]), _ints(g, [-1]))  # fmt: skip
        start = g.op("Cast", g.op("ArgMax", line, axis=0, keepdims=1), to=FLOAT)
        left = g.op("Cast", g.op("ArgMax", back, axis=0, keepdims=1), to=FLOAT)
        found.append((start, g.op("Sub", g.const([float(length)]), left)))
    (x1, x2), (y1, y2) = found
    return g.op("Unsqueeze", g.op("Concat", x1, y1, x2, y2, axis=0), _ints(g, [0]))


def _outputs(
    g: Graph, kind: str, xyxy: str, rows: str, scores: Any, width: int, height: int
) -> None:
    def batch(tensor: str) -> str:
        return g.op("Unsqueeze", tensor, _ints(g, [0]))

    classes = g.const(scores)
    side = g.const([[width, height, width, height]])
    match kind:
        case "yolov5":  # object 0.9, so that the product is the score
            told = g.op("Concat", rows, g.const([[0.9]] * 4), g.const(np.array(scores) / 0.9), axis=1)  # fmt: skip
            g.output(batch(told), "output0", FLOAT, (1, 4, 7))
        case "yolov8":
            told = g.op("Transpose", g.op("Concat", rows, classes, axis=1), perm=[1, 0])
            g.output(batch(told), "output0", FLOAT, (1, 6, 4))
        case "yolov10":
            ends = g.const([[s, float(c)] for s, c in zip(SCORES, (0, 0, 1, 0), strict=True)])
            g.output(batch(g.op("Concat", xyxy, ends, axis=1)), "output0", FLOAT, (1, 4, 6))
        case "yolox decoded":
            told = g.op("Concat", rows, g.const([[1.0]] * 4), classes, axis=1)
            g.output(batch(told), "output", FLOAT, (1, 4, 7))
        case "yolox":
            g.output(batch(_grid(g, rows, scores, width, height)), "output", FLOAT, (1, None, 7))  # fmt: skip
        case "rt-detr":
            told = g.op("Concat", g.op("Div", rows, side), classes, axis=1)
            g.output(batch(told), "output0", FLOAT, (1, 4, 6))
        case "rt-detr logits":
            probable = np.clip(np.array(scores), 1e-6, 1 - 1e-6)
            g.output(batch(g.const(np.log(probable / (1 - probable)))), "logits", FLOAT, (1, 4, 2))
            g.output(batch(g.op("Div", rows, side)), "pred_boxes", FLOAT, (1, 4, 4))
        case "rt-detr labels":
            size = g.op("Cast", g.input("orig_target_sizes", INT64, (1, 2)), to=FLOAT)
            twice = g.op("Concat", size, size, axis=1)
            g.output(g.const([[0, 0, 1, 0]], np.int64), "labels", INT64, (1, 4))
            g.output(batch(g.op("Mul", g.op("Div", xyxy, side), twice)), "boxes", FLOAT, (1, 4, 4))
            g.output(g.const([SCORES]), "scores", FLOAT, (1, 4))


def _grid(g: Graph, rows: str, scores: Any, width: int, height: int) -> str:
    """The four boxes as four cells of stride 16 would tell them, and nothing in all others."""
    before = (width // 8) * (height // 8)
    after = (width // 16) * (height // 16) + (width // 32) * (height // 32) - 4
    cells = g.const([[i % (width // 16), i // (width // 16)] for i in range(4)])
    centre = g.op("Slice", rows, _ints(g, [0]), _ints(g, [2]), _ints(g, [1]))
    size = g.op("Slice", rows, _ints(g, [2]), _ints(g, [4]), _ints(g, [1]))
    offset = g.op("Sub", g.op("Div", centre, g.const(16.0)), cells)
    log = g.op("Log", g.op("Max", g.op("Div", size, g.const(16.0)), g.const(1e-3)))
    told = g.op("Concat", offset, log, g.const([[1.0]] * 4), g.const(scores), axis=1)
    return g.op(
        "Concat", g.const(np.zeros((before, 7))), told, g.const(np.zeros((after, 7))), axis=0
    )
