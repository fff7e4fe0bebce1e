"""`[[drivers]]` of type `dlt645`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge.drivers.dlt645.profiles import PROFILES, UNITS
from edge.ports import Parity
from firmware_bridges.dlt645.identifiers import meaning
from tocsin.contract.catalogue import is_identifier
from tocsin.contract.units import known
from tocsin.sdk import Channel, DriverConfig, Endpoint

ANY = "a" * 12


class MeterConfig(BaseModel):
    """One meter on the line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$", description="Id of the meter."
    )
    address: str = Field(
        pattern=r"^(\d{1,12}|[aA]{12})$",
        description="The number on the meter, up to 12 digits; `aaaaaaaaaaaa` is whichever meter is alone on the line.",
    )
    profile: Literal[
        "single-phase", "three-phase", "single-phase-1997", "three-phase-1997", "none"
    ] = Field(default="single-phase", description="What it is asked for; `none` only for `read`.")
    read: dict[str, str] = Field(
        default_factory=dict,
        description='Further quantities by data identifier, like `{ temperature = "02800007" }`; an empty one takes a quantity away.',
    )
    ct_ratio: float = Field(
        default=1.0,
        gt=0,
        description="Ratio of the current transformers the meter does not know of.",
    )
    pt_ratio: float = Field(
        default=1.0,
        gt=0,
        description="Ratio of the voltage transformers the meter does not know of.",
    )
    measurement: str = Field(default="power", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Shown in the device list.")
    period_s: float = Field(
        default=60.0, gt=0, le=86_400, description="Time between two reads, seconds."
    )
    timeout_s: float | None = Field(
        default=None, gt=0, le=60, description="Instead of the driver's."
    )

    @field_validator("address")
    @classmethod
    def _whole(cls, value: str) -> str:
        return value.lower().rjust(12, "0")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if not self.identifiers():
            raise ValueError("nothing to read: name a profile, or quantities in `read`")
        if len({len(di) for di in self.identifiers().values()}) > 1:
            raise ValueError("identifiers are of one edition: four bytes (2007), or two (1997)")
        return self

    @field_validator("read")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for quantity, di in value.items():
            if not is_identifier(quantity):
                raise ValueError(f"{quantity!r} cannot name a quantity")
            try:
                told = meaning(bytes.fromhex(di)) if len(di) in (4, 8) else None
            except ValueError:
                told = None
            if di and (told is None or told.form != "number"):
                raise ValueError(f"{di!r} is no identifier of a number that is known")
            if told is not None and not known(UNITS.get(told.unit, told.unit)):
                raise ValueError(f"{di!r} is in {told.unit}, which has no unit here")
        return value

    def identifiers(self) -> dict[str, bytes]:
        """Quantity to data identifier as it is written, in the order they are asked for."""
        wanted = PROFILES.get(self.profile, {}) | self.read
        return {quantity: bytes.fromhex(di) for quantity, di in wanted.items() if di}

    def channels(self) -> tuple[Channel, ...]:
        """The quantities with units and the ratios of the transformers."""
        made = []
        for quantity, di in self.identifiers().items():
            told = meaning(di)
            assert told is not None  # noqa: S101 - validated
            scale = {"A": self.ct_ratio, "V": self.pt_ratio}.get(told.unit, 1.0)
            if told.unit.startswith(("kW", "kvar", "kVA")):
                scale = self.ct_ratio * self.pt_ratio
            made.append(Channel(quantity, UNITS.get(told.unit, told.unit), "f", scale))
        return tuple(made)


class Dlt645Config(DriverConfig):
    """Electricity meters of DL/T 645 on one serial line, or behind one converter."""

    port: str | None = Field(
        default=None, description="Serial port; prefer /dev/serial/by-id/... names."
    )
    connect: str | None = Field(
        default=None,
        pattern=r"^[^\s:]+:\d{1,5}$",
        description="host:port of a serial device server that passes bytes through.",
    )
    baudrate: int = Field(
        default=2400, ge=300, le=115_200, description="Serial speed, bit/s; 2400 is the standard's."
    )
    parity: Parity = Field(default="E", description="None, even (the standard's) or odd.")
    preamble: int = Field(
        default=4, ge=0, le=16, description="Wake-up bytes (FE) before each request."
    )
    timeout_s: float = Field(
        default=1.5, gt=0, le=60, description="How long a meter may take to answer."
    )
    retries: int = Field(
        default=1, ge=0, le=5, description="Further tries in one read of a meter that was well."
    )
    pause_s: float = Field(
        default=0.05, ge=0, le=5, description="Silence before each request, seconds."
    )
    backoff_max_s: float = Field(
        default=300.0, gt=0, description="Longest pause between tries of a meter that is silent."
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Time allowed to open the connection, seconds."
    )
    devices: tuple[MeterConfig, ...] = Field(min_length=1, description="The meters on the line.")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The line."""
        return Endpoint.line(self.port, self.connect)

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if (self.port is None) == (self.connect is None):
            raise ValueError("give exactly one of port and connect")
        for name, values in (
            ("id", [d.id for d in self.devices]),
            ("address", [d.address for d in self.devices]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two meters have the same {name}")
        if len(self.devices) > 1 and ANY in (d.address for d in self.devices):
            raise ValueError("the address of any meter is only for a line with one meter")
        return self

    @property
    def where(self) -> str:
        """The port, for messages."""
        return self.port or self.connect or ""
