"""Decentlab payloads: for benches and fuzzing."""

from __future__ import annotations

import struct

from firmware_bridges.lorawan.models import SensorModel, shipped
from tocsin.sdk.codec import Examples, FrameInput

_MODELS = ("DL-TBRG", "DL-PR36", "DL-MBX", "DL-AC", "DL-ATM41", "DL-IAM", "DL-BLG", "DL-SDD")


def examples() -> Examples:
    """Every sensor of some models, and the battery alone."""
    return Examples(tuple(FrameInput(_payload(name), device=name) for name in _MODELS))


def _payload(name: str) -> bytes:
    sensors = SensorModel(name, shipped("decentlab").models[name]).sensors
    words = [0x8000 + 37 * n for n in range(sum(s.words for s in sensors))]
    flags = (1 << len(sensors)) - 1
    return struct.pack(f">BHH{len(words)}H", 2, 4711, flags, *words)
