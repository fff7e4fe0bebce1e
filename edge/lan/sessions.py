"""Who is logged in at the page, and who has tried too often. In memory: a gateway that starts again asks for the PIN again."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import TypeVar

import msgspec

from tocsin.sdk import Clock

LASTS_S = 12 * 3600  # one shift
MOST_SESSIONS = 64  # the oldest goes first
FREE_TRIES = 5  # of one account from one address
FREE_ANYWHERE = 200  # of one account from addresses at which it was never logged in
FIRST_WAIT_S, LONGEST_WAIT_S = 60, 900
MOST_TRIED = 1024  # accounts and addresses; those with the fewest failures are forgotten first
_Key = TypeVar("_Key", str, tuple[str, str])


class Session(msgspec.Struct, frozen=True):
    """One login. `csrf` goes with everything that changes something."""

    account: str
    name: str
    csrf: str
    until_mono_ns: int


class Tries(msgspec.Struct):
    """Failures since the last success."""

    failed: int = 0
    barred_until_mono_ns: int = 0


class Sessions:
    """Tokens are kept as their SHA-256, so that a dump of memory opens nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, Session] = OrderedDict()
        self._tries: dict[tuple[str, str], Tries] = {}  # by account and address
        self._anywhere: dict[str, Tries] = {}  # by account, from addresses that are not known
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # who was logged in where

    def barred_s(self, account: str, peer: str) -> int:
        """Seconds until this account may be tried again from an address, 0 where it may now.

        Others on the network bar themselves, not an attendant at the phone that was logged in before.
        """
        where = [self._tries.get((account, peer))]
        if (account, peer) not in self._known:
            where.append(self._anywhere.get(account))
        until = max((tries.barred_until_mono_ns for tries in where if tries), default=0)
        return max(0, -(-(until - self._clock.mono_ns()) // 10**9))

    def failed(self, account: str, peer: str) -> None:
        """A wrong PIN: after five of them a minute, doubling to a quarter of an hour."""
        self._count(self._tries, (account, peer), FREE_TRIES)
        if (account, peer) not in self._known:
            self._count(self._anywhere, account, FREE_ANYWHERE)

    def _count(self, table: dict[_Key, Tries], key: _Key, free: int) -> None:
        tries = table.setdefault(key, Tries())
        tries.failed += 1
        over = tries.failed - free
        if over >= 0:
            wait_s = min(FIRST_WAIT_S << min(over, 8), LONGEST_WAIT_S)
            tries.barred_until_mono_ns = self._clock.mono_ns() + wait_s * 10**9
        if len(table) > MOST_TRIED:
            del table[min((k for k in table if k != key), key=lambda k: table[k].failed)]

    def begin(self, account: str, name: str, peer: str) -> tuple[str, Session]:
        """A token for the cookie, and its session."""
        self._tries.pop((account, peer), None)
        self._anywhere.pop(account, None)
        self._known[account, peer] = None
        self._known.move_to_end((account, peer))
        while len(self._known) > MOST_TRIED:
            self._known.popitem(last=False)
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
