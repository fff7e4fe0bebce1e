"""The configured devices: from a report to a sample, each report once."""

from __future__ import annotations

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
_NUMBERS = frozenset({float, int})
_sorted_json = msgspec.json.Encoder(order="sorted").encode


class Device:
    """One device of the configuration."""

    def __init__(self, config: MqttDevice, window: SourceWindow) -> None:
        self.config = config
        self.spec = DeviceSpec(
            config.id, config.measurement, config.channels(), config.period_s, window, config.model
        )
        self._model = config.sensor_model()
        self._columns = [
            (mapping.source, mapping.unit, channel.type)
            for mapping, channel in zip(config.values, self.spec.channels, strict=True)
        ]
        self.told = Remembered(_REMEMBERED)

    @property
    def id(self) -> str:
        """Id of the device."""
        return self.config.id

    def key(self, report: Report) -> int | None:
        """What makes a report the same one; None where nothing does."""
        if report.key:
            return hash(report.key)
        if report.time_ns is None:
            return None
        return hash((report.time_ns, _sorted_json(report.values)))

    def sample(self, report: Report, received_ns: int) -> Sample | None:
        """The sample; None if the report holds none of the device's values.

        Raises:
            CodecError: its payload is not the model's, or the sender's unit is another than the configured.
        """
        values, units = report.values, report.units
        if self._model is not None and report.payload:
            payload = decode(report.payload, self._model, self.config.parameters)
            values = values | {r.name: r.value for r in payload.readings}
        given: list[Value] = []
        quality: list[int] | None = None
        held = 0
        for source, unit, kind in self._columns:
            raw = values.get(source)
            if units:
                raw = _in_unit(raw, units.get(source, unit), unit)
            if kind != "f" or type(raw) not in _NUMBERS:
                raw = _as(kind, raw)
            given.append(raw)
            if source in values:
                held += 1
                if raw is None:
                    quality = quality or [0] * len(self._columns)
                    quality[len(given) - 1] = int(Quality.MISSING)
        if not held:
            return None
        marks = None if quality is None else tuple(quality)
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
        case _, None:
            return None
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
            return int(value)
        case _, bool():
            return float(value)
        case _:
            return value
