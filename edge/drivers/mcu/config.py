"""Configuration of one sensor board on a serial line."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tocsin.config import Section
from tocsin.sdk import DriverConfig, Endpoint


class BoardChannel(Section):
    """One sensor of the board."""

    sensor: str = Field(min_length=1, description="Its name, as the board tells it.")
    unit: str = Field(description="Its UCUM unit, as the board tells it.")
    quantity: str = Field(
        default="",
        description="The quantity it measures, from the catalogue; default the sensor's name.",
    )
    scale: float = Field(default=1.0, description="Factor on the board's number.")
    offset: float = Field(default=0.0, description="Added after the factor.")


class McuConfig(DriverConfig):
    """A microcontroller board that speaks COBS frames, on a serial port or behind a TCP port."""

    device: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$", description="Id of the device."
    )
    measurement: str = Field(default="gas", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Model, shown in the device list.")
    board: str | None = Field(
        default=None, description="Name the board must have; without it any board on this port."
    )
    channels: tuple[BoardChannel, ...] = Field(
        min_length=1, max_length=64, description="Which of its sensors to read, in any order."
    )
    port: str | None = Field(
        default=None, description="Serial port; prefer /dev/serial/by-id/... names."
    )
    baudrate: int = Field(default=115_200, ge=300, le=4_000_000, description="Serial speed, bit/s.")
    connect: str | None = Field(
        default=None,
        pattern=r"^[^\s:]+:\d{1,5}$",
        description="host:port of a serial device server.",
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Time allowed to open the connection, seconds."
    )
    period_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Expected time between samples, seconds."
    )
    silence_s: float = Field(
        default=10.0, ge=0.1, le=86_400, description="No frame for so long: unavailable, seconds."
    )
    max_past_s: float = Field(
        default=86_400.0,
        ge=0,
        description="How old a sample the board held back may be and still keep its own time, seconds.",
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The board's port, or the connection to it."""
        return Endpoint.line(self.port, self.connect)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.port is None) == (self.connect is None):
            raise ValueError("give exactly one of port, connect")
        for what in ("sensor", "quantity"):
            names = [getattr(c, what) or c.sensor for c in self.channels]
            if len(set(names)) != len(names):
                raise ValueError(f"one {what} stands twice")
        return self
