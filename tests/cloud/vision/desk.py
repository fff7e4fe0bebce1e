"""A book of what cameras saw, the asks it sends, and what gateways tell it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from cloud.db import open_engine, upgrade
from cloud.vision.book import VisionBook
from cloud.vision.pictures import VisionRules
from cloud.vision.shelf import Shelf
from tocsin.contract.evidence import (
    MAX_PART_BYTES,
    Detection,
    EvidencePart,
    Exhibit,
    decode_ask,
)
from tocsin.contract.messages import VERSION, Event
from tocsin.sdk import SystemClock

KEY = b"k" * 32
SMALL, BIG = os.urandom(900), os.urandom(2 * MAX_PART_BYTES + 5)


class LaterClock(SystemClock):
    """The system's clock, moved on."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def mono_ns(self) -> int:
        return super().mono_ns() + self.ahead_ns

    def advance(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * 1e9)


def name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Desk:
    """A book, and the asks it sent."""

    def __init__(self, folder: Path, rules: VisionRules, keys: dict[str, bytes]) -> None:
        self.clock = LaterClock()
        self.engine = engine = open_engine(folder / "state.db")
        upgrade(engine)
        self.asks: list[tuple[str, str, int]] = []
        self.told: list[dict[str, object]] = []
        self.viewed: list[dict[str, object]] = []
        self.folder = folder / "evidence"
        self.book = VisionBook(
            engine, self.clock, Shelf(self.folder), rules, keys=keys, changed=self.told.append,
            viewed=self.viewed.append, send=self._send,
        )  # fmt: skip

    def _send(self, topic: str, payload: bytes) -> None:
        ask = decode_ask(payload, KEY)
        assert topic.endswith(f"/{ask.gateway}/down/evidence")
        self.asks.append((ask.gateway, ask.sha256, ask.offset))

    def tell(self, told: Detection, gateway: str = "gw-1", site: str = "north") -> None:
        data = msgspec.to_builtins(told)
        event = Event(VERSION, site, gateway, "s", 1, "vision.detection", told.t, "cam-1", "", data)
        self.book.on_event(event, told.t)

    def gone(self, sha256: str) -> None:
        data: dict[str, object] = {"sha256": sha256}
        self.book.on_event(
            Event(VERSION, "north", "gw-1", "s", 2, "evidence.gone", 1, "", "", data), 1
        )

    def bring(self, data: bytes, offset: int = 0, *, whole: bytes | None = None) -> None:
        whole = whole or data
        part = data[offset : offset + MAX_PART_BYTES]
        self.book.on_part(EvidencePart(1, "north", "gw-1", name(whole), offset, len(data), part))

    def states(self, detection: str = "d-1") -> dict[str, str]:
        row = self.book.gallery.row(detection, None)
        pictures = row["evidence"]
        assert isinstance(pictures, list)
        return {p["role"]: p["state"] for p in pictures}


def seen(
    *exhibits: tuple[str, bytes], detection: str = "d-1", change: str = "confirmed", t: int = 10,
    score: float = 0.8,
) -> Detection:  # fmt: skip
    shown = [
        msgspec.convert(
            {"sha256": name(b), "role": r, "media": "image/jpeg", "size": len(b), "t": t}, Exhibit
        )
        for r, b in exhibits
    ]
    told = msgspec.convert({
        "detection": detection, "change": change, "label": "smoke", "score": score,
        "box": (0.1, 0.2, 0.3, 0.4), "t": t,
    }, Detection)  # fmt: skip
    return msgspec.structs.replace(told, evidence=shown)


def view(desk: Desk, data: bytes, t: int) -> None:
    shown = Exhibit(name(data), "view", "image/jpeg", len(data), t)
    event = Event(VERSION, "north", "gw-1", "s", 1, "vision.view", t, "cam-1", "", msgspec.to_builtins(shown))  # fmt: skip
    desk.book.on_event(event, t)
    desk.bring(data)


def refuses(desk: Desk, data: bytes) -> Path:
    """The disk does not let go of it: what cannot be unlinked, whoever runs this."""
    path = desk.folder / name(data)[:2] / name(data)
    path.unlink()
    path.mkdir()
    return path
