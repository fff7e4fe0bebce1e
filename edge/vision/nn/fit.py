"""A picture of any size into a network's input, and boxes back."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.nn.settings import InputTable
from edge.vision.opencv import cv2

Mask = NDArray[np.bool_]
"""(H, W) of the whole picture; True where nothing counts."""

Shares = tuple[float, float, float, float]
"""A box: x, y, width, height, shares of the picture from its top left."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """An input and where it comes from: x in the picture lies at `x * scale_x + left` in the input, px."""

    image: Picture  # (height, width, 3) uint8 BGR of the input
    scale_x: float
    scale_y: float
    left: float
    top: float
    width: int  # of the whole picture, px
    height: int

    def to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, 4) boxes x1 y1 x2 y2 of the input as boxes of the picture, cut at its edges."""
        shift = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        return np.asarray(np.clip((boxes - shift) / scale, 0, limit), np.float32)

    def cells(self, box: Shares, stride: int) -> tuple[slice, slice]:
        """Rows and columns of a heat map that a box of the picture touches."""
        x, y, width, height = box
        found = []
        for start, length, side, scale, shift in (
            (y, height, self.height, self.scale_y, self.top),
            (x, width, self.width, self.scale_x, self.left),
        ):
            first = (start * side * scale + shift) / stride
            last = ((start + length) * side * scale + shift) / stride
            found.append(slice(max(0, math.floor(first)), max(0, math.ceil(last))))
        return found[0], found[1]

    def shown(self, rows: int, columns: int, stride: int, ignore: Mask | None) -> Mask:
        """(rows, columns) of a heat map: True where a cell's centre lies in the picture and is not ignored."""
        across = _Centres(columns, stride, self.left, self.scale_x, self.width)
        down = _Centres(rows, stride, self.top, self.scale_y, self.height)
        shown, x, y = _looked_up(across, down)
        return shown if ignore is None else np.asarray(shown & ~ignore[y, x], np.bool_)


class _Centres(NamedTuple):
    """Along one side: how many cells, px of each, where the picture begins, its scale and its px."""

    cells: int
    stride: int
    start: float
    scale: float
    side: int


@functools.lru_cache(maxsize=64)
def _looked_up(across: _Centres, down: _Centres) -> tuple[Mask, NDArray[np.intp], NDArray[np.intp]]:
    """Which cells' centres lie in the picture, and their nearest pixels: the same for all frames of a camera."""
    (xs, inside_x), (ys, inside_y) = _centres(across), _centres(down)
    shown = inside_y[:, None] & inside_x[None, :]
    shown.flags.writeable = False
    return shown, xs[None, :], ys[:, None]


def _centres(of: _Centres) -> tuple[NDArray[np.intp], Mask]:
    at = ((np.arange(of.cells) + 0.5) * of.stride - of.start) / of.scale
    return np.clip(at.astype(int), 0, of.side - 1), (at >= 0) & (at < of.side)


def fit(picture: Picture, table: InputTable) -> Fitted:
    """The whole picture as an input."""
    height, width = picture.shape[:2]
    if table.fit == "stretch":
        return _placed(picture, table.width, table.height)
    if table.fit == "aspect":
        return _placed(picture, *own_shape(width, height, table))
    return _letterboxed(picture, table)


def crop(picture: Picture, x: int, y: int, table: InputTable) -> Fitted:
    """A piece of the picture at its own resolution, with a margin where the picture ends."""
    height, width = picture.shape[:2]
    piece = picture[y : y + table.height, x : x + table.width]
    if piece.shape[:2] != (table.height, table.width):
        whole = _margin(table)
        whole[: piece.shape[0], : piece.shape[1]] = piece
        piece = whole
    return Fitted(np.ascontiguousarray(piece), 1.0, 1.0, -float(x), -float(y), width, height)


def own_shape(width: int, height: int, table: InputTable) -> tuple[int, int]:
    """(width, height) of an input of the picture's shape, with about as many pixels as the table says."""
    ratio = math.sqrt(width / height)
    side = math.sqrt(table.width * table.height)
    longest = 4 * max(table.width, table.height)
    wanted = (side * ratio, side / ratio)
    across, down = (
        min(longest, max(1, round(w / table.multiple)) * table.multiple) for w in wanted
    )
    return across, down


def resize(picture: Picture, width: int, height: int) -> Picture:
    """Without aliasing to speak of, and cheap: halved exactly until it is less than twice too large, then linear.

    By area the last step costs six times as much and the levels differ by half of one.
    """
    while picture.shape[1] >= 2 * width and picture.shape[0] >= 2 * height:
        if picture.shape[1] % 2 or picture.shape[0] % 2:
            break
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def _placed(picture: Picture, width: int, height: int) -> Fitted:
    h, w = picture.shape[:2]
    return Fitted(resize(picture, width, height), width / w, height / h, 0.0, 0.0, w, h)


def _letterboxed(picture: Picture, table: InputTable) -> Fitted:
    height, width = picture.shape[:2]
    scale = min(table.width / width, table.height / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    small = resize(picture, across, down)
    left, top = 0, 0
    if table.anchor == "centre":
        left, top = (table.width - across) // 2, (table.height - down) // 2
    if (across, down) != (table.width, table.height):
        whole = _margin(table)
        whole[top : top + down, left : left + across] = small
        small = whole
    return Fitted(small, across / width, down / height, float(left), float(top), width, height)


def _margin(table: InputTable) -> Picture:
    return np.full((table.height, table.width, 3), table.margin, np.uint8)
