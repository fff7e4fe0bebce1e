"""What the cloud tells a gateway of permits is signed as its commands are: HMAC-SHA-256 over the JSON with an empty `sig`."""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeVar

import msgspec

from tocsin.permits.messages import DOWN, SIGNS, PermitDown, SignsDown

_encoder = msgspec.json.Encoder(order="sorted")
_T = TypeVar("_T", PermitDown, SignsDown)


def _digest(down: PermitDown | SignsDown, key: bytes) -> str:
    kind = DOWN if isinstance(down, PermitDown) else SIGNS
    body = _encoder.encode(msgspec.structs.replace(down, sig=""))
    return hmac.new(key, f"{kind}\n".encode() + body, hashlib.sha256).hexdigest()


def sign_down(down: _T, key: bytes) -> _T:
    """The message with its signature; `key` is the gateway's command key."""
    return msgspec.structs.replace(down, sig=_digest(down, key))


def is_signed_down(down: PermitDown | SignsDown, key: bytes) -> bool:
    """Whether the signature fits; False for an empty key."""
    claimed = down.sig.encode("utf-8", "replace")
    return bool(key) and hmac.compare_digest(claimed, _digest(down, key).encode())
