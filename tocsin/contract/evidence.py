"""Pictures and clips on their way to the cloud: in parts, named by the hash of the whole, behind everything else.

A gateway keeps them in a ring on its disk (views for the wall in memory) and sends the small ones (`thumbnail`) by itself; the cloud asks for what it
lacks, from the byte on that it has (`down/evidence`), until it has all. Nothing waits for a picture.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tocsin.contract.messages import Name, Ns, Seq

VERSION = 1
DOWN = "evidence"  # the class of `down/`: EvidenceAsk, signed as commands are
MAX_PART_BYTES = 64 << 10  # of `data`
MAX_BYTES = 64 << 20  # of one picture or clip
MAX_THUMBNAIL_BYTES = MAX_PART_BYTES
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Role = Literal["thumbnail", "before", "at", "after", "clip", "view"]  # view: for the wall
Media = Literal["image/jpeg", "image/png", "video/mp4", "video/webm"]


class Exhibit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One picture or clip that a gateway keeps. `t` is when it was taken, Unix ns."""

    sha256: Hash
    role: Role
    media: Media
    size: Annotated[int, Meta(ge=1, le=MAX_BYTES)]  # bytes
    t: Ns


class FixedMask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a camera's picture where nothing counts, for all classes or some. `points`: corners, shares of width and height from the top left."""

    points: list[tuple[float, float]]
    labels: list[str] = []


class View(Exhibit, frozen=True, omit_defaults=True):
    """`data` of the event `vision.view`: a small picture for the wall. `masks` are those of the gateway's configuration, which hold whatever is drawn besides."""

    masks: list[FixedMask] = []


class EvidencePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """Up on `up/evidence`, msgpack: `data` is what the picture has from byte `offset` on; `size` of the whole."""

    v: int
    site: Name
    gateway: Name
    sha256: Hash
    offset: Seq
    size: Seq
    data: bytes


class EvidenceAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Down, JSON: send this one from `offset` on. `sig` is the hex HMAC-SHA-256 of the JSON with an empty `sig`."""

    v: int
    site: Name
    gateway: Name
    sha256: Hash
    offset: Seq = 0
    sig: str = ""


class EvidenceGone(msgspec.Struct, frozen=True, omit_defaults=True):
    """`data` of the event `evidence.gone`: asked for and not kept any more."""

    sha256: Hash


class Growth(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much larger one thing became since it was confirmed, when that was told last."""

    times: float  # its area by what that was when it was confirmed, or when its camera last moved
    box: tuple[
        float, float, float, float
    ]  # now, as that of the detection, which stays where it was confirmed
    t: Ns


class Detection(msgspec.Struct, frozen=True, omit_defaults=True):
    """`data` of the event `vision.detection`: one thing seen by one camera, from its first confirmation to its end.

    `box` is x, y, width, height as fractions of the picture, origin top left. Angles are degrees: `bearing` clockwise from
    true north, `elevation` above the horizon, each with its error (one sigma); absent where the camera's pose is not known.
    """

    detection: Name  # ULID of the occurrence, the same until it ends
    change: Literal["confirmed", "updated", "ended"]
    label: Name
    score: float
    box: tuple[float, float, float, float]
    t: Ns
    why: list[str] = []  # the tests that passed, in words of English
    why_zh: list[str] = []
    spectrum: Literal["visible", "infrared", "thermal"] = "visible"
    model: str = ""
    version: str = ""
    bearing: float | None = None
    bearing_error: float | None = None
    elevation: float | None = None
    elevation_error: float | None = None
    frame: Seq | None = None  # index of the frame since the camera was opened
    evidence: list[Exhibit] = []
    grown: Growth | None = None  # each time it doubled, once a minute at most, in an `updated`


_encoder = msgspec.json.Encoder(order="sorted")
_to_part = msgspec.msgpack.Decoder(EvidencePart)
_to_ask = msgspec.json.Decoder(EvidenceAsk)


def encode_part(part: EvidencePart) -> bytes:
    """For `up/evidence`."""
    return msgspec.msgpack.encode(part)


def decode_part(payload: bytes) -> EvidencePart:
    """From `up/evidence`.

    Raises:
        ValueError: it is none, or does not fit into what it says it is a part of.
    """
    part = _to_part.decode(payload)
    if not part.data or len(part.data) > MAX_PART_BYTES:
        raise ValueError(f"{len(part.data)} bytes in one part, 1 to {MAX_PART_BYTES}")
    if part.size > MAX_BYTES or part.offset + len(part.data) > part.size:
        raise ValueError(f"bytes {part.offset} to {part.offset + len(part.data)} of {part.size}")
    return part


def sign_ask(ask: EvidenceAsk, key: bytes) -> bytes:
    """For `down/evidence`, with its signature."""
    return _encoder.encode(msgspec.structs.replace(ask, sig=_digest(ask, key)))


def decode_ask(payload: bytes, key: bytes) -> EvidenceAsk:
    """From `down/evidence`.

    Raises:
        ValueError: it is none, or the signature does not fit (as with an empty key).
    """
    ask = _to_ask.decode(payload)
    claimed = ask.sig.encode("utf-8", "replace")
    if not key or not hmac.compare_digest(claimed, _digest(ask, key).encode()):
        raise ValueError("the signature does not fit")
    return ask


def _digest(ask: EvidenceAsk, key: bytes) -> str:
    body = _encoder.encode(msgspec.structs.replace(ask, sig=""))
    return hmac.new(key, body, hashlib.sha256).hexdigest()
