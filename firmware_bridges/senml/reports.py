"""A SenML pack as reports. The device is the name up to its last `:` or `/`, the value what follows. Pure."""

from __future__ import annotations

from firmware_bridges.mqtt.report import Report
from firmware_bridges.senml.packs import read_pack
from firmware_bridges.senml.records import Record, resolve
from firmware_bridges.senml.units import from_senml
from tocsin.contract.catalogue import Value

_Moment = tuple[str, int | None]


def reports(data: bytes, received_ns: int, device: str = "") -> list[Report]:
    """One report per device and time; with `device`, that is whose values they are. A sum is `<name>.sum`.

    Raises:
        CodecError: not a pack.
    """
    values: dict[_Moment, dict[str, Value]] = {}
    units: dict[_Moment, dict[str, str]] = {}
    for record in resolve(read_pack(data)):
        end = max(record.name.rfind(":"), record.name.rfind("/"))
        source, name = record.name[: max(end, 0)], record.name[end + 1 :]
        moment = device or source, _time_ns(record, received_ns)
        told = values.setdefault(moment, {})
        if record.value is not None:
            told[name] = record.value.hex() if isinstance(record.value, bytes) else record.value
        if record.sum is not None:
            told[f"{name}.sum"] = record.sum
        if record.unit is not None and (unit := from_senml(record.unit)):
            units.setdefault(moment, {})[name] = unit
    return [
        Report(source, told, time_ns, units.get((source, time_ns), {}))
        for (source, time_ns), told in values.items()
    ]


def _time_ns(record: Record, received_ns: int) -> int | None:
    if record.time_s is None:
        return None
    offset_ns = round(record.time_s * 1e6) * 1000  # a double holds today's time to a microsecond
    return received_ns + offset_ns if record.relative else offset_ns
