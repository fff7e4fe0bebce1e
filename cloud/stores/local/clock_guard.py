"""A clock that jumped ahead must not delete what is not old."""

from __future__ import annotations

import logging

import duckdb

from cloud.stores.local.transaction import transaction

JUMP_NS = 86_400 * 10**9
WAIT_NS = 86_400 * 10**9
_log = logging.getLogger(__name__)


class ClockGuard:
    """`last_ns`: the wall clock when the store was last looked after, by an earlier process; None: never."""

    def __init__(self, last_ns: int | None) -> None:
        self._last_ns = last_ns
        self._last_mono: int | None = None
        self._wait_until_mono: int | None = None

    def may_delete(self, now_ns: int, mono_ns: int) -> bool:
        """Not for a day after the wall clock was more than a day ahead of where it should have been.

        While no process ran, any distance is a jump: a machine that was off for weeks waits a day, too.
        """
        if self._last_ns is not None:
            gone_ns = 0 if self._last_mono is None else mono_ns - self._last_mono
            ahead_ns = now_ns - self._last_ns - gone_ns
            if ahead_ns > JUMP_NS:
                _log.warning(
                    "the clock is %.0f days ahead of when the store was last looked after;"
                    " nothing is deleted by policy for a day: is the clock right?",
                    ahead_ns / JUMP_NS,
                )
                self._wait_until_mono = mono_ns + WAIT_NS
        self._last_ns, self._last_mono = now_ns, mono_ns
        if self._wait_until_mono is not None and mono_ns >= self._wait_until_mono:
            self._wait_until_mono = None
        return self._wait_until_mono is None


def last_looked_after(connection: duckdb.DuckDBPyConnection) -> int | None:
    """What `note_looked_after` noted last."""
    row = connection.execute("SELECT max(wall_ns) FROM meta.looked_after").fetchone()
    return None if row is None or row[0] is None else int(row[0])


def note_looked_after(connection: duckdb.DuckDBPyConnection, now_ns: int) -> None:
    """The store was looked after at a time that is believed."""
    with transaction(connection):
        connection.execute("DELETE FROM meta.looked_after")
        connection.execute("INSERT INTO meta.looked_after VALUES (?)", [now_ns])
