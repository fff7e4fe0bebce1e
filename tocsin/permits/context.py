"""What a decision looks at besides the permit itself. Times are Unix ns of whoever decides."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.permits.journal import CLOUD
from tocsin.permits.names import Role, State
from tocsin.permits.rule_rows import Rules
from tocsin.permits.space import Space, Template


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person and the roles held at the space's site. Training and medical certificate end at a time; 0: there is none."""

    name: str
    roles: frozenset[Role]
    trained_until_ns: int = 0
    fit_until_ns: int = 0


class Instrument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gas detector of the ledger. `device` is its id where it is also watched live. 0: never."""

    id: str
    calibrated_ns: int = 0
    calibrated_until_ns: int = 0  # the maker's date, where it is earlier than the rules' interval
    bumped_ns: int = 0
    device: str = ""


class Other(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another permit of the site, as far as simultaneous work matters."""

    permit: str
    space: str
    state: State
    from_ns: int
    until_ns: int
    activities: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()  # of its hazard template


class Reading(msgspec.Struct, frozen=True):
    """The newest value of one quantity of one gas device. `good` as its quality says; `at_ns` when it was measured."""

    device: str
    quantity: str
    value: float
    unit: str
    at_ns: int
    good: bool = True


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known live. None: not known."""

    readings: tuple[Reading, ...] = ()
    ventilating: bool | None = None  # signal of the fan, where the space has one
    ventilating_ns: int = 0
    attendant_ns: int = 0  # last sign of the attendant
    counted_inside: int | None = None  # by beacons or a turnstile, where there are any
    unlisted: tuple[str, ...] = ()  # seen inside, on no roster
    tampered: tuple[str, ...] = ()  # locks that tell of tampering or a forced door
    sos: tuple[str, ...] = ()  # people whose device calls for help, lies still or fell
    suspended_links: tuple[str, ...] = ()  # linked permits that are not in force
    weather: str = ""  # a warning that concerns this space
    siren_ok: bool | None = None
    cloud_ok: bool = True


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything around the permit."""

    rules: Rules
    space: Space | None = None
    template: Template | None = None
    people: Mapping[str, Account] = {}
    instruments: Mapping[str, Instrument] = {}
    others: tuple[
        Other, ...
    ] = ()  # of the site; decisions that look at them must be taken one after another
    conditions: Conditions = Conditions()
    source: str = CLOUD  # who decides
    gateway_current: bool = (
        True  # cloud: the gateway keeps our newest entries, and we keep all it told with that
    )
    denied: frozenset[str] = frozenset()  # grants that are void
