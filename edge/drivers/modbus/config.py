"""`[[drivers]]` of type `modbus`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from firmware_bridges.modbus.profile import Profile
from firmware_bridges.modbus.profiles import load_profile, profile_names
from tocsin.config import Mistake, MistakesError
from tocsin.errors import ConfigError
from tocsin.sdk import DriverConfig, Endpoint

BITS_PER_CHAR = 11  # start, 8 data, parity or second stop, stop
SILENCE_CHARS = 3.5  # Modbus over serial line V1.02, 2.5.1.1
MIN_SILENCE_S = 0.00175


def _load(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    try:
        return load_profile(value, Path((info.context or {}).get("dir", Path())))
    except ConfigError as exc:
        raise MistakesError([Mistake((), str(p), profile_names()) for p in exc.problems]) from exc


ProfileRef = Annotated[
    Profile,
    BeforeValidator(_load),
    WithJsonSchema({"type": "string", "description": "Name of a shipped profile, or a path."}),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RtuOptions(_Table):
    """A serial line (RS-485 or RS-232)."""

    port: str = Field(min_length=1, description="Serial port; prefer /dev/serial/by-id/... .")
    baudrate: int = Field(default=9600, ge=300, le=4_000_000, description="Bits per second.")
    parity: Literal["N", "E", "O"] = Field(default="N", description="None, even or odd.")
    stopbits: Literal[1, 2] = Field(default=1, description="Stop bits.")
    bytesize: Literal[7, 8] = Field(default=8, description="Data bits.")


class TcpOptions(_Table):
    """A network connection."""

    host: str = Field(min_length=1, description="Name or address.")
    port: int = Field(default=502, ge=1, le=65535, description="TCP port.")
    framing: Literal["mbap", "rtu"] = Field(
        default="mbap", description="`rtu` for a serial server that passes RTU frames through."
    )


class ModbusDevice(_Table):
    """One device on the line."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the device.")
    unit_id: int = Field(ge=0, le=255, description="Its unit number (slave address).")
    profile: ProfileRef = Field(description="Device profile: a shipped name, or a path to a file.")
    period_s: float = Field(default=1.0, gt=0, le=86_400, description="Time between two reads.")
    measurement: str | None = Field(default=None, description="Instead of the profile's.")
    points: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="By quantity, keys to change in the profile's points, e.g. `h2s = { scale = 0.1 }`.",
    )
    timeout_s: float | None = Field(default=None, gt=0, description="Instead of the driver's.")

    @model_validator(mode="after")
    def _overrides_fit(self) -> ModbusDevice:
        self.effective_profile()
        return self

    def effective_profile(self) -> Profile:
        """The profile with this device's changes."""
        if not self.points and self.measurement is None:
            return self.profile
        raw = self.profile.model_dump(exclude_unset=True)
        if self.measurement is not None:
            raw["profile"]["measurement"] = self.measurement
        known = [point["quantity"] for point in raw["points"]]
        unknown = [name for name in self.points if name not in known]
        if unknown:
            allowed = "not a quantity of this profile; it has " + ", ".join(known)
            raise MistakesError([Mistake(("points", name), allowed, known) for name in unknown])
        for point in raw["points"]:
            point.update(self.points.get(point["quantity"], {}))
        try:
            return Profile.model_validate(raw)
        except ValidationError as exc:
            raise MistakesError(list(_in_device(exc, known))) from exc


def _in_device(exc: ValidationError, quantities: list[str]) -> Iterator[Mistake]:
    """The mistakes of a changed profile, placed in the device's own table."""
    for error in exc.errors():
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, MistakesError):
            for mistake in cause.found:
                yield Mistake(_place(mistake.path, quantities), mistake.allowed, mistake.choices)
        else:
            text = error["msg"].removeprefix("Value error, ")
            yield Mistake(_place(error["loc"], quantities), text)


def _place(location: tuple[int | str, ...], quantities: list[str]) -> tuple[int | str, ...]:
    """Where in the device's table a mistake of the changed profile stands."""
    if location[:1] == ("points",) and len(location) > 1 and isinstance(location[1], int):
        return ("points", quantities[location[1]], *location[2:])
    return ("measurement",) if location[:1] == ("profile",) else ("points",)


class ModbusConfig(DriverConfig):
    """One serial line or one TCP connection, and the devices on it."""

    type: Literal["modbus"] = Field(description="Driver: `modbus`.")
    rtu: RtuOptions | None = Field(default=None, description="The serial line; or `tcp`.")
    tcp: TcpOptions | None = Field(default=None, description="The connection; or `rtu`.")
    timeout_s: float = Field(
        default=1.0, gt=0, le=60, description="How long a device may take to answer."
    )
    retries: int = Field(
        default=1, ge=0, le=5, description="Further tries in one read of a device that was well."
    )
    inter_frame_s: float | None = Field(
        default=None,
        ge=0,
        le=5,
        description="Pause before a request; default 3.5 characters on a serial line, else none.",
    )
    post_connect_s: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="Pause after the port opened, for devices and adapters that start with it.",
    )
    backoff_max_s: float = Field(
        default=30.0, gt=0, description="Longest pause between tries of a device that is silent."
    )
    devices: tuple[ModbusDevice, ...] = Field(description="The devices.")

    @model_validator(mode="after")
    def _parts_agree(self) -> ModbusConfig:
        found: list[Mistake] = []
        if (self.rtu is None) == (self.tcp is None):
            found.append(Mistake((), "needs exactly one of `rtu` and `tcp`"))
        if not self.devices:
            found.append(Mistake(("devices",), "at least one [[drivers.devices]] is needed"))
        seen: set[str] = set()
        for i, device in enumerate(self.devices):
            if device.id in seen:
                found.append(Mistake(("devices", i, "id"), "another device has this name"))
            seen.add(device.id)
            on_a_line = self.rtu is not None or (self.tcp is not None and self.tcp.framing == "rtu")
            if on_a_line and device.unit_id == 0:
                found.append(Mistake(("devices", i, "unit_id"), "0 is for broadcasts; 1 to 247"))
        if found:
            raise MistakesError(found)
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The line or the connection."""
        return Endpoint.line(self.rtu.port if self.rtu else None, self.address)

    @property
    def pause_s(self) -> float:
        """Silence before each request."""
        if self.inter_frame_s is not None:
            return self.inter_frame_s
        if self.rtu is None:
            return 0.0
        return max(MIN_SILENCE_S, SILENCE_CHARS * BITS_PER_CHAR / self.rtu.baudrate)

    @property
    def has_transactions(self) -> bool:
        """Whether an answer carries the number of its request (MBAP)."""
        return self.tcp is not None and self.tcp.framing == "mbap"

    @property
    def address(self) -> str:
        """The port, for messages."""
        if self.rtu is not None:
            return self.rtu.port
        return f"{self.tcp.host}:{self.tcp.port}" if self.tcp else ""
