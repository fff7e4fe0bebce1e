"""The last frames of every device, as its driver showed them, and whoever watches new ones. In memory, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from difflib import get_close_matches

import msgspec

from tocsin.errors import UsageError
from tocsin.sdk import Clock, Direction

KEPT = 32  # frames per device
LONGEST = 1024  # bytes kept of one frame
WAITING = 512  # frames that may wait for one watcher

_Shown = tuple[int, Direction, bytes, int]  # ns, direction, first bytes, size


class Frame(msgspec.Struct, frozen=True):
    """Bytes on the wire. `size` tells how many there were; `hex` has at most the first `LONGEST`.

    `device` is empty where the driver could not tell whose they are.
    """

    driver: str
    type: str
    device: str
    time_ns: int
    direction: Direction
    size: int
    hex: str


class Missed(msgspec.Struct, frozen=True):
    """So many frames came faster than the watcher took them."""

    missed: int


class _Log:
    """One device's frames, or those of a driver that belong to no device."""

    __slots__ = ("device", "driver", "shown", "type", "watchers")

    def __init__(self, driver: str, kind: str, device: str) -> None:
        self.driver, self.type, self.device = driver, kind, device
        self.shown: deque[_Shown] = deque(maxlen=KEPT)
        self.watchers: set[Watch] = set()

    def frame(self, shown: _Shown) -> Frame:
        at_ns, direction, data, size = shown
        return Frame(self.driver, self.type, self.device, at_ns, direction, size, data.hex())


class Watch:
    """New frames as they come. A watcher that is slow misses some, and is told how many."""

    def __init__(self, logs: list[_Log]) -> None:
        self._logs = logs
        self._queue: asyncio.Queue[object] = asyncio.Queue(WAITING)
        self._missed = 0
        for log in logs:
            log.watchers.add(self)

    def offer(self, item: object) -> None:
        """A frame, or what belongs between frames. Never waits."""
        if self._queue.full():
            self._missed += 1
        else:
            self._queue.put_nowait(item)

    async def next(self) -> list[object]:
        """The next item; before it, how many were missed until now."""
        item = await self._queue.get()
        missed, self._missed = self._missed, 0
        return [Missed(missed), item] if missed else [item]

    def close(self) -> None:
        """Watch no more."""
        for log in self._logs:
            log.watchers.discard(self)


class FrameLog:
    """What drivers show through `DriverContext.frame`."""

    def __init__(self, clock: Clock) -> None:
        self._now_ns = clock.now_ns
        self._devices: dict[str, _Log] = {}
        self._strangers: dict[str, _Log] = {}

    def add(self, driver: str, kind: str, devices: Iterable[str]) -> None:
        """Take up a driver of type `kind` and its devices; what is known already goes on."""
        for logs, name in ((self._strangers, ""), *((self._devices, d) for d in devices)):
            key = name or driver
            before = logs.get(key)
            if before is None or (before.driver, before.type) != (driver, kind):
                logs[key] = _Log(driver, kind, name)

    def keep_only(self, drivers: Collection[str], devices: Collection[str]) -> None:
        """Forget the frames of all others."""
        for logs, names in ((self._strangers, drivers), (self._devices, devices)):
            for name in [name for name in logs if name not in names]:
                del logs[name]

    def take(self, driver: str, device: str, direction: Direction, data: bytes) -> None:
        """`DriverContext.frame`: called for every frame on the wire, so it is short."""
        log = self._devices.get(device)
        if log is None or log.driver != driver:
            log = self._strangers.get(driver)
        if log is None:
            return  # a driver on its way out
        shown = (self._now_ns(), direction, data[:LONGEST], len(data))
        log.shown.append(shown)
        if log.watchers:
            frame = log.frame(shown)
            for watch in log.watchers:
                watch.offer(frame)

    def names(self) -> list[str]:
        """What can be traced: devices, then drivers."""
        return [*self._devices, *self._strangers]

    def last(self, name: str, count: int) -> list[Frame]:
        """The last `count` frames of a device, or of all a driver's devices and strangers, oldest first.

        Raises:
            UsageError: no such device or driver; so does `watch`.
        """
        found = [(shown, log) for log in self._of(name) for shown in log.shown]
        found.sort(key=lambda one: one[0][0])
        return [log.frame(shown) for shown, log in found[-count:] if count > 0]

    def watch(self, name: str) -> Watch:
        """New frames of a device, or of all a driver's; close it when done."""
        return Watch(self._of(name))

    def _of(self, name: str) -> list[_Log]:
        if name in self._devices:
            return [self._devices[name]]
        if name in self._strangers:
            mine = [log for log in self._devices.values() if log.driver == name]
            return [self._strangers[name], *mine]
        raise unknown_name(name, self.names())


def unknown_name(name: str, known: Iterable[str]) -> UsageError:
    """What to say of a device or driver that is not there."""
    near = get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + ", ".join(known)
    return UsageError(f"no device or driver {name!r} at this gateway", hint=hint)
