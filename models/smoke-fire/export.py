"""From a trained network to the files that are shipped: ONNX, its 8-bit variant, model.toml."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from data import INPUT, Item
from network import CLASSES, STRIDE, Graph, Net
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_OPSET = 17
_LARGE = 256  # values of a weight
_WIDTH, _HEIGHT = 640, 480  # of what a running camera is looked at; the graph takes any


def write_onnx(nets: Sequence[Net], path: Path) -> None:
    """The graph of the contract, any height and width that are multiples of 16. Large weights are stored in half precision, and are floats once loaded."""
    graph = Graph(nets).eval()
    example = torch.zeros(1, 96, 128, 3, dtype=torch.uint8)
    sizes = {1: "height", 2: "width"}
    torch.onnx.export(
        graph,
        (example, example),
        str(path),
        input_names=["image", "reference"],
        output_names=["heat", "score"],
        dynamic_axes={"image": sizes, "reference": sizes, "heat": {2: "rows", 3: "columns"}},
        opset_version=_OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _store_in_halves(model.graph)
    onnx.save(model, str(path))
    onnx.checker.check_model(str(path), full_check=True)


def _store_in_halves(graph: onnx.GraphProto) -> None:
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= _LARGE:
            name = weight.name
            stored = f"{name}.half"
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            cast = helper.make_node("Cast", [stored], [name], name, to=onnx.TensorProto.FLOAT)
            graph.node.insert(0, cast)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, items: Iterable[Item]) -> None:
        self._left = iter(items)

    def get_next(self) -> dict[str, np.ndarray] | None:
        item = next(self._left, None)
        if item is None:
            return None
        before = np.zeros_like(item.picture) if item.reference is None else item.reference
        return {"image": np.array(item.picture[None]), "reference": np.array(before[None])}


def write_int8(full: Path, path: Path, items: Sequence[Item], seed: int) -> None:
    """Convolutions in 8 bits, weights by channel; ranges from 48 pictures of one shape. What prepares the pictures stays in float."""
    chosen = [i for i in items if i.picture.shape[:2] == (INPUT.height, INPUT.width)]
    order = np.random.default_rng(seed).permutation(len(chosen))[:48]
    ready = path.with_suffix(".ready.onnx")
    quant_pre_process(str(full), str(ready), skip_symbolic_shape=True)
    try:
        quantize_static(
            str(ready),
            str(path),
            _Pictures([chosen[i] for i in order]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Relu"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(ready),
        )
    finally:
        ready.unlink()


def _kept_in_float(path: Path) -> list[str]:
    """What prepares the pictures, the first convolutions (their inputs have unlike ranges) and the last, which give log-odds, with all that follows."""
    graph = onnx.load(str(path)).graph
    pixels, odds = {"image", "reference"}, {"heat", "score"}
    kept = []
    for node in graph.node:
        if pixels & set(node.input):
            kept.append(node.name)
            if node.op_type != "Conv":
                pixels |= set(node.output)
    for node in reversed(graph.node):
        if odds & set(node.output):
            kept.append(node.name)
            if node.op_type != "Conv":
                odds |= set(node.input)
    return kept


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_settings(folder: Path, version: str, metrics: str) -> None:
    """model.toml beside the two graphs. `metrics` is TOML."""
    names = ", ".join(f'"{c}"' for c in CLASSES)
    text = f"""\
schema = 1
name = "smoke-fire"
version = "{version}"
file = "smoke-fire.onnx"
sha256 = "{sha256(folder / "smoke-fire.onnx")}"
licence = "Apache-2.0; see CARD.md for the pictures it was trained on"
classes = [{names}]

[input]
width = {_WIDTH}
height = {_HEIGHT}
layout = "nhwc"
dtype = "uint8"
colour = "bgr"
fit = "aspect"

[head]
kind = "heat-map"
stride = {STRIDE}
threshold = 0.3
hottest = 8

[reference]
back = [4, 60]

[int8]
file = "smoke-fire-int8.onnx"
sha256 = "{sha256(folder / "smoke-fire-int8.onnx")}"

[calibration]
floor = 0.5

{metrics}"""
    (folder / "model.toml").write_text(text, "utf-8")
