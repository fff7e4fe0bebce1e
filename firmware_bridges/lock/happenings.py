"""What happens to a lock, and what it then wants done. Pure data: wrappers turn a radio's and a door's doings into these."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.errors import LockRefusal


class Connected(msgspec.Struct, frozen=True):
    """A client connected; its frames have at most `frame_bytes` (MTU less 3, at most 244)."""

    link: int
    frame_bytes: int


class Disconnected(msgspec.Struct, frozen=True):
    """The client is gone."""

    link: int


class Written(msgspec.Struct, frozen=True):
    """A write to CMD."""

    link: int
    data: bytes


class DoorMoved(msgspec.Struct, frozen=True):
    """The door's sensor."""

    is_open: bool


class BoltMoved(msgspec.Struct, frozen=True):
    """The bolt's end switch."""

    is_unlocked: bool


class EgressUsed(msgspec.Struct, frozen=True):
    """The inside handle drew the bolt. It needs no electronics and is never refused: this only tells of it."""


class Tampered(msgspec.Struct, frozen=True):
    """The housing's contact."""

    is_tampered: bool


class BatteryAt(msgspec.Struct, frozen=True):
    """The battery, in percent."""

    percent: int


class Tick(msgspec.Struct, frozen=True):
    """Time passed; at least once a second."""


Happening = (
    Connected
    | Disconnected
    | Written
    | DoorMoved
    | BoltMoved
    | EgressUsed
    | Tampered
    | BatteryAt
    | Tick
)


class Area(StrEnum):
    """Parts of the lock's flash."""

    STATE = "state"  # 2 slots, written in turn
    LOG = "log"  # 512 slots of 64 bytes


class Store(msgspec.Struct, frozen=True):
    """Write a slot of flash. Effects are carried out in order, each finished before the next begins."""

    area: Area
    slot: int
    data: bytes


class Actuate(msgspec.Struct, frozen=True):
    """Drive the bolt, then tell BoltMoved, also where it was there already."""

    to_unlocked: bool


class Refuse(msgspec.Struct, frozen=True):
    """Answer the write with this ATT error."""

    link: int
    reason: LockRefusal


class Indicate(msgspec.Struct, frozen=True):
    """A frame on RSP."""

    link: int
    frame: bytes


class Notify(msgspec.Struct, frozen=True):
    """A frame on LOG."""

    link: int
    frame: bytes


class Drop(msgspec.Struct, frozen=True):
    """Disconnect."""

    link: int


class Advertise(msgspec.Struct, frozen=True):
    """Manufacturer data to advertise from now on."""

    data: bytes


Effect = Store | Actuate | Refuse | Indicate | Notify | Drop | Advertise
