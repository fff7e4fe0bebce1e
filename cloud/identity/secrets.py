"""Random secrets, their hashes, and passwords. Nothing here ever logs or stores the secret itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_PASSWORD = 10
MAX_PASSWORD = 256
_hasher = PasswordHasher()  # RFC 9106 low-memory profile: 64 MiB each, so few at a time
_at_once = BoundedSemaphore(2)


def new_secret(prefix: str = "") -> str:
    """256 random bits, URL-safe."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored of a random secret: SHA-256 (it has full entropy, so no slow hash is needed)."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_of(session: str) -> str:
    """The session's CSRF token, derived from its cookie, so that it needs no storage."""
    return hmac.new(session.encode(), b"tocsin csrf", hashlib.sha256).hexdigest()


def same(a: str, b: str) -> bool:
    """Equal, in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


def hash_password(password: str) -> str:
    """argon2id as a PHC string."""
    with _at_once:
        return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Check a password; without a stored hash it takes as long and is false."""
    with _at_once:
        try:
            _hasher.verify(stored or _dummy(), password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


@cache
def _dummy() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))
