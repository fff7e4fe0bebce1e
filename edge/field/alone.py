"""A driver run by a command while no agent runs: it owns the port for that long; nothing is stored or sent on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from edge.config import GatewayConfig
from edge.field.taken import taken
from edge.frames import FrameLog, unknown_name
from edge.survey import offline
from tocsin.config import Loaded
from tocsin.errors import ConfigError, DriverError
from tocsin.sdk import Driver, DriverConfig, Sample, load_driver

_STOP_S = 2.0
_END = object()  # the driver's run is over


class Trouble(msgspec.Struct, frozen=True):
    """A driver says that a device does not answer, or that its link is lost."""

    device: str
    error: str
    reason: str
    hint: str


class Unacknowledged(msgspec.Struct, frozen=True):
    """The device waits for its sample to be acknowledged, which only an agent may do: more will not come."""

    device: str


def owner(loaded: Loaded[GatewayConfig], name: str) -> tuple[DriverConfig, list[str]]:
    """The driver that is called `name` or has a device of that name, and its devices.

    Raises:
        UsageError: there is none.
        ConfigError: there is none, but parts of the file are wrong and left out.
    """
    known: list[str] = []
    drivers: list[str] = []
    for driver in loaded.value.drivers:
        devices = [spec.id for spec in load_driver(driver.type)(driver, offline("")).devices]
        if name in devices or name == driver.name:
            return driver, devices
        known += devices
        drivers.append(driver.name)
    if loaded.left_out:
        raise ConfigError([problem for part in loaded.left_out for problem in part.problems])
    raise unknown_name(name, [*known, *drivers])


def run_alone(
    config: DriverConfig, devices: list[str], name: str, limit_s: float
) -> Iterator[object]:
    """Frames, `Taken` samples and `Trouble` of `name`, until nothing has come for `limit_s`."""
    with asyncio.Runner() as runner:
        session = runner.run(_started(config, devices, name))
        try:
            while not session.over:
                try:
                    yield from runner.run(session.next(limit_s))
                except TimeoutError:
                    return
        finally:
            runner.run(session.close())


def _trouble(device: str, error: DriverError) -> Trouble:
    text = error.message.removeprefix(f"{device}: ")
    return Trouble(device, text, error.reason.value, error.hint)


async def _started(config: DriverConfig, devices: list[str], name: str) -> _Session:
    return _Session(config, devices, name)


class _Session:
    def __init__(self, config: DriverConfig, devices: list[str], name: str) -> None:
        self._name = name
        self.over = False
        context = offline(config.name)
        frames = FrameLog(context.clock)
        frames.add(config.name, config.type, devices)
        self._watch = frames.watch(name)
        context = msgspec.structs.replace(
            context,
            emit=self._emit,
            keep=self._keep,
            unavailable=self._unavailable,
            frame=partial(frames.take, config.name),
        )
        self._everything = name == config.name
        self._task = asyncio.create_task(self._run(load_driver(config.type)(config, context)))

    async def _run(self, driver: Driver) -> None:
        try:
            await driver.run()
        except DriverError as exc:
            self._watch.offer(_trouble(self._name, exc))
        finally:
            self._watch.offer(_END)

    def _wanted(self, device: str) -> bool:
        return self._everything or device == self._name

    async def _emit(self, sample: Sample) -> None:
        if self._wanted(sample.spec.id):
            self._watch.offer(taken(sample))

    async def _keep(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            await self._emit(sample)
        self._watch.offer(Unacknowledged(samples[-1].spec.id if samples else ""))
        await asyncio.Event().wait()  # never: what is acknowledged here would be lost

    def _unavailable(self, device: str, error: DriverError) -> None:
        if self._wanted(device):
            self._watch.offer(_trouble(device, error))

    async def next(self, limit_s: float) -> list[object]:
        """The next items; the last ones when the driver has ended."""
        async with asyncio.timeout(limit_s):
            items = await self._watch.next()
        if items[-1] is _END:
            self.over = True
            await self._task
            items.pop()
        return items

    async def close(self) -> None:
        """Free the port."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._task
        self._watch.close()
