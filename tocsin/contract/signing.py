"""Commands are signed per gateway: HMAC-SHA-256 (RFC 2104) over the JSON of the command with an empty `sig`."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from tocsin.contract.messages import Command

_encoder = msgspec.json.Encoder(order="sorted")


def _digest(command: Command, key: bytes) -> str:
    body = _encoder.encode(msgspec.structs.replace(command, sig=""))
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def sign(command: Command, key: bytes) -> Command:
    """The command with its signature."""
    return msgspec.structs.replace(command, sig=_digest(command, key))


def is_signed(command: Command, key: bytes) -> bool:
    """Whether the signature fits; False for an empty key."""
    claimed = command.sig.encode(
        "utf-8", "replace"
    )  # compare_digest takes no other than ASCII text
    return bool(key) and hmac.compare_digest(claimed, _digest(command, key).encode())
