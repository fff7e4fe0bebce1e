"""Rows that the keeper copies to another place while the writer may put values into them.

DuckDB lets one transaction delete rows whose values another changed since its snapshot: the copy would keep the old ones.
So the keeper says which rows it copies, the writer which it changes, and a copy that is no longer true is not committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import duckdb

from tocsin.errors import StoreUnavailableError

TRIES = 3
_T = TypeVar("_T")


class Copying:
    """Rows of one measurement from `first_ns` to before `until_ns`."""

    def __init__(
        self, lock: AbstractContextManager[object], measurement: str, first_ns: int, until_ns: int
    ) -> None:
        self._lock, self.measurement = lock, measurement.lower()
        self.first_ns, self.until_ns = first_ns, until_ns
        self.is_stale = False

    @contextmanager
    def ending(self) -> Iterator[None]:
        """The writer waits meanwhile; commit before it is left.

        Raises:
            StoreUnavailableError: roll back, and copy again.
        """
        with self._lock:
            if self.is_stale:
                raise StoreUnavailableError(
                    f"rows of {self.measurement} got values while they were copied",
                    hint="the next round copies them again",
                )
            yield


class Rewriting:
    """`lock` is the one that a write holds from before its first statement until it is committed."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._open: list[Copying] = []

    @contextmanager
    def copying(self, measurement: str, first_ns: int, until_ns: int) -> Iterator[Copying]:
        """Open it before the transaction that copies begins."""
        copy = Copying(self._lock, measurement, first_ns, until_ns)
        with self._lock:
            self._open.append(copy)
        try:
            yield copy
        finally:
            self._open.remove(copy)

    def changing(self, measurement: str, times_ns: Iterable[int]) -> None:
        """Rows with these times may get values. With the lock held."""
        copies = [copy for copy in self._open if copy.measurement == measurement.lower()]
        if copies:
            for time_ns in times_ns:
                for copy in copies:
                    copy.is_stale |= copy.first_ns <= time_ns < copy.until_ns


def again(work: Callable[[], _T]) -> _T:
    """`work`, and once more when a column or a value came in the meantime.

    Raises:
        StoreUnavailableError, duckdb.TransactionException: each time.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except (StoreUnavailableError, duckdb.TransactionException):
            continue
    return work()
