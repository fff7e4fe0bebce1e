"""The configured devices: from a report to a sample, each report once."""

from __future__ import annotations

import hashlib

import msgspec

from edge.drivers.mqtt_in.config import MqttDevice, MqttInConfig
from edge.links import changed
from edge.remembered import Remembered
from firmware_bridges.lorawan.decentlab import decode
from firmware_bridges.mqtt.report import Report
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.quality import Quality
from tocsin.contract.units import conversion
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk import DeviceSpec, Sample, SourceWindow

_REMEMBERED = 256  # reports of one device, of which a second delivery is known
_TRUE = frozenset({"true", "on", "1", "yes"})
_FALSE = frozenset({"false", "off", "0", "no"})


class Device:
    """One device of the configuration."""

    def __init__(self, config: MqttDevice, window: SourceWindow) -> None:
        self.config = config
        self.spec = DeviceSpec(
            config.id, config.measurement, config.channels(), config.period_s, window, config.model
        )
        self._model = config.sensor_model()
        self.told = Remembered(_REMEMBERED)

    @property
    def id(self) -> str:
        """Id of the device."""
        return self.config.id

    def key(self, report: Report) -> bytes:
        """What makes a report the same one; empty where nothing does."""
        told = report.key
        if not told and report.time_ns is not None:
            told = f"{report.time_ns} {sorted(report.values.items())}"
        return hashlib.blake2b(told.encode(), digest_size=12).digest() if told else b""

    def sample(self, report: Report, received_ns: int) -> Sample | None:
        """The sample; None if the report holds none of the device's values.

        Raises:
            CodecError: its payload is not the model's, or the sender's unit is another than the configured.
        """
        values = dict(report.values)
        if self._model is not None and report.payload:
            payload = decode(report.payload, self._model, self.config.parameters)
            values |= {r.name: r.value for r in payload.readings}
        given: list[Value] = []
        quality: list[int] = []
        for mapping, channel in zip(self.config.values, self.spec.channels, strict=True):
            raw = values.get(mapping.source)
            told = report.units.get(mapping.source, mapping.unit)
            value = None if raw is None else _as(channel.type, _in_unit(raw, told, mapping.unit))
            given.append(value)
            quality.append(
                int(Quality.MISSING) if value is None and mapping.source in values else 0
            )
        if not any(mapping.source in values for mapping in self.config.values):
            return None
        marks = tuple(quality) if any(quality) else None
        return Sample(self.spec, received_ns, tuple(given), report.time_ns, marks)


class Devices:
    """All of them, by the names that senders use."""

    def __init__(self, config: MqttInConfig) -> None:
        self._devices: dict[str, Device] = {}
        self._by_source: dict[str, Device] = {}
        self.replace(config)

    def replace(self, config: MqttInConfig) -> list[str]:
        """Read these from now on; ids of those that left or are others now. The rest keep what is known of them."""
        window = SourceWindow(config.max_past_s, config.max_future_s)
        wanted = {d.id: Device(d, window) for d in config.devices}
        self._devices, others = changed(self._devices, wanted)
        by_source = {d.config.source or d.id: d for d in self._devices.values()}
        self._by_source = {s.lower(): d for s, d in by_source.items()} | by_source
        return others

    @property
    def specs(self) -> tuple[DeviceSpec, ...]:
        """Every device, once."""
        return tuple(device.spec for device in self._devices.values())

    def find(self, *names: str) -> Device | None:
        """The device that a sender calls so, the first name before the second; None if it is not configured."""
        return next((d for name in names if (d := self._by_source.get(name))), None)


def block(report: Report) -> str:
    """The table to paste for a device that is not configured."""
    values = "\n".join(
        f'  {{ from = {_quoted(name)}, quantity = "", unit = {_quoted(report.units.get(name, "1"))} }},'
        for name in list(report.values)[:12]
    )
    return (
        f'[[drivers.devices]]\nid = ""\nsource = {_quoted(report.source)}\nmeasurement = ""\n'
        f"values = [\n{values}\n]"
    )


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:128]).decode()


def _in_unit(value: Value, told: str, wanted: str) -> Value:
    if told == wanted or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return conversion(told, wanted)(value)
    except ValueError as exc:
        raise CodecError(CodecReason.BAD_FIELD, f"the sender's unit: {exc}") from exc


def _as(kind: TypeCode, value: Value) -> Value:
    """The value in the channel's type; None if it is none."""
    match kind, value:
        case "s", bool():
            return str(value).lower()
        case "s", _:
            return str(value)
        case "b", str():
            word = value.strip().lower()
            return True if word in _TRUE else False if word in _FALSE else None
        case "b", _:
            return bool(value) if value in (0, 1) else None
        case _, str():
            try:
                number = float(value)
            except ValueError:
                return None
            return _as(kind, number)
        case "i", float():
            return int(value) if value.is_integer() else None
        case "i", _:
            return int(value) if value is not None else None
        case _, bool():
            return float(value)
        case _:
            return value
