"""Who is logged in at the page, and who has tried too often. In memory: a gateway that starts again asks for the PIN again."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

import msgspec

from tocsin.sdk import Clock

LASTS_S = 12 * 3600  # one shift
MOST_SESSIONS = 64  # the oldest goes first
FREE_TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 60, 900
MOST_ACCOUNTS = 1024  # names that were tried; the oldest is forgotten first


class Session(msgspec.Struct, frozen=True):
    """One login. `csrf` goes with everything that changes something."""

    account: str
    name: str
    csrf: str
    until_mono_ns: int


class Tries(msgspec.Struct):
    """Failures of one account since its last success."""

    failed: int = 0
    barred_until_mono_ns: int = 0


class Sessions:
    """Tokens are kept as their SHA-256, so that a dump of memory opens nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, Session] = OrderedDict()
        self._tries: OrderedDict[str, Tries] = OrderedDict()

    def barred_s(self, account: str) -> int:
        """Seconds until this account may try again, 0 where it may now."""
        tries = self._tries.get(account)
        left_ns = tries.barred_until_mono_ns - self._clock.mono_ns() if tries else 0
        return max(0, -(-left_ns // 10**9))

    def failed(self, account: str) -> None:
        """A wrong PIN: after five of them a minute, doubling to a quarter of an hour."""
        tries = self._tries.pop(account, Tries())
        tries.failed += 1
        over = tries.failed - FREE_TRIES
        if over >= 0:
            wait_s = min(FIRST_WAIT_S << min(over, 8), LONGEST_WAIT_S)
            tries.barred_until_mono_ns = self._clock.mono_ns() + wait_s * 10**9
        self._tries[account] = tries
        while len(self._tries) > MOST_ACCOUNTS:
            self._tries.popitem(last=False)

    def begin(self, account: str, name: str) -> tuple[str, Session]:
        """A token for the cookie, and its session."""
        self._tries.pop(account, None)
        token = secrets.token_urlsafe(32)
        until = self._clock.mono_ns() + LASTS_S * 10**9
        session = Session(account, name, secrets.token_urlsafe(16), until)
        self._open[_digest(token)] = session
        while len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return token, session

    def find(self, token: str) -> Session | None:
        """The session of a token that is still good."""
        session = self._open.get(_digest(token))
        if session is None or session.until_mono_ns <= self._clock.mono_ns():
            self._open.pop(_digest(token), None)
            return None
        return session

    def end(self, token: str) -> None:
        """Log out."""
        self._open.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
