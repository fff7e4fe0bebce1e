"""Virtual locks and what happens to them: made from a file or a seed, carried by one of three radios, told by lines of text."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import BatteryAt, DoorMoved, EgressUsed, Tampered
from firmware_bridges.lock.peripheral import LockPeripheral
from firmware_bridges.lock.state import Identity
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.errors import (
    ConfigError,
    ConfigProblem,
    DriverReason,
    LinkError,
    MissingExtraError,
    UsageError,
)
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import advert_key, gateway_key
from tocsin.testing import free_port
from tocsin.testing.bluez.bus import bus_program

WORDS = (
    "door NAME open|closed, tamper NAME on|off, battery NAME PERCENT, handle NAME, "
    "power NAME, stuck NAME on|off, state"
)


class LockFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One virtual lock in a JSON list: ids and keys are hex, `issuers` are public keys by key id."""

    name: str
    lock_id: str
    k_lock: str
    profile: Literal["A", "B"]
    issuers: dict[str, str] = {}


def made(
    count: int, profile: Literal["A", "B"], seed: str, issuers: Mapping[str, str]
) -> list[LockFile]:
    """`count` locks whose keys follow from `seed`: for a bench, never for a hatch."""
    found = []
    for number in range(1, count + 1):
        key = hashlib.sha256(f"{seed}/{number}".encode()).digest()
        lock_id = hashlib.sha256(key).digest()[:8].hex()
        found.append(LockFile(f"lock-{number}", lock_id, key.hex(), profile, dict(issuers)))
    return found


def read_locks(path: Path) -> list[LockFile]:
    """The locks of a file. Raises ConfigError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[LockFile])
    except (OSError, msgspec.DecodeError) as exc:
        problem = ConfigProblem(
            file=str(path), line=0, key="", value="", allowed=f"a JSON list of locks: {exc}"
        )
        raise ConfigError([problem]) from exc


def peripheral_of(told: LockFile, number: int) -> LockPeripheral:
    """One lock, fresh from the factory. Raises UsageError for ids and keys that are none."""
    try:
        profile = Profile.SIGNATURES if told.profile == "B" else Profile.MAC_ONLY
        keys = {bytes.fromhex(kid): bytes.fromhex(key) for kid, key in told.issuers.items()}
        issuers = IssuerKeys(keys) if profile is Profile.SIGNATURES else None
        identity = Identity(bytes.fromhex(told.lock_id), profile, bytes.fromhex(told.k_lock))
    except ValueError as exc:
        hint = "--issuer KID:KEY; lock_id has 16 hex digits, k_lock 64"
        raise UsageError(f"{told.name}: {exc}", hint=hint) from exc
    lock = VirtualLock(identity, issuers, entropy=os.urandom, seconds=time.monotonic)
    return LockPeripheral(lock, f"C0:FF:EE:00:{number >> 8:02X}:{number & 0xFF:02X}")


def commissioned(told: LockFile, gateway_id: bytes, epoch: int = 1) -> dict[str, str]:
    """What the gateway's file must say of a lock."""
    key = bytes.fromhex(told.k_lock)
    return {
        "id": told.name,
        "lock_id": told.lock_id,
        "key": gateway_key(key, gateway_id, epoch).hex(),
        "advert_key": advert_key(key).hex(),
    }


class Sim:
    """All locks by name; `tell` makes something happen to one."""

    def __init__(self, locks: list[LockFile]) -> None:
        self.locks = {told.name: peripheral_of(told, n) for n, told in enumerate(locks, 1)}

    def tell(self, line: str) -> list[dict[str, object]]:
        """One line of text. Raises UsageError: it means nothing."""
        words = line.split()
        if not words:
            return []
        if words == ["state"]:
            return [self.state(name) for name in self.locks]
        lock = self.locks.get(words[1]) if len(words) > 1 else None
        if lock is None:
            raise UsageError(f"{line.strip()!r}: which lock?", hint=WORDS)
        match [words[0], *words[2:]]:
            case ["door", ("open" | "closed") as where]:
                lock.happens(DoorMoved(where == "open"))
            case ["tamper", ("on" | "off") as what]:
                lock.happens(Tampered(what == "on"))
            case ["battery", percent] if percent.isdigit():
                lock.happens(BatteryAt(min(100, int(percent))))
            case ["handle"]:
                lock.happens(EgressUsed())
            case ["power"]:
                lock.restart()
            case ["stuck", ("on" | "off") as what]:
                lock.lock.is_stuck = what == "on"
            case _:
                raise UsageError(f"{line.strip()!r} means nothing here", hint=WORDS)
        return [self.state(words[1])]

    def state(self, name: str) -> dict[str, object]:
        """What one lock is like."""
        state = self.locks[name].lock.state
        return {
            "lock": name,
            "unlocked": state.is_unlocked,
            "open": state.is_open,
            "tampered": state.is_tampered,
            "battery_percent": state.battery_percent,
            "events": state.seq,
            "acknowledged": state.durable.acked_seq,
            "connected": self.locks[name].is_connected,
        }


@asynccontextmanager
async def carried(sim: Sim, *, hci: str | None, air: str | None) -> AsyncIterator[dict[str, str]]:
    """The locks in the air, and what a gateway needs to reach them: `hci`, or the environment variable of a private bus.

    Without `hci` and `air`: a private bus where dbus-daemon is installed, else an air on a free port of loopback.

    Raises:
        MissingExtraError: bumble or bleak's D-Bus library is not installed.
        LinkError: dbus-daemon is missing, or the controller cannot be opened.
    """
    locks = list(sim.locks.values())
    if hci is None and air is None and bus_program() is None:
        air = f"tcp-server:127.0.0.1:{free_port()}"
    if hci is None and air is None:
        async with _on_private_bus(locks) as address:
            yield {"DBUS_SYSTEM_BUS_ADDRESS": address}
        return
    try:
        from bumble.core import BaseBumbleError

        from firmware_bridges.lock.bumble_radio import on_controller, own_air
    except ImportError as exc:
        raise MissingExtraError("radio", exc.name or "bumble") from exc
    async with AsyncExitStack() as stack:
        try:
            if hci is not None:
                await stack.enter_async_context(on_controller(locks[0], hci))
                reach = {}
            else:
                await stack.enter_async_context(own_air(locks, air or ""))
                reach = {"hci": (air or "").replace("tcp-server:", "tcp-client:", 1)}
        except (BaseBumbleError, OSError, ValueError) as exc:
            raise LinkError(DriverReason.NO_PORT, f"{hci or air}: {exc}") from exc
        yield reach


@asynccontextmanager
async def _on_private_bus(locks: list[LockPeripheral]) -> AsyncIterator[str]:
    try:
        from tocsin.testing import bluez
    except ImportError as exc:
        raise MissingExtraError("ble", exc.name or "dbus_fast") from exc
    adapter = bluez.Adapter()
    for lock in locks:
        adapter.place(lock)
    with bluez.private_bus() as address:
        async with adapter.run(address):
            yield address
