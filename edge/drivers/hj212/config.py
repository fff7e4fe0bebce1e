"""`[[drivers]]` of type `hj212`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.listening import ListenerConfig
from edge.zones import ZoneText
from firmware_bridges.hj212.samples import standard
from tocsin.config import Secret

_ID = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FactorConfig(_Table):
    """What a code stands for at one station."""

    quantity: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,35}$", description="Quantity its values are stored as."
    )
    unit: str = Field(default="1", description="UCUM code of its unit as the station tells it.")


class StationConfig(_Table):
    """One station."""

    id: str = Field(pattern=_ID, description="Id of the station as a device.")
    mn: str = Field(
        pattern=r"^[^;,=&\s]{1,64}$", description="Its MN, letter for letter as its frames have it."
    )
    password: Secret | None = Field(default=None, description="Its PW; any password if not given.")
    measurement: str = Field(
        default="air",
        description="Kind of device in the catalogue: `air`, `emission` or `effluent` know their factors.",
    )
    model: str = Field(default="", description="Shown in the device list.")
    period_s: float | None = Field(
        default=None, gt=0, le=604_800, description="Expected time between messages, seconds."
    )
    crc: Literal["strict", "modbus", "any"] = Field(
        default="strict",
        description=(
            "`modbus` also takes frames with CRC-16/MODBUS, a vendors' mistake; `any` whatever the CRC, and marks the "
            "values uncertain."
        ),
    )
    factors: dict[str, FactorConfig] = Field(
        default_factory=dict,
        description="More factors by code, or another unit for a known one. What is not known is kept in `extras`.",
    )

    @model_validator(mode="after")
    def _some_factors(self) -> Self:
        if self.measurement not in standard() and not self.factors:
            known = ", ".join(sorted(standard()))
            raise ValueError(
                f"{self.measurement} has no factors of its own ({known} do): name some"
            )
        return self


class Hj212Config(ListenerConfig):
    """A port that pollution-source and air monitoring stations connect to (HJ 212-2017, HJ/T 212-2005)."""

    devices: tuple[StationConfig, ...] = Field(
        min_length=1, description="The stations that may connect; any other is refused."
    )
    time_zone: ZoneText = Field(
        default="+08:00", description="Zone of the stations' clocks, which tell none."
    )
    max_past_s: float = Field(
        default=2_678_400.0,
        ge=0,
        description="How old a station's time may be and still be believed, seconds (stored messages come late).",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )
    parts_wait_s: float = Field(
        default=60.0,
        gt=0,
        le=600,
        description="No further part of a split message for so long: what came is dropped and counted, seconds.",
    )
    set_clocks: bool = Field(
        default=False, description="Set a station's clock when it asks for the time (1013)."
    )
    command_timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Time allowed to answer a command, seconds."
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for name, values in (
            ("id", [one.id for one in self.devices]),
            ("mn", [one.mn for one in self.devices]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two devices have the same {name}")
        return self
