"""Configuration of one NMEA 0183 receiver."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tocsin.config import ConfigPath
from tocsin.sdk import DriverConfig, Endpoint


class NmeaConfig(DriverConfig):
    """A GNSS receiver on a serial port, behind a TCP port, or recorded in a file."""

    device: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        description="Id of the vehicle or device whose position this is.",
    )
    measurement: str = Field(default="vehicle", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Receiver model, shown in the device list.")
    port: str | None = Field(
        default=None, description="Serial port; prefer /dev/serial/by-id/... names."
    )
    baudrate: int = Field(default=9600, ge=300, le=4_000_000, description="Serial speed, bit/s.")
    connect: str | None = Field(
        default=None,
        pattern=r"^[^\s:]+:\d{1,5}$",
        description="host:port of a serial device server.",
    )
    file: ConfigPath | None = Field(
        default=None, description="A recorded log, read once and at once."
    )
    period_s: float = Field(
        default=1.0, gt=0, le=3600, description="Expected time between positions, seconds."
    )
    quiet_gap_s: float = Field(
        default=0.15,
        ge=0.01,
        le=10,
        description="A pause this long ends the sentences of one position, seconds.",
    )
    silence_s: float = Field(
        default=5.0, ge=0.1, le=3600, description="No position for so long: unavailable, seconds."
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Time allowed to open the connection, seconds."
    )
    max_past_s: float = Field(
        default=86_400.0,
        ge=0,
        description="How old the receiver's own time may be and still be believed, seconds. A file's is always believed.",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its one source."""
        if self.file is not None:
            return (Endpoint("file", str(self.file)),)
        return Endpoint.line(self.port, self.connect)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("port", "connect", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of port, connect, file")
        return self
