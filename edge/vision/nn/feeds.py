"""Inputs of a graph: the picture as it wants it, and what else it asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.nn.session import Port, Session, dtype_of
from edge.vision.nn.settings import InputTable, ModelSettings
from tocsin.errors import ModelError, ModelReason

_REFERENCE, _SIZE = "reference", "orig_target_sizes"


class Feeder:
    """Knows the inputs of one graph."""

    def __init__(self, session: Session, settings: ModelSettings, shown: str) -> None:
        """Raises:
        ModelError: the graph's inputs are not those that model.toml tells.
        """
        self._table = settings.input
        by_name = {port.name: port for port in session.inputs}
        reference, size = by_name.pop(_REFERENCE, None), by_name.pop(_SIZE, None)
        told = "; ".join(map(str, session.inputs))
        if len(by_name) != 1:
            raise ModelError(
                ModelReason.WRONG_SHAPE,
                f"{shown}: one input for the picture is wanted, with {_REFERENCE} or {_SIZE} at most; it has {told}",
            )
        if (reference is None) != (settings.reference is None):
            here, there = ("an", "no") if reference is not None else ("no", "a")
            raise ModelError(
                ModelReason.WRONG_SHAPE,
                f"{shown} has {here} input {_REFERENCE}, and model.toml has {there} table [{_REFERENCE}]",
            )
        (self._image,) = by_name.values()
        self._reference, self._size = reference, size
        for port in (self._image, reference):
            if port is not None:
                self._check(port, shown)

    def feeds(self, image: Picture, reference: Picture | None) -> dict[str, NDArray[Any]]:
        """For one input picture (height, width, 3) uint8 BGR; no reference is all zeros."""
        out = {self._image.name: as_input(image, self._table, self._image)}
        if self._reference is not None:
            before = np.zeros_like(image) if reference is None else reference
            out[self._reference.name] = as_input(before, self._table, self._reference)
        if self._size is not None:
            height, width = image.shape[:2]
            out[self._size.name] = np.array([[width, height]], dtype_of(self._size) or np.int64)
        return out

    def _check(self, port: Port, shown: str) -> None:
        table = self._table
        wanted_type = "tensor(uint8)" if table.dtype == "uint8" else ("tensor(float)", "tensor(float16)")  # fmt: skip
        if port.type not in wanted_type:
            raise ModelError(
                ModelReason.WRONG_SHAPE,
                f'{shown} takes {port}, and model.toml says dtype = "{table.dtype}"',
                hint="[input] dtype in model.toml must be what the graph takes",
            )
        free = (None, None) if table.fit == "aspect" else (table.height, table.width)
        wanted = (1, *free, 3) if table.layout == "nhwc" else (1, 3, *free)
        fits = len(port.shape) == 4 and all(
            has is None or has == want for has, want in zip(port.shape, wanted, strict=True)
        )
        if not fits:
            asked = ",".join("?" if w is None else str(w) for w in wanted)
            raise ModelError(
                ModelReason.WRONG_SHAPE,
                f"{shown} takes {port}, and model.toml says [{asked}]",
                hint="[input] width, height, layout and fit in model.toml must be what the graph takes",
            )


def as_input(image: Picture, table: InputTable, port: Port) -> NDArray[Any]:
    """One picture as a batch of one, in the type, order and scale that the graph takes."""
    if table.colour == "rgb":
        image = image[:, :, ::-1]
    if table.layout == "nchw":
        image = image.transpose(2, 0, 1)
    if table.dtype == "uint8":
        return np.ascontiguousarray(image[None])
    shape = (1, 1, 1, 3) if table.layout == "nhwc" else (1, 3, 1, 1)
    mean = np.array(table.mean, np.float32).reshape(shape)
    std = np.array(table.std, np.float32).reshape(shape)
    levels = image[None].astype(np.float32, order="C")
    levels *= np.float32(table.scale)
    if mean.any():
        levels -= mean
    if (std != 1).any():
        levels /= std
    return levels.astype(dtype_of(port) or np.float32, copy=False)
