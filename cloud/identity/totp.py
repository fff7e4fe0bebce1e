"""Time-based one-time passwords: RFC 6238 with HMAC-SHA-1, 30 s and 6 digits, as every authenticator app knows them. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

STEP_NS = 30 * 10**9
DIGITS = 6
DRIFT_STEPS = 1  # one before and one after: RFC 6238, 5.2
SECRET_BYTES = 20  # RFC 4226, section 4, R6


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of one time step (RFC 4226, 5.3: dynamic truncation)."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_of(now_ns: int) -> int:
    """The time step of a moment in Unix nanoseconds."""
    return now_ns // STEP_NS


def matching_step(secret: bytes, code: str, now_ns: int) -> int | None:
    """The step within the drift window whose code this is; every candidate is compared, in constant time each."""
    now = step_of(now_ns)
    found: int | None = None
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        if step >= 0 and hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def base32_of(secret: bytes) -> str:
    """As people type it into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def uri(secret: bytes, account: str, issuer: str) -> str:
    """What a QR code for an authenticator app holds."""
    label = f"{quote(issuer)}:{quote(account)}"
    return f"otpauth://totp/{label}?secret={base32_of(secret)}&issuer={quote(issuer)}"
