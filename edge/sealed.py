"""Small files of state that say what they are: a first line of JSON with kind, version and the SHA-256 of all after it."""

from __future__ import annotations

import hashlib

import msgspec

HEAD = b'{"tocsin":'


class _Head(msgspec.Struct, frozen=True):
    tocsin: str
    version: int
    sha256: str


def sealed(kind: str, version: int, body: bytes) -> bytes:
    """What a file of this kind holds."""
    head = _Head(kind, version, hashlib.sha256(body).hexdigest())
    return msgspec.json.encode(head) + b"\n" + body + b"\n"


def unsealed(data: bytes, kind: str, version: int) -> bytes:
    """The body.

    Raises:
        ValueError: it is of no kind, another kind or version, or damaged; the text says which.
    """
    first, _, rest = data.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ValueError(f"is no state of {kind}: {exc}") from exc
    if head.tocsin != kind:
        raise ValueError(f"is a file of another kind: {head.tocsin!r}")
    if head.version != version:
        raise ValueError(f"has version {head.version} of its form; version {version} is read here")
    body = rest.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest() != head.sha256:
        raise ValueError("is damaged: its SHA-256 is not the one it names")
    return body
