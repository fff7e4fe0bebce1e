"""What the cloud tells a gateway of a permit is signed as its commands are: HMAC-SHA-256 over the JSON with an empty `sig`."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from tocsin.permits.messages import PermitDown

_encoder = msgspec.json.Encoder(order="sorted")


def _digest(down: PermitDown, key: bytes) -> str:
    body = _encoder.encode(msgspec.structs.replace(down, sig=""))
    return hmac.new(key, b"permit\n" + body, hashlib.sha256).hexdigest()


def sign_down(down: PermitDown, key: bytes) -> PermitDown:
    """The message with its signature; `key` is the gateway's command key."""
    return msgspec.structs.replace(down, sig=_digest(down, key))


def is_signed_down(down: PermitDown, key: bytes) -> bool:
    """Whether the signature fits; False for an empty key."""
    claimed = down.sig.encode("utf-8", "replace")
    return bool(key) and hmac.compare_digest(claimed, _digest(down, key).encode())
