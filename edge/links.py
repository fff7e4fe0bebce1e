"""Which device speaks over which link of a listener, and what becomes of the links when the configuration changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from tocsin.errors import DriverReason, LinkError


class _Configured(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def config(self) -> object: ...


Session = TypeVar("Session")
_Key = TypeVar("_Key")
_Device = TypeVar("_Device", bound=_Configured)


class Links(Generic[Session]):
    """Open sessions by device. `gone` is told each device whose link has ended by itself."""

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._gone = gone
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._by_id: dict[str, Session] = {}

    @property
    def open(self) -> tuple[Session, ...]:
        """Every session."""
        return tuple(self._tasks)

    @contextmanager
    def held(self, session: Session) -> Iterator[None]:
        """While the calling task serves `session`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - every connection has a task of its own
        self._tasks[session] = task
        try:
            yield
        finally:
            del self._tasks[session]
            for id_ in [i for i, other in self._by_id.items() if other is session]:
                del self._by_id[id_]
                self._gone(id_)

    def known(self, id_: str, session: Session) -> None:
        """Device `id_` speaks over `session`."""
        self._by_id[id_] = session

    def session(self, id_: str, what: str) -> Session:
        """The session of a device; `what` it is, for people.

        Raises:
            LinkError: it has none.
        """
        found = self._by_id.get(id_)
        if found is None:
            raise LinkError(
                DriverReason.CLOSED,
                f"the {what} is not connected",
                device=id_,
                hint="send the command again once it is",
            )
        return found

    def cut(self, ids: Iterable[str]) -> None:
        """End the links of devices that left or changed; nothing more is told of them."""
        for id_ in ids:
            session = self._by_id.pop(id_, None)
            if session is not None and session in self._tasks:
                self._tasks[session].cancel()


def changed(
    old: Mapping[_Key, _Device], new: Mapping[_Key, _Device]
) -> tuple[dict[_Key, _Device], list[str]]:
    """(`new` with what stays as it was taken from `old`, ids of what left or is another now)."""
    kept = {
        key: old[key] if key in old and old[key].config == device.config else device
        for key, device in new.items()
    }
    return kept, [device.id for key, device in old.items() if kept.get(key) is not device]
