"""`[[drivers]]` of type `gpsd`."""

from __future__ import annotations

from pydantic import Field

from tocsin.sdk import DriverConfig, Endpoint


class GpsdConfig(DriverConfig):
    """A GNSS receiver that gpsd reads, on this machine or another."""

    device: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        description="Id of the vehicle or device whose position this is.",
    )
    measurement: str = Field(default="vehicle", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Receiver model, shown in the device list.")
    connect: str = Field(
        default="127.0.0.1:2947", pattern=r"^[^\s:]+:\d{1,5}$", description="host:port of gpsd."
    )
    receiver: str | None = Field(
        default=None,
        description="Which receiver, as gpsd names it (`/dev/ttyACM0`); the first that tells a position if not given.",
    )
    period_s: float = Field(
        default=1.0, gt=0, le=3600, description="Expected time between positions, seconds."
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
        description="How old the receiver's own time may be and still be believed, seconds.",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where gpsd listens."""
        return (Endpoint("connect", self.connect),)
