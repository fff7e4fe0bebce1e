"""`[[drivers]]` of type `sl651`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.listening import ListenerConfig
from edge.zones import ZoneText
from firmware_bridges.sl651.samples import Slots, standard
from tocsin.config import Secret

_ID = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ElementConfig(_Table):
    """What an identifier stands for at one station."""

    quantity: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Quantity its value is stored as; not needed where table C.1 of the standard has the element.",
    )
    unit: str = Field(default="1", description="UCUM code of its unit, given with `quantity`.")


class StationConfig(_Table):
    """One station."""

    id: str = Field(pattern=_ID, description="Id of the station as a device.")
    station: str = Field(
        pattern=r"^[0-9a-fA-F]{10}$",
        description="Its address: 10 hex digits, as `tocsin decode sl651` tells `station`.",
    )
    password: Secret | None = Field(
        default=None, description="Password of its frames, 4 hex digits; any if not given."
    )
    measurement: str = Field(default="water", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Shown in the device list.")
    period_s: float | None = Field(
        default=None, gt=0, le=604_800, description="Expected time between reports, seconds."
    )
    slots: Slots = Field(
        default="auto",
        description=(
            "Times of five-minute values: `first` the time of observation is the first one's, `last` the last one's, "
            "`auto` the first's unless the last one would lie in the future, `clock-hour` (a vendor's variant) the "
            "slots of the clock hour it lies in."
        ),
    )
    elements: dict[str, ElementConfig] = Field(
        default_factory=dict,
        description="More elements by identifier, like `10` or `FF92`. What is not named is kept in `extras`.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        always, named = standard()
        for code, element in self.elements.items():
            if code not in always | named and element.quantity is None:
                raise ValueError(f"element {code}: not in table C.1, give its quantity and unit")
        return self


class Sl651Config(ListenerConfig):
    """A port that hydrology stations connect to (SL 651-2014)."""

    devices: tuple[StationConfig, ...] = Field(
        min_length=1, description="The stations that may connect; any other is refused."
    )
    stay_online: bool = Field(
        default=True,
        description="Answers end with ESC (stay connected); false: with EOT (disconnect), for stations on battery.",
    )
    time_zone: ZoneText = Field(
        default="+08:00", description="Zone of the stations' clocks, which tell none."
    )
    max_past_s: float = Field(
        default=2_678_400.0,
        ge=0,
        description="How old a station's time may be and still be believed, seconds (stored reports come late).",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )
    parts_wait_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="No further part of a split message for so long: ask for a missing one, seconds.",
    )
    command_timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="Time allowed to answer a command, seconds."
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for name, values in (
            ("id", [one.id for one in self.devices]),
            ("station", [one.station.lower() for one in self.devices]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two devices have the same {name}")
        return self
