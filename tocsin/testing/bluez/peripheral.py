"""What a virtual Bluetooth LE peripheral is, and what can go wrong with it on its way to a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec


class AttError(Exception):
    """The peripheral answers a read or write with an ATT error (Bluetooth Core 5.4, Vol 3 Part F 3.4.1.1)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ATT error 0x{code:02X}")
        self.code = code


class Characteristic(msgspec.Struct, frozen=True):
    """One characteristic. `flags` as BlueZ names them: read, write, write-without-response, notify, indicate."""

    uuid: str
    flags: tuple[str, ...]


class Service(msgspec.Struct, frozen=True):
    """One primary service."""

    uuid: str
    characteristics: tuple[Characteristic, ...]


class Advertisement(msgspec.Struct, frozen=True):
    """What it broadcasts. `makers`: manufacturer data by company identifier."""

    services: tuple[str, ...] = ()
    makers: Mapping[int, bytes] = {}
    name: str = ""
    rssi_dbm: int = -60


class Link(Protocol):
    """One connection, from the peripheral's side."""

    @property
    def mtu(self) -> int:
        """ATT_MTU."""
        ...

    def send(self, uuid: str, value: bytes) -> None:
        """Notify or indicate; nothing happens while the client has not asked for it."""
        ...

    def drop(self) -> None:
        """The connection is lost: out of range, out of power."""
        ...


class Peripheral(Protocol):
    """A device with a GATT server. One client at a time, as with most of them."""

    @property
    def address(self) -> str:
        """Like C0:FF:EE:00:00:01."""
        ...

    @property
    def services(self) -> tuple[Service, ...]:
        """Its GATT server; stays as it is."""
        ...

    def advertisement(self) -> Advertisement | None:
        """What it broadcasts now; None while it does not, and then nobody can connect to it either."""
        ...

    def connected(self, link: Link) -> None: ...

    def disconnected(self) -> None: ...

    def read(self, uuid: str) -> bytes:
        """Raises AttError: it says no."""
        ...

    def write(self, uuid: str, value: bytes) -> None:
        """A write with or without response. Raises AttError: it says no."""
        ...


@dataclass
class Faults:
    """What goes wrong with one peripheral; change it at any time."""

    out_of_range: bool = False  # not heard; a connection attempt hangs until it is given up
    refuse_connect: str = ""  # BlueZ's words, e.g. "le-connection-abort-by-peer"
    connect_delay_s: float = 0.0
    advertise_every_s: float = 0.05
    mtu: int = 247
    drop_before_write: int = (
        0  # the link is lost when the n-th write from now is sent: it never arrives
    )
    drop_after_write: int = (
        0  # the n-th write from now arrives, the link is lost before anything comes back
    )
    write_delay_s: float = 0.0
    silent: bool = False  # notifications and indications are lost
    late_s: float = 0.0  # each of them comes so much later
    twice: bool = False  # each of them comes twice
    swapped: bool = False  # they come in pairs, the second one first
    spoil: Callable[[bytes], bytes] | None = None  # what each of them becomes
    waiting: list[tuple[str, bytes]] = field(default_factory=list)  # the first of a swapped pair

    def drops_before(self) -> bool:
        """Whether the write that is sent now is lost with the link."""
        left, self.drop_before_write = self.drop_before_write, max(0, self.drop_before_write - 1)
        return left == 1

    def drops_after(self) -> bool:
        """Whether the link is lost after the write that is sent now."""
        left, self.drop_after_write = self.drop_after_write, max(0, self.drop_after_write - 1)
        return left == 1

    def outgoing(self, uuid: str, value: bytes) -> list[tuple[str, bytes]]:
        """What becomes of a notification, in the order in which it arrives."""
        if self.silent:
            return []
        if self.spoil is not None:
            value = self.spoil(value)
        sent = [(uuid, value)] * (2 if self.twice else 1)
        if not self.swapped:
            return sent
        self.waiting[:0] = sent
        if len(self.waiting) < 2:
            return []
        ready, self.waiting[:] = list(self.waiting), []
        return ready
