"""What cloud and gateway tell one another about permits.

Both sides repeat their message until the other's `have` says that it is kept on disk; nobody forgets before.
"""

from __future__ import annotations

import msgspec

from tocsin.contract.messages import AttendantSigns
from tocsin.permits.context import Instrument, Other
from tocsin.permits.journal import Entry
from tocsin.permits.names import State
from tocsin.permits.rule_rows import Rules
from tocsin.permits.space import Space, Template

DOWN = "permit"  # the class of `down/`: PermitDown, signed as commands are
SIGNS = "sign"  # the class of `down/`: SignsDown
KEY_UP = "permit.key"  # kind of the event that carries a KeyUp
CONFIRMED, WAITING, REVOKED = "confirmed", "waiting", "revoked"  # of a phone
UP = "permit"  # kind of the event that carries a PermitUp


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who may act on a permit at its gateway. `pin` is a password hash (argon2id or scrypt text), `key` an Ed25519 public key."""

    account: str
    name: str
    roles: tuple[str, ...]
    pin: str = ""
    key: bytes = b""
    trained_until_ns: int = 0  # Unix ns; 0: not trained
    fit_until_ns: int = 0
    phones: dict[
        str, str
    ] = {}  # holder id, hex -> confirmed, waiting, revoked, or why it was refused


class KeyUp(msgspec.Struct, frozen=True):
    """A phone key made at the gateway's page by somebody who gave their PIN; `proof` signs "HOLD1" and the account's name."""

    account: str
    public: bytes
    proof: bytes


class SealedGrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A grant for one lock and holder: the COSE copy, and for a lock of profile A the capability key sealed to the gateway."""

    cose: bytes
    sealed_key: bytes = b""


class LentTime(msgspec.Struct, frozen=True):
    """K_time of one lock (`lock` its device id at the gateway), sealed to the gateway: it may tell the lock the time in this span, Unix s."""

    lock: str
    lock_id: bytes
    from_s: int
    until_s: int
    sealed: bytes

    @property
    def context(self) -> bytes:
        """What the seal is bound to (docs/specs/grant.md)."""
        span = self.from_s.to_bytes(4, "big") + self.until_s.to_bytes(4, "big")
        return b"k_time " + self.lock_id + span


class PermitDown(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a gateway needs to watch a permit alone. `entries` are those the gateway has not said it keeps."""

    v: int
    permit: str
    gateway: str
    space: Space
    template: Template
    rules: Rules
    entries: tuple[Entry, ...] = ()
    have: int = 0  # the newest number of the gateway's own entries that the cloud keeps on disk
    people: tuple[Person, ...] = ()
    grants: tuple[SealedGrant, ...] = ()
    denied: tuple[str, ...] = ()  # ids of grants (hex) that are void
    instruments: tuple[Instrument, ...] = ()
    times: tuple[LentTime, ...] = ()
    others: tuple[Other, ...] = ()  # other permits that matter here, as the cloud knew them
    sig: str = ""


class SignsDown(msgspec.Struct, frozen=True):
    """Signs of attendants that the cloud saw on its own pages; what a gateway saw stands in its health message."""

    v: int
    gateway: str
    signs: AttendantSigns
    sig: str = ""


class PermitUp(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway wrote, and how far it keeps what the cloud wrote."""

    v: int
    permit: str
    gateway: str
    state: State
    entries: tuple[Entry, ...] = ()
    have: int = 0  # the newest number of the cloud's entries kept here
    head: str = ""  # hash of that entry
    own: int = -1  # the newest number of its own entries on its disk; -1: it does not say
    siren: bool | None = None  # whether the space has one at the gateway; None: it does not say
    lost: bool = False  # the cloud keeps own entries that are not there: its journal was lost
