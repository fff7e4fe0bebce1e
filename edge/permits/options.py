"""`[permits]` and `[[spaces]]` of gateway.toml."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from edge.listening import address_of
from tocsin.config import ConfigPath, Mistake, MistakesError, Section, is_loopback

_SIGNAL = r"^[^/\s]+/[a-z][a-z0-9_]*$"


def _listen(text: str) -> str:
    address_of(text)
    return text


class PermitOptions(Section):
    """Permits for confined spaces at this gateway; present: it keeps and watches them."""

    max_bytes: int = Field(
        default=32 << 20,
        ge=1 << 18,
        le=1 << 30,
        description="Largest size of the permit journal; full, it takes no new permit and no entry but exits, suspensions and emergencies, for which a reserve of 128 KiB is kept.",
    )
    listen: Annotated[str, AfterValidator(_listen)] | None = Field(
        default=None,
        description="Address and port of the attendant's page, like 0.0.0.0:8443; default: no page.",
    )
    cert: ConfigPath | None = Field(
        default=None, description="PEM certificate of the page, with its chain."
    )
    key: ConfigPath | None = Field(default=None, description="PEM key of that certificate.")

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if self.listen and self.cert is None and not is_loopback(address_of(self.listen)[0]):
            allowed = "is beyond this machine: give `cert` and `key` (tocsin provision page)"
            raise MistakesError([Mistake(("listen",), allowed)])
        return self


class SirenConfig(Section):
    """What sounds at the space: a command to a device, or one of [[outputs]]."""

    device: str = Field(default="", description="Device that switches it, such as a relay module.")
    command: str = Field(default="", description="Its command.")
    on: dict[str, str | int | float | bool] = Field(
        default={}, description="Arguments that switch it on."
    )
    off: dict[str, str | int | float | bool] = Field(
        default={}, description="Arguments that switch it off."
    )
    output: str = Field(default="", description="Or the name of one of [[outputs]].")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.output) == bool(self.device):
            raise ValueError("give `device` with `command`, or `output`")
        if self.device and not self.command:
            raise ValueError("`device` needs a `command`")
        if self.device and self.on == self.off:
            raise ValueError("`on` and `off` are the same")
        return self


class SpaceConfig(Section):
    """One confined space: which of this gateway's devices are there. It wins over what the cloud's ledger says."""

    id: str = Field(min_length=1, max_length=64, description="The space, as in the cloud's ledger.")
    gas: tuple[str, ...] = Field(
        min_length=1,
        description="Ids of the gas devices in the space; each of the template's gases must come from one of them.",
    )
    ventilation: Annotated[str, Field(pattern=_SIGNAL)] | None = Field(
        default=None, description="device/quantity that is true (not 0) while the fan runs."
    )
    siren: SirenConfig | None = Field(
        default=None, description="What sounds when work must stop; without it nothing is heard."
    )
    locks: tuple[str, ...] = Field(
        default=(), description="Device ids of the locks of the space; a lock belongs to one space."
    )
