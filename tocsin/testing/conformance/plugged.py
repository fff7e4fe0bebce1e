"""Rules that need the other side of the link: the case `live` of the driver, whose counterpart keeps on sending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from tocsin.contract.catalogue import TypeCode, Value
from tocsin.errors import DriverError
from tocsin.sdk import DeviceSpec, Driver, DriverConfig, ProbeLine, Sample, TakesChanges
from tocsin.testing.conformance.case import Case
from tocsin.testing.conformance.subject import LIVE, Subject
from tocsin.testing.conformance.surroundings import Surroundings, open_ports
from tocsin.testing.waiting import wait_until

CANCEL_S = 1.0
_HOLD_S = 0.3
_PATIENCE_S = 20.0
_ENOUGH = 3
_FAR_NS = 60 * 10**9


class Stand:
    """A driver running against its live case, as often as a rule wants it."""

    def __init__(self, subject: Subject) -> None:
        self.case = Case(subject.folder / "cases" / LIVE, subject.kind)

    def build(self) -> tuple[Driver, Surroundings]:
        """A new driver in new surroundings."""
        around = Surroundings("conformance")
        return self.case.driver(around.context), around

    async def left_behind(self, since: set[str]) -> list[str]:
        """What a driver that has ended left open."""
        try:
            await wait_until(lambda: not open_ports() - since, CANCEL_S)
        except TimeoutError:
            return [f"it leaves open: {', '.join(sorted(open_ports() - since))}"]
        return []


async def probe(stand: Stand) -> list[str]:
    """One line a device, nothing handed over, nothing left open."""
    driver, around = stand.build()
    before = open_ports()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            lines = await driver.probe()
    except TimeoutError:
        return [f"the probe has not ended after {_PATIENCE_S:g} s"]
    found = _lines(driver, lines)
    if around.samples or around.up or around.errors:
        found.append("the probe emits, keeps, or tells the agent of a device")
    return found + await stand.left_behind(before)


def _lines(driver: Driver, lines: list[ProbeLine]) -> list[str]:
    ids, told = {spec.id for spec in driver.devices}, {line.device for line in lines}
    found = [f"the probe says nothing of {device}" for device in sorted(ids - told)]
    found += [f"the probe speaks of {device}, which is no device" for device in sorted(told - ids)]
    return found + [f"{x.device} fails its probe: {x.text}" for x in lines if not x.ok]


async def samples(stand: Stand) -> list[str]:
    """Samples come, of announced devices and in their shape."""
    driver, around = stand.build()
    async with _Running(driver) as running:
        problem = await running.until(lambda: len(around.samples) >= _ENOUGH, "samples")
    known = {spec.id: spec for spec in driver.devices}
    now_ns = around.context.clock.now_ns()
    shape = chain.from_iterable(_shape(sample, known, now_ns) for sample in around.samples)
    never = [] if around.up else ["it never says that a device is available"]
    return [*problem, *dict.fromkeys(shape), *(never if not problem else [])]


def _shape(sample: Sample, known: dict[str, DeviceSpec], now_ns: int) -> list[str]:
    spec, found = sample.spec, []
    if known.get(spec.id) != spec:
        found.append(f"{spec.id}: the sample's spec is not the announced one")
    if len(sample.values) != len(spec.channels):
        return [*found, f"{spec.id}: {len(sample.values)} values for {len(spec.channels)} channels"]
    if sample.quality is not None and len(sample.quality) != len(spec.channels):
        found.append(
            f"{spec.id}: {len(sample.quality)} qualities for {len(spec.channels)} channels"
        )
    if abs(sample.ts_ns - now_ns) > _FAR_NS:
        found.append(f"{spec.id}: ts_ns is not the gateway's clock in nanoseconds")
    if not any(value is not None for value in sample.values) and not any(sample.quality or ()):
        found.append(f"{spec.id}: a sample without any value and without a reason")
    for channel, value in zip(spec.channels, sample.values, strict=True):
        if not fits(channel.type, value):
            found.append(
                f"{spec.id}: {channel.quantity} is {type(value).__name__}, not {channel.type}"
            )
    return found


def fits(code: TypeCode, value: Value) -> bool:
    """Whether `value` may stand in a channel of this type."""
    if value is None:
        return True
    if isinstance(value, bool):
        return code == "b"
    return isinstance(value, {"f": int | float, "i": int, "b": int, "s": str}[code])


async def back_pressure(stand: Stand) -> list[str]:
    """While the pipeline is full, no more than one hand-over a device waits."""
    driver, around = stand.build()
    async with _Running(driver) as running:
        around.gate.clear()
        problem = await running.until(lambda: around.waiting, "a sample")
        await asyncio.sleep(_HOLD_S)
        most = around.most_waiting
        around.gate.set()
        if not problem:
            problem = await running.until(lambda: around.samples, "the sample that waited")
    if most > len(driver.devices):
        problem.append(
            f"{most} hand-overs of {len(driver.devices)} device(s) wait at once: nothing bounds them"
        )
    return problem


async def cancel(stand: Stand) -> list[str]:
    """Cancelled while it waits for the pipeline: ended within a second, port free, and the next one can begin."""
    driver, around = stand.build()
    before, tasks = open_ports(), asyncio.all_tasks()
    task = asyncio.create_task(driver.run())
    around.gate.clear()
    with suppress(TimeoutError):
        await wait_until(lambda: around.waiting or task.done(), _PATIENCE_S)
    task.cancel()
    _, late = await asyncio.wait([task], timeout=CANCEL_S)
    if late:
        return [f"it runs on {CANCEL_S:g} s after it was cancelled"]
    found = await stand.left_behind(before)
    left = {t for t in asyncio.all_tasks() - tasks - {task} if not t.done()}
    found += [f"it leaves the task {t.get_name()} behind" for t in left]
    again, around = stand.build()
    async with _Running(again) as running:
        return found + await running.until(lambda: around.samples, "a sample of the next run")


async def changes(stand: Stand) -> list[str]:
    """Whoever takes a configuration while running: its own one costs nothing, another driver's is refused."""
    driver, around = stand.build()
    if not isinstance(driver, TakesChanges):
        return []
    async with _Running(driver) as running:
        if problem := await running.until(lambda: around.samples, "a sample"):
            return problem
        devices, config, found = driver.devices, stand.case.config(), list[str]()
        around.errors.clear()
        if not driver.reconfigure(config):
            found.append("reconfigure() refuses the very configuration it runs with")
        if driver.reconfigure(DriverConfig(type="another", name=config.name)):
            found.append("reconfigure() takes the configuration of another driver")
        if driver.devices != devices:
            found.append("its devices are others after a change that changed nothing")
        taken = len(around.samples)
        found += await running.until(lambda: len(around.samples) > taken, "a sample after it")
        lost = [f"{d} is unavailable after it: {error.message}" for d, error in around.errors]
    return found + lost


async def link_lost(stand: Stand, end: Callable[[], None]) -> list[str]:
    """The other side goes: a DriverError, raised or told, and nothing else."""
    driver, around = stand.build()
    task = asyncio.create_task(driver.run())
    try:
        await wait_until(lambda: around.samples or task.done(), _PATIENCE_S)
        around.errors.clear()
        end()
        if stand.case.file.counterpart is None:
            return []
        await wait_until(lambda: task.done() or around.errors, _PATIENCE_S)
    except TimeoutError:
        return [f"the other side is gone, and {_PATIENCE_S:g} s later nobody was told"]
    finally:
        was_done = task.done()
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_S)
    if not was_done:
        return []
    error = task.exception()
    if error is None:
        return ["run() returns when its link is lost; only the end of a source is an end"]
    if not isinstance(error, DriverError):
        return [f"run() raises {type(error).__name__}, not a DriverError: {error}"]
    return []


class _Running:
    """A driver's run(), cancelled at the end."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def __aenter__(self) -> _Running:
        self._task = asyncio.create_task(self._driver.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=CANCEL_S)

    async def until(self, condition: Callable[[], object], what: str) -> list[str]:
        """Wait for it; what went wrong instead."""
        try:
            await wait_until(lambda: condition() or self._task.done(), _PATIENCE_S)
        except TimeoutError:
            return [f"{_PATIENCE_S:g} s without {what}"]
        if condition():
            return []
        error = self._task.exception()
        return [f"run() ended before {what} came: {error!r}"]
