"""Pictures and clips for tests."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from edge.vision.frame import Picture


def scene(width: int = 320, height: int = 180, seed: int = 7) -> Picture:
    """A landscape of soft blobs with a sensor's noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (height // 12, width // 12, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = large.astype(np.int16) + rng.integers(-3, 4, large.shape, dtype=np.int16)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def numbered(number: int, width: int = 320, height: int = 180) -> Picture:
    """The scene with a number of 8 bits in blocks at its top, which survives any encoder."""
    picture = scene(width, height)
    for bit in range(8):
        x = bit * width // 8
        picture[: height // 4, x : x + width // 8] = 235 if number >> bit & 1 else 20
    return picture


def number_of(picture: Picture) -> int:
    """What `numbered` wrote."""
    height, width = picture.shape[:2]
    middles = [(2 * bit + 1) * width // 16 for bit in range(8)]
    return sum(int(picture[height // 8, x].mean() > 128) << bit for bit, x in enumerate(middles))


def write_clip(
    file: Path, frames: int, fps: float = 10.0, width: int = 320, height: int = 180
) -> None:
    """A clip of numbered pictures, MPEG-4 part 2, without any package but OpenCV."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(numbered(number, width, height))
    writer.release()


def oriented(jpeg: bytes, number: int) -> bytes:
    """EXIF data with the tag 0x0112 alone."""
    tag = struct.pack(">HHIHH", 0x0112, 3, 1, number, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + tag + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
