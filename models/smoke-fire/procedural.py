"""Smoke, flame and what looks like them, made from a seed and laid over real pictures. numpy and OpenCV only.

Everything takes a picture (H, W, 3) uint8 BGR and a numpy Generator, and returns a new picture; `smoke` and `flame` also
return how much of each pixel they cover. Light is added and covered in linear light (gamma about 2), as a lens does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Cover = NDArray[np.float32]
"""(H, W) 0..1."""

_LINEAR = ((np.arange(256) / 255.0) ** 2).astype(np.float32)
_TEXTURES, _SIDE = 24, 256


@lru_cache(maxsize=1)
def _textures() -> NDArray[np.float32]:
    """Fractal noise that tiles, mean 0.5, about 0..1."""
    rng = np.random.default_rng(7)
    out = np.zeros((_TEXTURES, _SIDE, _SIDE), np.float32)
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None, :])
    frequency[0, 0] = 1.0
    for i in range(_TEXTURES):
        phase = np.exp(2j * np.pi * rng.random(frequency.shape))
        made = np.fft.irfft2(phase * frequency ** -rng.uniform(1.4, 2.0), s=(_SIDE, _SIDE))
        made = (made - made.mean()) / made.std()
        out[i] = np.clip(made * 0.22 + 0.5, 0, 1)
    return out


def noise(rng: np.random.Generator, height: int, width: int, size: float) -> Cover:
    """Fractal noise whose largest lumps are about `size` px."""
    texture = _textures()[rng.integers(_TEXTURES)]
    step = _SIDE / 3 / max(size, 3.0)
    turn = rng.uniform(0, 2 * np.pi)
    a, b = step * math.cos(turn), step * math.sin(turn)
    matrix = np.array([[a, -b, rng.uniform(0, _SIDE)], [b, a, rng.uniform(0, _SIDE)]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(texture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)


def _over(picture: Picture, cover: Cover, colour: NDArray[np.float32]) -> Picture:
    """`colour` (3 or H, W, 3; linear light) over the picture."""
    rows, columns = (
        np.nonzero(cover.max(axis=1) > 0.002)[0],
        np.nonzero(cover.max(axis=0) > 0.002)[0],
    )
    if not len(rows):
        return picture
    y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    out = picture.copy()
    light = _LINEAR[out[y, x]]
    alpha = cover[y, x, None]
    colour = colour[y, x] if colour.ndim == 3 else colour
    light += alpha * (colour - light)
    out[y, x] = (np.sqrt(np.clip(light, 0, 1)) * 255 + 0.5).astype(np.uint8)
    return out


def _grid(height: int, width: int) -> tuple[Cover, Cover]:
    return (
        np.arange(width, dtype=np.float32)[None, :],
        np.arange(height, dtype=np.float32)[:, None],
    )


def plume(
    rng: np.random.Generator,
    height: int,
    width: int,
    ground: float = 0.35,
    age: float | None = None,
) -> Cover:
    """How much a smoke column covers: it rises from a place on the ground, widens, and leans with the wind.

    `ground` is the highest row of ground, as a share of the height. `age` 0..1 is how far the plume has grown; the same
    generator state with another age gives the same plume, younger or older.
    """
    full = math.exp(rng.uniform(math.log(12), math.log(0.7 * height)))
    grown = rng.uniform(0.35, 1.0) if age is None else 0.15 + 0.85 * age
    long = full * grown
    x0 = rng.uniform(0.03, 0.97) * width
    y0 = rng.uniform(min(ground, 0.97), 1.02) * height
    lean = min(max(float(rng.normal(0, 0.7)), -1.45), 1.45)
    foot, mouth = rng.uniform(0.03, 0.16), rng.uniform(0.15, 0.6)
    power, bend = rng.uniform(0.5, 1.2), rng.uniform(-0.25, 0.25)
    lump = rng.uniform(0.12, 0.35) * full
    rough, fade, warp = rng.uniform(1.0, 4.0), rng.uniform(1.2, 4), rng.uniform(0.1, 0.5) * full
    left, right = max(0, int(x0 - 1.6 * long)), min(width, int(x0 + 1.6 * long) + 2)
    above, below = max(0, int(y0 - 1.5 * long)), min(height, int(y0 + 0.6 * long) + 2)
    cover = np.zeros((height, width), np.float32)
    if right - left < 2 or below - above < 2:
        return cover
    x, y = _grid(below - above, right - left)
    shift = (noise(rng, below - above, right - left, lump) - 0.5) * warp
    inner = noise(rng, below - above, right - left, lump * rng.uniform(0.4, 1.0))
    dx, dy = x - (x0 - left), (y0 - above) - y
    sin, cos = math.sin(lean), math.cos(lean)
    along = (dy * cos + dx * sin + 0.3 * shift) / long
    t = np.clip(along, 0, 1)
    across = (dx * cos - dy * sin + shift * np.minimum(t * 2, 1)) / long - bend * t * t
    half = foot + (mouth - foot) * t**power
    body = np.exp(-1.5 * (across / half) ** 2)
    ends = np.clip(along * 8 + 0.3, 0, 1) * np.clip((1.15 - along) * fade, 0, 1)
    body *= ends * np.clip(0.5 + (inner - 0.45) * rough, 0, 1)
    top = float(body.max())
    if top > 0.05:
        cover[above:below, left:right] = body / top
    return cover


def smoke(
    picture: Picture, rng: np.random.Generator, ground: float = 0.35, age: float | None = None
) -> tuple[Picture, Cover]:
    """A plume of white, grey, brown or black smoke, from hardly visible to dense."""
    height, width = picture.shape[:2]
    density = math.exp(rng.uniform(math.log(0.07), math.log(0.95)))
    kind = rng.random()
    shade = rng.uniform(0.3, 0.95) if kind < 0.7 else rng.uniform(0.02, 0.3)
    sky = _LINEAR[np.percentile(picture.reshape(-1, 3)[::97], 85, axis=0).astype(np.uint8)]
    tint = np.array([rng.uniform(0.75, 1.1), 1.0, rng.uniform(0.95, 1.15)], np.float32)
    colour = shade * tint if kind < 0.35 or kind > 0.7 else (0.5 * shade + 0.5) * sky * tint
    cover = plume(rng, height, width, ground, age) * np.float32(density)
    light = 1 + (noise(rng, height, width, 24) - 0.5) * rng.uniform(0, 0.7)
    return _over(picture, cover, np.minimum(colour * light[..., None], 1)), cover


def flame(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Cover]:
    """Flames: white-hot to deep red, ragged, brightest below."""
    height, width = picture.shape[:2]
    tall = math.exp(rng.uniform(math.log(10), math.log(0.6 * height)))
    wide = tall * rng.uniform(0.3, 1.4)
    x0, y0 = rng.uniform(0.05, 0.95) * width, rng.uniform(0.3, 1.0) * height
    x, y = _grid(height, width)
    up = (y0 - y) / tall
    shift = (noise(rng, height, width, tall * 0.35) - 0.5) * 1.2 * np.clip(up + 0.2, 0, 1)
    side = (x - x0) / wide + shift
    body = np.clip(1.15 - np.abs(side) * 2 - np.clip(up, 0, None), 0, 1) * (up > -0.12)
    heat = np.clip(body * 1.8 * (0.35 + 1.1 * noise(rng, height, width, tall * 0.3)), 0, 1)
    hot = rng.uniform(0.6, 1.6)
    blue, green, red = (np.clip((heat * hot - at) * slope, 0, 1) for at, slope in ((0.65, 2.2), (0.25, 1.7), (0.02, 2.6)))  # fmt: skip
    cover = np.clip(heat * 2.5, 0, 1).astype(np.float32)
    glow = np.exp(-((x - x0) ** 2 + (y - y0 + tall / 2) ** 2) / (2 * (1.5 * tall) ** 2))
    lit = _over(
        picture,
        (0.15 * rng.random() * glow).astype(np.float32),
        np.array([0.05, 0.35, 1.0], np.float32),
    )
    return _over(lit, cover, np.stack([blue, green, red], -1).astype(np.float32)), cover


def cloud(picture: Picture, rng: np.random.Generator) -> Picture:
    """Clouds in the upper part."""
    height, width = picture.shape[:2]
    size = rng.uniform(0.3, 1.2) * width
    lumps = noise(rng, height, width, size)
    _, y = _grid(height, width)
    base = rng.uniform(0.15, 0.6) * height
    below = np.clip((base - y) / (rng.uniform(0.03, 0.3) * height) + 1, 0, 1)
    cover = np.clip((lumps - rng.uniform(0.35, 0.6)) * rng.uniform(2, 7), 0, 1) * below
    return _over(
        picture, (cover * rng.uniform(0.3, 0.98)).astype(np.float32), _grey(rng, 0.35, 1.0)
    )


def haze(picture: Picture, rng: np.random.Generator) -> Picture:
    """A layer of haze or fog over the whole width, with soft edges."""
    height, width = picture.shape[:2]
    _, y = _grid(height, width)
    middle, half = rng.uniform(0.1, 1.0) * height, rng.uniform(0.1, 0.9) * height
    wave = (noise(rng, height, width, rng.uniform(0.6, 2.5) * width) - 0.5) * half
    cover = np.exp(-(((y + wave - middle) / half) ** 2)) * rng.uniform(0.05, 0.6)
    return _over(picture, np.asarray(cover, np.float32), _grey(rng, 0.3, 0.9))


def sun(picture: Picture, rng: np.random.Generator) -> Picture:
    """The sun, its glow, and ghosts of the lens on the line through the middle."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    sx, sy = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 0.5) * height
    size = rng.uniform(0.02, 0.1) * width
    far = np.hypot(x - sx, y - sy) / size
    warm = np.array([rng.uniform(0.4, 1.0), rng.uniform(0.7, 1.0), 1.0], np.float32)
    glow = np.clip(np.clip(2 - far, 0, 1) + rng.uniform(0.2, 0.8) / (1 + 0.3 * far**2), 0, 1)
    out = _over(picture, glow.astype(np.float32), warm)
    for _ in range(rng.integers(0, 5)):
        at, radius = rng.uniform(-0.6, 1.6), rng.uniform(0.01, 0.07) * width
        gx, gy = sx + (width / 2 - sx) * 2 * at, sy + (height / 2 - sy) * 2 * at
        disc = np.clip((radius - np.hypot(x - gx, y - gy)) / (0.3 * radius), 0, 1)
        colour = rng.uniform(0.3, 1.0, 3).astype(np.float32)
        out = _over(out, (disc * rng.uniform(0.05, 0.35)).astype(np.float32), colour)
    return out


def dust(picture: Picture, rng: np.random.Generator) -> Picture:
    """A low brown trail, as behind a vehicle on a track."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    long, high = rng.uniform(15, 90), rng.uniform(2, 8)
    x0, y0, slope = rng.uniform(0, width), rng.uniform(0.5, 1.0) * height, rng.uniform(-0.3, 0.3)
    along = (x - x0) / long
    off = (y - y0 - slope * (x - x0)) / (high * (0.4 + np.clip(along, 0, 1)))
    cover = np.exp(-(off**2)) * ((along > 0) & (along < 1)) * (1 - np.clip(along, 0, 1))
    cover = cover * (0.4 + noise(rng, height, width, 10)) * rng.uniform(0.1, 0.6)
    brown = np.array([0.25, 0.38, 0.5], np.float32) * rng.uniform(0.5, 1.5)
    return _over(picture, np.clip(cover, 0, 1).astype(np.float32), brown)


def shadow(picture: Picture, rng: np.random.Generator) -> Picture:
    """Shadows of clouds pass, or the sun comes out in places."""
    height, width = picture.shape[:2]
    lumps = noise(rng, height, width, rng.uniform(0.15, 0.9) * width)
    edge = np.clip((lumps - 0.5) * rng.uniform(2, 14) + 0.5, 0, 1)
    gain = 1 + (rng.uniform(0.45, 0.9) - 1 if rng.random() < 0.6 else rng.uniform(0.1, 0.6)) * edge
    _, y = _grid(height, width)
    low = np.clip((y / height - rng.uniform(0, 0.5)) * 8, 0, 1)
    gain = 1 + (gain - 1) * low
    return np.clip(picture * np.sqrt(gain[..., None]), 0, 255).astype(np.uint8)


def drops(picture: Picture, rng: np.random.Generator) -> Picture:
    """Drops or dirt on the lens: round, blurred patches that show another part of the picture."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(3, 9))
    soft = soft[::-1] if rng.random() < 0.5 else soft
    cover = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 5)):
        radius = rng.uniform(4, 30)
        far = np.hypot(
            (x - rng.uniform(0, width)) * rng.uniform(0.7, 1.4), y - rng.uniform(0, height)
        )
        cover = np.maximum(cover, np.clip((radius - far) / (0.4 * radius), 0, 1))
    alpha = cover[..., None] * rng.uniform(0.3, 0.9)
    return (picture + alpha * (soft.astype(np.float32) - picture)).astype(np.uint8)


def insect(picture: Picture, rng: np.random.Generator) -> Picture:
    """Something small and near flies by: a blurred streak, dark or bright."""
    mask = np.zeros(picture.shape[:2], np.float32)
    height, width = mask.shape
    for _ in range(rng.integers(1, 3)):
        a = rng.uniform(0, 1, 2) * (width, height)
        b = a + rng.normal(0, 12, 2)
        cv2.line(mask, a.astype(int).tolist(), b.astype(int).tolist(), 1.0, int(rng.integers(1, 7)))
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.8, 3.0)) * rng.uniform(0.3, 1.0)
    return _over(picture, mask, _grey(rng, 0.0, 0.9))


def glint(picture: Picture, rng: np.random.Generator) -> Picture:
    """Lamps, sun on glass and metal, coloured signs: bright spots with hard edges, some warm."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.float32)
    at = (rng.uniform(0, 1, 2) * (width, height)).astype(int)
    half = rng.uniform(1, 14, 2)
    if rng.random() < 0.5:
        cv2.ellipse(mask, (at.tolist(), (2 * half).tolist(), rng.uniform(0, 180)), 1.0, -1)
    else:
        cv2.rectangle(
            mask, (at - half.astype(int)).tolist(), (at + half.astype(int)).tolist(), 1.0, -1
        )
    mask = np.maximum(mask, cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 6)) * rng.uniform(0, 0.8))
    colour = np.array([rng.uniform(0, 1), rng.uniform(0.2, 1), 1.0], np.float32)
    return _over(picture, mask, colour if rng.random() < 0.6 else _grey(rng, 0.6, 1.0))


def blocks(picture: Picture, rng: np.random.Generator) -> Picture:
    """Strong JPEG compression."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 60))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def half_grey(picture: Picture, rng: np.random.Generator) -> Picture:
    """The lower part was not decoded."""
    out = picture.copy()
    out[int(rng.uniform(0.2, 0.95) * len(out)) :] = int(rng.integers(100, 140))
    return out


def _grey(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float32]:
    return (rng.uniform(low, high) * rng.uniform(0.9, 1.1, 3)).clip(0, 1).astype(np.float32)


HARMLESS: tuple[tuple[Callable[[Picture, np.random.Generator], Picture], float], ...] = (
    (cloud, 3), (haze, 2), (sun, 2), (dust, 2), (shadow, 4), (drops, 1.5), (insect, 1.5), (glint, 2), (blocks, 1.5), (half_grey, 0.3),
)  # fmt: skip
_SHARES = np.cumsum([w for _, w in HARMLESS]) / sum(w for _, w in HARMLESS)


def harmless(picture: Picture, rng: np.random.Generator) -> Picture:
    """Something that is no smoke and no fire."""
    make, _ = HARMLESS[int(np.searchsorted(_SHARES, rng.random()))]
    return make(picture, rng)
