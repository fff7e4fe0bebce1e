"""What a lock shows over GATT: UUIDs, properties, INFO, advertisement, ATT codes. docs/specs/lock.md, section 1."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.att import ATT_CODES, refusal_of
from tocsin.grants.fields import ID_BYTES
from tocsin.grants.primitives import mac

__all__ = [
    "ADVERT_COMPANY",
    "ATT_CODES",
    "CMD",
    "INFO",
    "LOG",
    "PROPERTIES",
    "RSP",
    "SERVICE",
    "Advert",
    "Info",
    "Profile",
    "Shown",
    "advert_bytes",
    "decode_info",
    "encode_info",
    "is_advert_of",
    "read_advert",
    "refusal_of",
]

SERVICE: Final = "c29b0000-8b6c-498b-9fb1-8f8acb596ec1"
INFO: Final = "c29b0001-8b6c-498b-9fb1-8f8acb596ec1"
CMD: Final = "c29b0002-8b6c-498b-9fb1-8f8acb596ec1"
RSP: Final = "c29b0003-8b6c-498b-9fb1-8f8acb596ec1"
LOG: Final = "c29b0004-8b6c-498b-9fb1-8f8acb596ec1"
PROPERTIES: Final[dict[str, tuple[str, ...]]] = {
    INFO: ("read",),
    CMD: ("write",),  # with response: a refusal is the write's ATT error
    RSP: ("indicate",),
    LOG: ("notify",),
}
ADVERT_COMPANY: Final = 0xFFFF  # "internal use" (Bluetooth Assigned Numbers); a maker puts its own
VERSION: Final = 1
INFO_BYTES: Final = 27
ADVERT_BYTES: Final = 10
_HINT_BYTES: Final = 4


class Profile(IntEnum):
    """Fixed at manufacture; never negotiated."""

    MAC_ONLY = 1  # profile A: HMAC and ChaCha20-Poly1305
    SIGNATURES = 2  # profile B: Ed25519 as well


class Shown(IntFlag):
    """The state a lock shows to anyone."""

    UNLOCKED = 1  # the bolt is in
    DOOR_OPEN = 2
    TAMPER = 4
    EVENTS_PENDING = 8  # log events nobody acknowledged
    JAMMED = 16
    LOCKED_OUT = 32
    BATTERY_LOW = 64
    TIME_UNKNOWN = 128


class Info(msgspec.Struct, frozen=True):
    """The INFO characteristic. Anyone can read and anyone near can forge it: a hint, no evidence."""

    profile: Profile
    lock_id: bytes
    firmware: int
    boot_counter: int
    shown: Shown
    battery_percent: int
    event_seq: int
    time_quality: int
    model: int = 1


class Advert(msgspec.Struct, frozen=True):
    """The manufacturer data of an advertisement."""

    random: bytes
    hint: bytes
    shown: Shown


def encode_info(info: Info) -> bytes:
    """27 bytes."""
    return b"".join(
        (
            bytes([VERSION, info.model]),
            int(info.profile).to_bytes(2, "big"),
            info.lock_id,
            info.firmware.to_bytes(4, "big"),
            info.boot_counter.to_bytes(4, "big"),
            bytes([info.shown, info.battery_percent]),
            info.event_seq.to_bytes(4, "big"),
            bytes([info.time_quality]),
        )
    )


def decode_info(data: bytes) -> Info:
    """Raises GrantRefusedError: `malformed`, `unsupported-version`."""
    if data[:1] not in (b"", bytes([VERSION])):
        raise GrantRefusedError(LockRefusal.UNSUPPORTED_VERSION, f"INFO of version {data[0]}")
    if len(data) != INFO_BYTES or data[2:4] not in (b"\x00\x01", b"\x00\x02"):
        raise GrantRefusedError(LockRefusal.MALFORMED, f"INFO of {len(data)} bytes is not one")
    return Info(
        model=data[1],
        profile=Profile(data[3]),
        lock_id=data[4 : 4 + ID_BYTES],
        firmware=int.from_bytes(data[12:16], "big"),
        boot_counter=int.from_bytes(data[16:20], "big"),
        shown=Shown(data[20]),
        battery_percent=data[21],
        event_seq=int.from_bytes(data[22:26], "big"),
        time_quality=data[26],
    )


def advert_bytes(advert_key: bytes, random: bytes, shown: Shown) -> bytes:
    """Manufacturer data: version, 4 fresh random bytes, their MAC cut to 4, state. Renewed at every change and 15 min."""
    return bytes([VERSION]) + random + _hint(advert_key, random) + bytes([shown])


def read_advert(data: bytes) -> Advert | None:
    """None for what is not of our making."""
    if len(data) != ADVERT_BYTES or data[0] != VERSION:
        return None
    return Advert(data[1:5], data[5:9], Shown(data[9]))


def is_advert_of(advert: Advert, advert_key: bytes) -> bool:
    """Whether this lock's key made it: tells twenty locks in range apart; one in 4 billion is taken for another."""
    return _hint(advert_key, advert.random) == advert.hint


def _hint(advert_key: bytes, random: bytes) -> bytes:
    return mac(advert_key, b"ADV1", random)[:_HINT_BYTES]
