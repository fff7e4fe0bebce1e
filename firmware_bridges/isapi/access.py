"""A virtual camera's side of Digest access (RFC 7616, MD5): nonces that wear out, and counts that must grow. Pure but for chance."""

from __future__ import annotations

import hashlib
import re
import secrets

REALM = "IP Camera"
_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Guard:
    """Of one camera; `uses` is how often a nonce is good."""

    def __init__(self, user: str, password: str, uses: int) -> None:
        self._user, self._password, self._uses = user, password, uses
        self._counts: dict[str, int] = {}
        self.wrong = 0

    def challenge(self) -> str:
        """A value of `WWW-Authenticate`."""
        nonce = secrets.token_hex(16)
        self._counts[nonce] = 0
        return f'Digest qop="auth", realm="{REALM}", nonce="{nonce}", stale="false", algorithm=MD5'

    def passes(self, given: str, method: str, path: str) -> bool:
        """Whether this value of `Authorization` proves the account."""
        told = {m[1]: m[2] or m[3] or "" for m in _PAIR.finditer(given)}
        nonce, count = told.get("nonce", ""), told.get("nc", "")
        before = self._counts.get(nonce)
        if before is None or before >= self._uses or not re.fullmatch("[0-9a-f]{8}", count):
            return False
        first = _hashed(self._user, REALM, self._password)
        tail = (nonce, count, told.get("cnonce", ""), "auth", _hashed(method, path))
        if told.get("response") != _hashed(first, *tail) or told.get("username") != self._user:
            self.wrong += 1
            return False
        if int(count, 16) != before + 1:
            return False
        self._counts[nonce] = before + 1
        return True


def _hashed(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
