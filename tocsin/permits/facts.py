"""What an entry of a permit's journal says happened. Tagged, so that each is its own kind on the wire and on disk."""

from __future__ import annotations

from typing import Literal

import msgspec

from tocsin.permits.names import Cause, State


class Form(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an applicant fills in. Times are Unix ns; people are account names."""

    space: str
    template: str  # of the hazards
    purpose: str
    steps: tuple[str, ...]
    work_leader: str
    attendants: tuple[str, ...]
    entrants: tuple[str, ...]
    gas_tester: str
    rescue_plan: str
    rescue_call: str
    from_ns: int
    until_ns: int
    contractor: str = ""
    contractor_licence: str = ""
    communication: str = ""
    equipment: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()  # permits of other work here: hot work, power, height
    activities: tuple[str, ...] = ()  # what is done, for conflicts with work nearby
    photos: tuple[str, ...] = ()  # SHA-256 of each, hex
    checklist: tuple[str, ...] = ()  # items ticked


class Drafted(msgspec.Struct, frozen=True, tag="drafted"):
    """The permit begins, or its form is changed while it is a draft."""

    form: Form


class Moved(msgspec.Struct, frozen=True, omit_defaults=True, tag="moved"):
    """The permit went from one state to another."""

    source: State
    target: State
    cause: Cause | None = None
    conflicts: tuple[str, ...] = ()  # what the scan for simultaneous operations found
    place: str = ""  # the QR code read by whoever had to be at the space


class Isolated(msgspec.Struct, frozen=True, omit_defaults=True, tag="isolated"):
    """One item of the isolation list was signed, or taken away (`on` false)."""

    item: str
    on: bool = True
    photo: str = ""  # SHA-256, hex


class Ventilated(msgspec.Struct, frozen=True, omit_defaults=True, tag="ventilated"):
    """Ventilation began, or stopped (`on` false)."""

    on: bool = True
    by: Literal["person", "signal"] = "person"


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of a gas test. `unit` as the instrument shows it; `depth` is `top`, `middle` or `bottom`."""

    depth: str
    quantity: str
    value: float
    unit: str
    instrument: str = ""  # needed where two must agree


class GasTested(msgspec.Struct, frozen=True, omit_defaults=True, tag="gas-tested"):
    """A gas test: instruments by id, points, and the conditions of the place. Celsius, kPa."""

    instruments: tuple[str, ...]
    points: tuple[Point, ...]
    place: str = ""  # the QR code read at the space, or "lat,lon"
    temperature_c: float | None = None
    pressure_kpa: float | None = None
    method: str = ""


class Briefed(msgspec.Struct, frozen=True, tag="briefed"):
    """Somebody signed the briefing."""

    person: str


class ToolsCounted(msgspec.Struct, frozen=True, tag="tools-counted"):
    """So many tools went in, or are out."""

    way: Literal["in", "out"]
    count: int


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """Somebody went in."""

    person: str


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """Somebody came out."""

    person: str


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """A roll call: exactly these are inside."""

    inside: tuple[str, ...]


HANDS = frozenset({"egress", "by-hand"})  # the inside handle, or a key
OPENERS = HANDS | {"unlock", "rescue"}
LOCKED = frozenset({"relock", "locked-by-hand"})


class LockTold(msgspec.Struct, frozen=True, omit_defaults=True, tag="lock-told"):
    """An event of a lock's own log, or its state as the gateway saw it."""

    lock: str
    event: str  # the name of the event in `tocsin.grants.lock_log`; a key that locks is `locked-by-hand`
    seq: int = 0
    cti: str = ""  # of the grant that moved the bolt, hex


class GrantNoted(msgspec.Struct, frozen=True, omit_defaults=True, tag="grant-noted"):
    """A grant was issued: its id (hex), lock, holder and time it ends."""

    cti: str
    lock: str
    holder: str
    exp_ns: int
    rescue: bool = False
    account: str = ""  # whose key the holder is


class HandedBack(msgspec.Struct, frozen=True, tag="handed-back"):
    """The isolations were handed back."""


class RescueEnded(msgspec.Struct, frozen=True, tag="rescue-ended"):
    """The rescue is over."""


class Cleared(msgspec.Struct, frozen=True, tag="cleared"):
    """The attendant says: nobody inside, every tool out, locked."""


class Noted(msgspec.Struct, frozen=True, omit_defaults=True, tag="noted"):
    """Something that changes no state: a warning given, a refusal worth keeping."""

    what: str
    detail: str = ""


Fact = (
    Drafted
    | Moved
    | Isolated
    | Ventilated
    | GasTested
    | Briefed
    | ToolsCounted
    | Entered
    | Exited
    | Counted
    | LockTold
    | GrantNoted
    | HandedBack
    | RescueEnded
    | Cleared
    | Noted
)
