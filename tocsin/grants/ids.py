"""The 8-byte ids in claims of what has a name elsewhere."""

from __future__ import annotations

from tocsin.grants.fields import ID_BYTES
from tocsin.grants.primitives import sha256


def id_of(name: str) -> bytes:
    """`pmt` of a permit's id, `gw` of a gateway's name: SHA-256 of its UTF-8 bytes, cut to 8."""
    return sha256(name.encode())[:ID_BYTES]
