"""model.toml: which network a folder holds, what it is fed and what its outputs mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.config import Loaded, Mistake, MistakesError, load

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")]
Label = Annotated[str, Field(min_length=1, max_length=64)]
Three = tuple[float, float, float]

FILE = "model.toml"
_ONLY_HEAT = ("hottest", "score", "boxes", "stride")
_IN_A_UNIT = ("yolov5", "yolov8", "yolov10", "yolox")
_ONLY_FLOAT = ("scale", "mean", "std")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputTable(_Table):
    """What the network is fed."""

    width: int = Field(ge=32, le=4096, description="Width of the input, px.")
    height: int = Field(ge=32, le=4096, description="Height of the input, px.")
    layout: Literal["nhwc", "nchw"] = Field(
        default="nchw", description="Order of the input's axes: rows last, or colours first."
    )
    dtype: Literal["uint8", "float32"] = Field(
        default="float32", description="Type of the input's numbers."
    )
    colour: Literal["bgr", "rgb"] = Field(default="rgb", description="Order of the colours.")
    fit: Literal["letterbox", "stretch", "aspect", "tile"] = Field(
        default="letterbox",
        description="How a picture of another size comes in: whole with a margin (letterbox); distorted (stretch); in its own"
        " shape, with about width x height px in all (aspect, the graph must take any size); or whole, and again in pieces at"
        " its own resolution (tile).",
    )
    anchor: Literal["centre", "top-left"] = Field(
        default="centre", description="Where a letterboxed picture lies."
    )
    margin: int = Field(default=114, ge=0, le=255, description="Grey level of the margin.")
    multiple: int = Field(
        default=32, ge=1, le=128, description='Sides are multiples of this, for fit = "aspect", px.'
    )
    overlap: int = Field(
        default=64, ge=0, le=1024, description='Overlap of tiles, for fit = "tile", px.'
    )
    tiles_per_frame: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="So many tiles of a camera's frame are looked at, the hottest first, then in turn.",
    )
    scale: float = Field(
        default=1 / 255,
        gt=0,
        description="A float input is (level * scale - mean) / std; YOLOX takes 1.",
    )
    mean: Three = Field(default=(0.0, 0.0, 0.0), description="See scale; in the order of colour.")
    std: Three = Field(default=(1.0, 1.0, 1.0), description="See scale; in the order of colour.")

    @model_validator(mode="after")
    def _holds(self) -> InputTable:
        mistakes = list(self._mistakes())
        if mistakes:
            raise MistakesError(mistakes)
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        for key in _ONLY_FLOAT:
            if self.dtype == "uint8" and key in self.model_fields_set:
                yield Mistake((key,), 'goes with dtype = "float32" only')
        if min(self.std) <= 0:
            yield Mistake(("std",), "above 0")
        if self.overlap * 2 >= min(self.width, self.height):
            yield Mistake(("overlap",), "less than half of width and height")


class HeadTable(_Table):
    """What the network's outputs mean."""

    kind: Literal["heat-map", "yolov5", "yolov8", "yolov10", "yolox", "rt-detr"] = Field(
        description="Family of the export; YOLO11 and YOLO12 are of the kind yolov8."
    )
    threshold: float = Field(
        default=0.25, gt=0, lt=1, description="Least score of a box (and heat of its cells)."
    )
    iou: float = Field(
        default=0.45,
        gt=0,
        le=1,
        description="Of boxes of a class that overlap more, the best stays.",
    )
    max_boxes: int = Field(
        default=100, ge=1, le=1000, description="At most so many boxes a picture, the best."
    )
    stride: int = Field(default=8, ge=1, le=64, description="Side of a heat map's cell, input px.")
    score: Literal["hottest", "graph"] = Field(
        default="hottest",
        description="Score of a whole picture: mean of its hottest cells, or the graph's output `score`.",
    )
    hottest: int = Field(default=8, ge=1, le=1000, description="How many hottest cells.")
    boxes: Literal["components", "centres"] = Field(
        default="components",
        description="Boxes of a heat map: around connected hot cells, or of the graph's output `size` at each peak.",
    )
    decoded: bool = Field(
        default=False, description="A YOLOX graph that turns its grid into px itself."
    )
    unit: Literal["px", "shares"] = Field(
        default="px",
        description="A YOLO graph tells its boxes in px of the input, or in shares of it (0 to 1).",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> HeadTable:
        told = self.model_fields_set
        wrong = [k for k in _ONLY_HEAT if k in told and self.kind != "heat-map"]
        mistakes = [Mistake((k,), 'goes with kind = "heat-map" only') for k in wrong]
        if "decoded" in told and self.kind != "yolox":
            mistakes.append(Mistake(("decoded",), 'goes with kind = "yolox" only'))
        if "unit" in told and self.kind not in _IN_A_UNIT:
            mistakes.append(Mistake(("unit",), f"goes with the kinds {', '.join(_IN_A_UNIT)} only"))
        if self.unit == "shares" and self.kind == "yolox" and not self.decoded:
            mistakes.append(Mistake(("unit",), '"shares" goes with decoded = true'))
        if mistakes:
            raise MistakesError(mistakes)
        return self


class ReferenceTable(_Table):
    """The second picture of a heat-map network: what this camera saw before."""

    back: tuple[int, int] = Field(
        default=(4, 60),
        description="Of the frames so many frames back, the nearest first, the median of the three most like the present one.",
    )
    every_s: float = Field(
        default=0.0, ge=0, description="Only frames so far apart count, seconds; 0: every frame."
    )

    @model_validator(mode="after")
    def _looks_back(self) -> ReferenceTable:
        near, far = self.back
        if not 1 <= near <= far <= 1000:
            raise MistakesError(
                [Mistake(("back",), "two numbers from 1 to 1000, the nearer first")]
            )
        return self


class CalibrationTable(_Table):
    """How the threshold of a picture's score is learned at a camera, from what it scores while nothing burns."""

    share: float = Field(
        default=0.005, gt=0, lt=1, description="Share of quiet frames that may exceed it."
    )
    floor: float = Field(default=0.05, ge=0, lt=1, description="No threshold below it.")
    margin: float = Field(
        default=0.02, ge=0, lt=1, description="So much above what the quiet scores tell."
    )
    start: float = Field(
        default=0.5, gt=0, lt=1, description="Threshold at a camera that was not seen long enough."
    )


class VariantTable(_Table):
    """The same network in smaller numbers."""

    file: FileName = Field(description="ONNX file beside model.toml.")
    sha256: Sha256 = Field(description="Its SHA-256.")


class ModelSettings(_Table):
    """A model."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this file's form.")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = Field(
        description="Name of the model; events carry it."
    )
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,40}$")] = Field(
        description="Version of the weights; events carry it."
    )
    file: FileName = Field(description="ONNX file beside model.toml.")
    sha256: Sha256 = Field(description="Its SHA-256; another file is not loaded.")
    licence: str = Field(min_length=1, max_length=200, description="Licence of the weights.")
    classes: tuple[Label, ...] = Field(
        min_length=1,
        max_length=1000,
        description="Names of the classes, in the order of the graph.",
    )
    input: InputTable
    head: HeadTable
    reference: ReferenceTable | None = Field(
        default=None, description="Given for a graph that takes a reference."
    )
    calibration: CalibrationTable = Field(
        default=CalibrationTable(), description="How thresholds are learned with this model."
    )
    int8: VariantTable | None = Field(
        default=None, description="8-bit variant, taken where the processor is faster with it."
    )
    metrics: dict[str, Any] = Field(
        default_factory=dict, description="What was measured, and on which split. For people."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> ModelSettings:
        mistakes = list(self._mistakes())
        if mistakes:
            raise MistakesError(mistakes)
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        if len(set(self.classes)) < len(self.classes):
            yield Mistake(("classes",), "each name once")
        if self.reference is not None and self.head.kind != "heat-map":
            yield Mistake(("reference",), 'goes with [head] kind = "heat-map" only')
        for side in ("width", "height"):
            if self.head.kind == "heat-map" and getattr(self.input, side) % self.head.stride:
                yield Mistake(("input", side), f"a multiple of {self.head.stride} ([head] stride)")


def load_model_file(path: Path) -> Loaded[ModelSettings]:
    """Read a model.toml; the files it names are not looked at.

    Raises:
        ConfigError: with every mistake.
    """
    return load(path, ModelSettings)
