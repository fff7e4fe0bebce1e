"""`[[drivers]]` of type `jt808`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.listening import ListenerConfig
from edge.zones import ZoneText
from tocsin.config import Secret


def same_phone(phone: str) -> str:
    """The phone as it is compared: headers fill it up with zeroes to 12 or 20 digits."""
    return phone.lower().lstrip("0")


class TerminalConfig(BaseModel):
    """One vehicle terminal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        description="Id of the vehicle whose position this is.",
    )
    phone: str = Field(
        pattern=r"^[0-9a-fA-F]{1,20}$",
        description="Phone number of the terminal as its frames carry it (hex digits; zeroes in front do not count).",
    )
    measurement: str = Field(default="vehicle", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Terminal model, shown in the device list.")
    auth_code: Secret | None = Field(
        default=None,
        description="Its authentication code, instead of one derived from auth_secret.",
    )
    terminal_id: str | None = Field(
        default=None, description="Registers only with this terminal id; any if not given."
    )
    period_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Expected time between positions, seconds."
    )


class Jt808Config(ListenerConfig):
    """A port that vehicle terminals connect to (JT/T 808-2011, 2013, 2019)."""

    devices: tuple[TerminalConfig, ...] = Field(
        min_length=1, description="The terminals that may connect; any other is refused."
    )
    auth_secret: Secret | None = Field(
        default=None,
        description="Secret from which each terminal's authentication code is derived (HMAC-SHA-256 of its phone).",
    )
    require_auth: bool = Field(
        default=True, description="Refuse positions before authentication (0x0102)."
    )
    time_zone: ZoneText = Field(
        default="+08:00", description="Zone of the terminals' clocks; the standard says +08:00."
    )
    max_past_s: float = Field(
        default=604_800.0,
        ge=0,
        description="How old a terminal's time may be and still be believed, seconds (stored positions come late).",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )
    parts_wait_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="No further part of a split message for so long: ask for the missing ones, seconds.",
    )
    command_timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="Time allowed to answer a command, seconds."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, values in (
            ("id", [d.id for d in self.devices]),
            ("phone", [same_phone(d.phone) for d in self.devices]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two devices have the same {name}")
        if self.auth_secret is None:
            without = [d.id for d in self.devices if d.auth_code is None]
            if without:
                raise ValueError(f"give auth_secret, or auth_code for {', '.join(without)}")
        return self
