"""What the agent knows of each device: state, counters, last values. Each change of state is said once."""

from __future__ import annotations

import logging
from collections.abc import Callable
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
    __slots__ = ("driver", "errors", "last_error", "last_ok_ns", "reads", "row", "spec", "state")

    def __init__(self, spec: DeviceSpec, driver: str) -> None:
        self.spec, self.driver = spec, driver
        self.state: State = "starting"
        self.reads = self.errors = 0
        self.last_error = ""
        self.last_ok_ns: int | None = None
        self.row: Row | None = None


class Devices:
    """All devices of the gateway. `say` takes events; it must not block."""

    def __init__(self, pipeline: Pipeline, say: Say) -> None:
        self._pipeline, self._say = pipeline, say
        self._units = {name: units for name, (_, units) in pipeline.layouts().items()}
        self._devices: dict[str, _Device] = {}

    def add(self, driver: str, specs: tuple[DeviceSpec, ...]) -> None:
        """Take up a driver's devices."""
        self._devices |= {spec.id: _Device(spec, driver) for spec in specs}

    def announcement(self, spec: DeviceSpec) -> dict[str, object]:
        """The data of `device.announced`: what the cloud must know to show and check it."""
        layout, units = self._pipeline.layouts()[spec.id]
        names = zip(layout.quantities, units, layout.types, strict=True)
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
        """A sample came; one with any value in it means that the device answers."""
        d = self._devices[sample.spec.id]
        d.reads += 1
        if any(value is not None for value in sample.values):
            d.last_ok_ns = sample.ts_ns
            if d.state != "ok":
                self.recovered(sample.spec.id)

    def recovered(self, device: str) -> None:
        """The device answers."""
        d = self._devices[device]
        before, d.state = d.state, "ok"
        if before == "unavailable":
            _log.info("%s answers again", device)
            self._say("device.recovered", device, "answers again", {"driver": d.driver})

    def unavailable(self, device: str, error: DriverError) -> None:
        """A read failed, or the whole link. Alarms of the device stay as they are; its values are unknown."""
        d = self._devices[device]
        d.errors += 1
        d.last_error = error.message
        before, d.state = d.state, "unavailable"
        self._pipeline.board.lose(device)
        if before != "unavailable":
            _log.warning("%s is unavailable: %s", device, error.message)
            data: dict[str, object] = {"driver": d.driver, "reason": error.reason.value}
            self._say("device.unavailable", device, error.message, data)

    def finished(self, driver: str) -> None:
        """The driver's source has ended."""
        for d in self._devices.values():
            if d.driver == driver:
                d.state = "finished"

    def stored(self, row: Row) -> None:
        """Remember a row as the device's last one."""
        self._devices[row.layout.device].row = row

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
            )
            for d in self._devices.values()
        ]

    def last_values(self, device: str = "") -> list[LastValue]:
        """The last stored row of every device, or of one."""
        found: list[LastValue] = []
        for d in self._devices.values():
            if d.row is not None and device in ("", d.spec.id):
                found += row_values(d.row, self._units[d.spec.id])
        return found

    def units(self, device: str) -> tuple[str, ...]:
        """Canonical units of a device's quantities."""
        return self._units[device]


def row_values(row: Row, units: tuple[str, ...]) -> list[LastValue]:
    """A row as single values; what is absent for no fault is left out."""
    layout = row.layout
    quality = row.quality or (0,) * len(row.values)
    return [
        LastValue(layout.device, name, value, unit, q, row.time_ns)
        for name, value, unit, q in zip(layout.quantities, row.values, units, quality, strict=True)
        if value is not None or q
    ]
