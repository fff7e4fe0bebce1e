"""The configured terminals: who may connect, with which code, and what each has already told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import OrderedDict

from edge.drivers.jt808.config import Jt808Config, TerminalConfig, same_phone
from edge.drivers.jt808.orders import SPECS
from firmware_bridges.jt808.location import Location, encode_location
from firmware_bridges.jt808.samples import CHANNELS
from tocsin.sdk import DeviceSpec, SourceWindow

_REMEMBERED = 4096
_CODE_DIGITS = 16

Key = bytes


class Vehicle:
    """One terminal of the configuration."""

    def __init__(self, config: TerminalConfig, spec: DeviceSpec, code: str) -> None:
        self.config, self.spec, self.code = config, spec, code
        self.keeping = asyncio.Lock()  # a new link may send again what the old one is still keeping
        self._told: OrderedDict[Key, None] = OrderedDict()

    @property
    def id(self) -> str:
        """Id of the device."""
        return self.config.id

    def key(self, place: Location, serial: int) -> Key:
        """What makes a position the same one: its bytes with their time; without a time, the serial as well."""
        dated = place.time() is not None
        return hashlib.blake2b(
            encode_location(place) + (b"" if dated else serial.to_bytes(2, "big")), digest_size=12
        ).digest()

    def told(self, key: Key) -> bool:
        """Whether this position is already kept."""
        return key in self._told

    def remember(self, key: Key) -> None:
        """To be called once the position is durable."""
        self._told[key] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)


class Fleet:
    """All of them, found by phone or by id."""

    def __init__(self, config: Jt808Config) -> None:
        self._by_phone: dict[str, Vehicle] = {}
        self.replace(config)

    def replace(self, config: Jt808Config) -> None:
        """Let these connect from now on; a terminal that is configured as before stays the same one."""
        before, window = self._by_phone, SourceWindow(config.max_past_s, config.max_future_s)
        self._by_phone = {}
        for one in config.devices:
            phone, code = same_phone(one.phone), auth_code(config, one)
            known = before.get(phone)
            if known is None or (known.config, known.code) != (one, code):
                spec = DeviceSpec(
                    one.id, one.measurement, CHANNELS, one.period_s, window, one.model, SPECS
                )
                known = Vehicle(one, spec, code)
            self._by_phone[phone] = known

    def __contains__(self, vehicle: Vehicle) -> bool:
        return self._by_phone.get(same_phone(vehicle.config.phone)) is vehicle

    def by_phone(self, phone: str) -> Vehicle | None:
        """The terminal with this phone, however many zeroes are in front."""
        return self._by_phone.get(same_phone(phone))

    @property
    def specs(self) -> tuple[DeviceSpec, ...]:
        """Every device."""
        return tuple(vehicle.spec for vehicle in self._by_phone.values())


def auth_code(config: Jt808Config, device: TerminalConfig) -> str:
    """The terminal's own code, or the first 16 hex digits of HMAC-SHA-256(auth_secret, phone)."""
    if device.auth_code is not None:
        return device.auth_code.reveal()
    assert config.auth_secret is not None  # noqa: S101 - the configuration is validated
    secret, phone = config.auth_secret.reveal().encode(), same_phone(device.phone).encode()
    return hmac.new(secret, phone, hashlib.sha256).hexdigest()[:_CODE_DIGITS]
