"""What the registry knows, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Hardware:
    """One instrument that serves or served as a device. Times are Unix ns UTC."""

    serial: str
    installed_ns: int
    removed_ns: int | None
    calibrated_on: date | None
    calibration_due: date | None
    note: str


@dataclass(frozen=True, slots=True)
class Device:
    """A place in the field that is measured; its hardware may be replaced. Position in degrees, WGS 84."""

    site: str
    device: str
    name: str
    kind: str
    place: str
    lat: float | None
    lon: float | None
    period_s: float | None
    gateway: str
    retired: bool
    hardware: tuple[Hardware, ...]  # newest first

    @property
    def current(self) -> Hardware | None:
        """The instrument in place now."""
        return next((h for h in self.hardware if h.removed_ns is None), None)


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person enters about a device; the serial number and calibration are of the instrument in place."""

    name: str
    kind: str
    place: str = ""
    lat: float | None = None
    lon: float | None = None
    period_s: float | None = None
    retired: bool = False
    serial: str = ""
    calibrated_on: date | None = None
    calibration_due: date | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """The instrument that takes over."""

    serial: str
    calibrated_on: date | None = None
    calibration_due: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Announced:
    """What a gateway says of a device it serves."""

    site: str
    device: str
    kind: str
    gateway: str
    name: str = ""
    place: str = ""
    serial: str = ""
    lat: float | None = None
    lon: float | None = None
    period_s: float | None = None
