"""Where the demo's devices stand: names, places along the vehicle's loop, serial numbers, calibration. All made up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec

from tocsin.lab.site import Device


class Place(msgspec.Struct, frozen=True):
    """One device as its operator entered it. Degrees, WGS 84; a vehicle has no place of its own."""

    name: str
    place: str
    serial: str
    lat: float | None = None
    lon: float | None = None
    calibrated_days_ago: int | None = None
    calibrated_for_days: int = 180


PLACES = {
    "gas-01": Place("泵房 Pump hall", "化工园区一期 Chemical park, phase 1", "GH-2024-0117", 22.5448, 114.0551, 41),
    "gas-02": Place("储罐区 Tank farm", "化工园区一期 Chemical park, phase 1", "GH-2024-0118", 22.5424, 114.0587, 41),
    "gas-03": Place("装卸台 Loading bay", "化工园区二期 Chemical park, phase 2", "GH-2023-0954", 22.5406, 114.0548, 168),
    "rain-01": Place("北山雨量站 North hill rain", "北山水库 North hill reservoir", "RG-0031", 22.5457, 114.0612, 90, 365),
    "river-01": Place("东河水位站 East river level", "东河二桥 East river, second bridge", "WL-0208", 22.5410, 114.0616, 90, 365),
    "truck-01": Place("泡沫车 1 号 Foam tender 1", "特勤一站 Station 1", "GPS-77120"),
}  # fmt: skip


def entries(devices: Iterable[Device], today: date | None = None) -> dict[str, dict[str, object]]:
    """Bodies for `PUT /api/v1/registry/{site}/{device}`, by device."""
    day = today or datetime.now(UTC).date()
    out: dict[str, dict[str, object]] = {}
    for device in devices:
        if (at := PLACES.get(device.id)) is None:
            continue
        out[device.id] = {
            "name": at.name,
            "kind": device.kind,
            "place": at.place,
            "lat": at.lat,
            "lon": at.lon,
            "period_s": device.period_s,
            "serial": at.serial,
        }
        if at.calibrated_days_ago is not None:
            done = day - timedelta(days=at.calibrated_days_ago)
            due = done + timedelta(days=at.calibrated_for_days)
            out[device.id] |= {
                "calibrated_on": done.isoformat(),
                "calibration_due": due.isoformat(),
            }
    return out
