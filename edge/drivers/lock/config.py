"""`[[drivers]]` of type `lock`."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from tocsin.config import ConfigPath, Mistake, MistakesError, Secret, Section
from tocsin.sdk import DriverConfig, Endpoint

_ID = r"^[0-9a-f]{16}$"
_KEY = re.compile(r"[0-9a-f]{64}")


class IssuerKey(Section):
    """One key of whoever issues grants."""

    kid: str = Field(pattern=r"^[0-9a-f]{4}$", description="Its id, 4 hex digits.")
    public: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="The Ed25519 public key, 64 hex digits."
    )


class LockDevice(Section):
    """One lock, as it was commissioned for this gateway."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the device.")
    lock_id: str = Field(pattern=_ID, description="The lock's own id, 16 hex digits.")
    key: Secret = Field(
        description="This gateway's key for the lock (K_gw), 64 hex digits; opens nothing by itself."
    )
    advert_key: Secret | None = Field(
        default=None,
        description="Key that tells this lock's advertisements from others' (K_adv), 64 hex digits.",
    )
    address: str = Field(
        default="",
        pattern=r"^$|^[0-9A-F]{2}(?::[0-9A-F]{2}){5}$",
        description="Its Bluetooth address, where there is no `advert_key`. Never trusted: the lock must prove itself.",
    )
    model: str = Field(default="", description="Model, shown in the device list.")


class LockConfig(DriverConfig):
    """The smart locks in the range of one Bluetooth adapter."""

    type: Literal["lock"] = Field(description="Driver: `lock`.")
    gateway_id: str = Field(
        pattern=_ID, description="This gateway's id in grants and locks, 16 hex digits."
    )
    issuers: tuple[IssuerKey, ...] = Field(
        min_length=1,
        max_length=2,
        description="Whose grants open: one key, two while it is being replaced.",
    )
    adapter: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,32}$",
        description="Bluetooth adapter (`hci0`); default: the system's first.",
    )
    hci: str | None = Field(
        default=None,
        pattern=r"^[a-z-]+(?::\S*)?$",
        description="A controller of its own instead of the system's Bluetooth service: `usb:0`, `serial:/dev/ttyACM0,1000000`, `tcp-client:host:port` (needs tocsin[radio]).",
    )
    period_s: float = Field(
        default=300.0, ge=1, le=86_400, description="Ask every lock at least so often, seconds."
    )
    find_s: float = Field(
        default=15.0,
        ge=0.2,
        le=120,
        description="How long to listen for a lock that is wanted, seconds: several of its advertising intervals.",
    )
    connect_s: float = Field(
        default=10.0, ge=0.2, le=60, description="How long a connection may take, seconds."
    )
    clock_error_s: int | None = Field(
        default=None,
        ge=0,
        le=59,
        description="The clock of this gateway is right to so many seconds, although the system does not say that it is disciplined; needed to tell locks the time then.",
    )
    log_dir: ConfigPath | None = Field(
        default=None,
        description="Folder that remembers how far each lock's log was read; without it that is forgotten at a restart, and a log that was rolled back meanwhile goes unseen.",
    )
    devices: tuple[LockDevice, ...] = Field(min_length=1, max_length=200, description="The locks.")

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        found: list[Mistake] = []
        for key in ("id", "lock_id", "address"):
            values = [getattr(device, key) for device in self.devices]
            for i, value in enumerate(values):
                if value and value in values[:i]:
                    found.append(Mistake(("devices", i, key), "another lock has this one"))
        for i, device in enumerate(self.devices):
            if device.advert_key is None and not device.address:
                allowed = "`advert_key` or `address`: how else is it found?"
                found.append(Mistake(("devices", i, "advert_key"), allowed))
            for name in ("key", "advert_key"):
                secret = getattr(device, name)
                text = secret.reveal().strip() if secret is not None else "${"
                if not text.startswith("${") and not _KEY.fullmatch(text):
                    found.append(Mistake(("devices", i, name), "64 hex digits"))
        if len({one.kid for one in self.issuers}) != len(self.issuers):
            found.append(Mistake(("issuers", 1, "kid"), "both keys have this id"))
        if self.hci is not None and self.adapter:
            found.append(Mistake(("adapter",), "give one of `adapter`, `hci`"))
        if found:
            raise MistakesError(found)
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The adapter, or the way to the controller of its own; nobody can look at a USB one without taking it."""
        if self.hci is None:
            return (Endpoint("bluetooth", self.adapter),)
        kind, _, where = self.hci.partition(":")
        if kind == "tcp-client":
            return (Endpoint("connect", where),)
        return (Endpoint("serial", where.partition(",")[0]),) if kind == "serial" else ()
