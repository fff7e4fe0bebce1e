"""`[[drivers]]` of type `gb26875`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.listening import ListenerConfig
from edge.zones import ZoneText

_ID = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartConfig(_Table):
    """One system or component that is a device of its own."""

    id: str = Field(pattern=_ID, description="Id of the part as a device.")
    part: str = Field(
        pattern=r"^\d{1,3}/\d{1,3}(/\d{1,10})?$",
        description="Which one: `1/3` a system (type/address), `1/3/393433` a component of it, as the rows' `part` says.",
    )
    measurement: str = Field(default="fire", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Shown in the device list.")


class TransmitterConfig(_Table):
    """One user information transmission device."""

    id: str = Field(pattern=_ID, description="Id of the transmitter, for all that has no own id.")
    address: str = Field(
        pattern=r"^[0-9a-fA-F]{12}$",
        description="Its source address: 12 hex digits in the order of the frame, as `tocsin decode gb26875` tells `source`.",
    )
    measurement: str = Field(default="fire", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Shown in the device list.")
    period_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Expected time between messages, seconds."
    )
    parts: tuple[PartConfig, ...] = Field(
        default=(), description="Systems and components that are devices of their own."
    )


class Gb26875Config(ListenerConfig):
    """A port that fire-protection transmitters connect to (GB/T 26875.3-2011)."""

    devices: tuple[TransmitterConfig, ...] = Field(
        min_length=1, description="The transmitters that may connect; any other is refused."
    )
    time_zone: ZoneText = Field(
        default="+08:00", description="Zone of the transmitters' clocks, which tell none."
    )
    max_past_s: float = Field(
        default=604_800.0,
        ge=0,
        description="How old a transmitter's time may be and still be believed, seconds.",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )
    command_timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="Time allowed to answer a command, seconds."
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        ids = [one.id for one in self.devices]
        ids += [part.id for one in self.devices for part in one.parts]
        _distinct("id", ids)
        _distinct("address", [one.address.lower() for one in self.devices])
        for one in self.devices:
            _distinct("part", [part.part for part in one.parts])
        return self


def _distinct(name: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"two devices have the same {name}")
