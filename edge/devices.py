"""What the agent knows of each device: state, counters, last values. Each change of state is said once, and each reason of an outage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from edge.pipeline import Pipeline
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Row
from tocsin.contract.messages import DeviceHealth
from tocsin.errors import DriverError
from tocsin.sdk import DeviceSpec, Sample

State = Literal["starting", "ok", "unavailable", "finished"]
Say = Callable[[str, str, str, dict[str, object]], None]  # event kind, device, text, data

_log = logging.getLogger("edge.devices")


class LastValue(msgspec.Struct, frozen=True):
    """One quantity as it stands."""

    device: str
    quantity: str
    value: Value
    unit: str
    q: int
    time_ns: int


class _Device:
    __slots__ = (
        "driver",
        "errors",
        "last_error",
        "last_ok_ns",
        "last_reason",
        "reads",
        "row",
        "said",
        "seen",
        "spec",
        "state",
    )

    def __init__(self, spec: DeviceSpec, driver: str) -> None:
        self.spec = self.seen = spec
        self.driver = driver
        self.state: State = "starting"
        self.reads = self.errors = 0
        self.last_error = self.last_reason = ""
        self.said: set[str] = set()  # reasons of this outage that were told
        self.last_ok_ns: int | None = None
        self.row: Row | None = None


class Devices:
    """All devices of the gateway. `say` takes events; it must not block."""

    def __init__(self, pipeline: Pipeline, say: Say) -> None:
        self._pipeline, self._say = pipeline, say
        self._devices: dict[str, _Device] = {}

    def add(self, driver: str, specs: tuple[DeviceSpec, ...]) -> None:
        """Take up a driver's devices; one that it has already, and as it was, goes on."""
        for spec in specs:
            before = self._devices.pop(spec.id, None)
            goes_on = before is not None and (before.spec, before.driver) == (spec, driver)
            self._devices[spec.id] = before if before and goes_on else _Device(spec, driver)

    def of(self, driver: str) -> list[str]:
        """Ids of a driver's devices."""
        return [d.spec.id for d in self._devices.values() if d.driver == driver]

    def keep_only(self, ids: Collection[str]) -> list[DeviceSpec]:
        """Forget all other devices; which they were."""
        gone = [d.spec for name, d in self._devices.items() if name not in ids]
        for spec in gone:
            del self._devices[spec.id]
        return gone

    def announcement(self, spec: DeviceSpec) -> dict[str, object]:
        """The data of `device.announced`: what the cloud must know to show and check it."""
        judge = self._pipeline.judge(spec.id)
        names = zip(judge.layout.quantities, judge.units, judge.layout.types, strict=True)
        return {
            "id": spec.id,
            "measurement": spec.measurement,
            "model": spec.model,
            "period_s": spec.period_s,
            "driver": self._devices[spec.id].driver,
            "quantities": [{"name": n, "unit": u, "type": t} for n, u, t in names],
            "commands": msgspec.to_builtins(spec.commands),
        }

    def specs(self) -> list[DeviceSpec]:
        """Every device, in the order of the file."""
        return [d.spec for d in self._devices.values()]

    def took(self, sample: Sample) -> None:
        """A sample came; one with any value in it means that the device answers.

        Raises:
            KeyError: no such device.
            ValueError: it has other channels now.
        """
        d = self._devices[sample.spec.id]
        if sample.spec is not d.seen:
            if sample.spec != d.spec:
                raise ValueError(f"{sample.spec.id}: a sample of other channels than announced")
            d.seen = sample.spec
        d.reads += 1
        if any(value is not None for value in sample.values):
            d.last_ok_ns = sample.ts_ns
            if d.state != "ok":
                self.recovered(sample.spec.id)

    def recovered(self, device: str) -> None:
        """The device answers."""
        d = self._devices.get(device)
        if d is None:
            return  # it left the configuration while it was asked
        before, d.state = d.state, "ok"
        if before == "unavailable":
            _log.info("%s answers again", device)
            self._say("device.recovered", device, "answers again", {"driver": d.driver})

    def unavailable(self, device: str, error: DriverError) -> None:
        """A read failed, or the whole link. Alarms of the device stay as they are; its values are unknown.

        Each reason is said once until the device answers again.
        """
        d = self._devices.get(device)
        if d is None:
            return
        d.errors += 1
        d.last_error, d.last_reason = error.message, error.reason.value
        before, d.state = d.state, "unavailable"
        self._pipeline.board.lose(device)
        if before != "unavailable":
            d.said.clear()
        if d.last_reason not in d.said:
            d.said.add(d.last_reason)
            hint = f" ({error.hint})" if error.hint else ""
            _log.warning("%s is unavailable: %s%s", device, error.message, hint)
            data: dict[str, object] = {"driver": d.driver, "reason": d.last_reason}
            self._say("device.unavailable", device, error.message, data)

    def finished(self, driver: str) -> None:
        """The driver's source has ended."""
        for d in self._devices.values():
            if d.driver == driver:
                d.state = "finished"

    def stored(self, row: Row) -> None:
        """Remember a row as the device's last one."""
        d = self._devices.get(row.layout.device)
        if d is not None:
            d.row = row

    def health(self) -> list[DeviceHealth]:
        """Every device for the health message."""
        return [
            DeviceHealth(
                id=d.spec.id,
                kind=d.spec.measurement,
                driver=d.driver,
                state=d.state,
                period_s=d.spec.period_s,
                last_ok_ns=d.last_ok_ns,
                reads=d.reads,
                errors=d.errors,
                last_error=d.last_error,
                last_reason=d.last_reason,
            )
            for d in self._devices.values()
        ]

    def last_values(self, device: str = "") -> list[LastValue]:
        """The last stored row of every device, or of one."""
        found: list[LastValue] = []
        for d in self._devices.values():
            if d.row is not None and device in ("", d.spec.id):
                found += self.values(d.row)
        return found

    def values(self, row: Row) -> list[LastValue]:
        """A row as single values; none of a device that has changed or left since."""
        if row.layout.device not in self._devices:
            return []
        judge = self._pipeline.judge(row.layout.device)
        return row_values(row, judge.units) if judge.layout == row.layout else []


def row_values(row: Row, units: tuple[str, ...]) -> list[LastValue]:
    """A row as single values; what is absent for no fault is left out."""
    layout = row.layout
    quality = row.quality or (0,) * len(row.values)
    return [
        LastValue(layout.device, name, value, unit, q, row.time_ns)
        for name, value, unit, q in zip(layout.quantities, row.values, units, quality, strict=True)
        if value is not None or q
    ]
