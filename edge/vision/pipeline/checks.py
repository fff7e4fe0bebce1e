"""Whether a picture can be judged. Pure functions of pixels, cheap beside unpacking it."""

from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture

Cells = NDArray[np.float32]
GREY_SHARE = 0.1  # of the rows, from the bottom: what a decoder did not receive
FFC_SPREAD_K = 0.05
_TOO_HOT_C = 0.0  # a pixel beyond the range reads as one of its two ends
_GREY = (112, 144)
_GREEN = (70, 142)  # all zero in Y, Cb and Cr: BT.709 to BT.601, limited and full range
_DARK_LEVEL = 16
_COLUMNS = 64
_PATCHES = (
    192  # across the picture: 10 px of 1080p, so that a light of 20 px fills one wherever it is
)
_LEAST_PATCH_PX = 4  # less is a single pixel's noise
_MOST_CHROMA = 8
_CELL = (
    8,
    16,
)  # wide, high: a decoder without anything to go by repeats what is beside a hole in blocks of 8 px
_LEAST_CELLS = 16  # across: fewer may be alike by chance
_REPEATS, _TEXTURE, _UNLIKE = 0.85, 0.3, 0.2


def is_half_grey(picture: Picture) -> bool:
    """The lower rows are one even mid-grey, or the green of nothing at all (H.265): what decoders leave where nothing arrived."""
    height, width = picture.shape[:2]
    step = max(1, width // _COLUMNS)
    rows = np.ascontiguousarray(
        picture[max(0, height - max(1, round(height * GREY_SHARE))) :, ::step]
    )
    low, high = int(rows.min()), int(rows.max())
    if high - low <= 2:
        return _GREY[0] <= low and high <= _GREY[1]
    if low > 2 or not _GREEN[0] <= high <= _GREEN[1]:
        return False
    lows, highs = rows.min(axis=(0, 1)), rows.max(axis=(0, 1))
    is_even_green = int((highs - lows).max()) <= 2 and int(highs[0]) <= 2 and int(highs[2]) <= 2
    return is_even_green and _GREEN[0] <= int(lows[1]) and int(highs[1]) <= _GREEN[1]


def cells(picture: Picture) -> Cells:
    """Mean green of each cell of 16 x 8 px, for `smeared` and `Holes`."""
    wide, high = _CELL
    down, across = picture.shape[0] // high, picture.shape[1] // wide
    # Half the size first: the exact resize is dear, its half is cheap.
    size = across * wide // 2, down * high // 2
    half = cv2.resize(picture[: down * high, : across * wide], size, interpolation=cv2.INTER_AREA)
    columns = half.reshape(down, high // 2, -1).sum(axis=1, dtype=np.uint16)
    green = columns.reshape(down, across, wide // 2, 3)[:, :, :, 1]
    each = sum(green[:, :, i] for i in range(1, wide // 2)) + green[:, :, 0]
    return np.asarray(each, np.float32) / np.float32(wide * high / 4)


def smeared(rows: Cells) -> NDArray[np.bool_]:
    """Which rows of cells, three or more on end, repeat the one above almost wholly although there is texture along them: H.264's guess at what did not arrive.

    In a real picture, of a fence or a door of bars too, something in the row differs.
    """
    found = np.zeros(len(rows), np.bool_)
    if len(rows) < 3 or rows.shape[1] < _LEAST_CELLS:
        return found
    along = np.abs(np.diff(rows, axis=1))
    middle = along.shape[1] // 2
    texture = np.partition(along, middle, axis=1)[:, middle]
    both = np.minimum(texture[1:], texture[:-1])
    same = np.abs(np.diff(rows, axis=0)) <= _UNLIKE * both[:, None]
    pairs = (both >= _TEXTURE) & (same.mean(axis=1) >= _REPEATS)
    threes = pairs[1:] & pairs[:-1]
    for first in range(3):
        found[first : len(threes) + first] |= threes
    return found


def is_dark(picture: Picture) -> bool:
    """Hardly anything in it is brighter than a black picture with noise, and no small patch is: a flame in the night must be looked at."""
    brightest, _ = _extremes(_sample(picture))
    if _share(brightest >= _DARK_LEVEL) >= 0.01:
        return False
    height, width = picture.shape[:2]
    patch = max(_LEAST_PATCH_PX, width // _PATCHES)
    size = (max(1, width // patch), max(1, height // patch))
    return int(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).max()) < _DARK_LEVEL


def chroma(picture: Picture) -> float:
    """How much colour is in it, 0..8: the mean over its places, of which none counts more than 8, so that a burnt-in line of coloured text does not tell."""
    high, low = _extremes(_sample(picture))
    return float(np.minimum(high - low, _MOST_CHROMA).mean())


def is_shutter(celsius: NDArray[np.float32], valid: NDArray[np.bool_]) -> bool:
    """Even to 0.05 K: a thermal camera that looks at its own shutter (flat-field correction). What is too hot for the range is no shutter."""
    seen = celsius[valid]
    if (celsius[~valid] > _TOO_HOT_C).any():
        return False
    return seen.size == 0 or float(seen.std()) < FFC_SPREAD_K


def fingerprint(raw: NDArray[Any]) -> int:
    """Same for the same pixels, all of them: what changes may be small. A sensor's noise alone makes each picture another."""
    return zlib.crc32(np.ascontiguousarray(raw).data)


def _sample(picture: Picture) -> Picture:
    step = max(1, picture.shape[1] // _COLUMNS)
    return picture[::step, ::step]


def _extremes(picture: Picture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The highest and the lowest of the three levels at each place: along an axis as short as that numpy is slow."""
    blue, green, red = (picture[:, :, i] for i in range(3))
    return np.maximum(np.maximum(blue, green), red), np.minimum(np.minimum(blue, green), red)


def _share(found: NDArray[np.bool_]) -> float:
    return np.count_nonzero(found) / found.size


def thumbnail(picture: Picture) -> NDArray[np.float32]:
    """(90, 160) float32 grey, for `Movement`. Twice the size first: the exact resize is dear, its half is cheap."""
    twice = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(twice, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (160, 90), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def thermal_thumbnail(celsius: NDArray[np.float32]) -> NDArray[np.float32]:
    """(90, 160) float32, for `Movement`; the range of temperatures does not matter."""
    known = np.nan_to_num(celsius, nan=0.0)
    small = cv2.resize(known, (160, 90), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.float32)
