"""The ledger of confined spaces, and what is dangerous about each kind of them."""

from __future__ import annotations

import msgspec


class Isolation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that must be shut off and signed before work: a blind, a switch that is locked and tagged."""

    id: str
    text_zh: str
    text_en: str
    photo: bool = True  # the signature needs a picture


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """The hazards of a kind of space, and what follows from them."""

    id: str
    text_zh: str
    text_en: str
    isolations: tuple[Isolation, ...] = ()
    gases: tuple[str, ...] = ("o2", "ex")  # quantities a test must have, in the order of testing
    depths: tuple[str, ...] = ("top", "middle", "bottom")
    two_instruments: bool = False  # two must agree
    agree_within: float = 0.1  # of the larger value
    four_eyes: bool = False  # two approvers
    ventilate_min_s: float = 1800.0
    conflicts: tuple[str, ...] = ()  # activities that must not go on nearby
    checklist: tuple[str, ...] = ()  # items an applicant ticks
    equipment: tuple[str, ...] = ()


class Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the gateway finds what it watches: device ids, and `device/quantity` of signals. Empty: there is none."""

    gas_devices: tuple[str, ...] = ()
    ventilation: str = ""
    siren: str = ""


class Space(msgspec.Struct, frozen=True, omit_defaults=True):
    """One space of the ledger. `code` is what the QR label at the space says."""

    id: str
    site: str
    gateway: str
    name: str
    template: str
    rules: str  # name of the rule pack
    code: str = ""
    former_contents: str = ""
    locks: tuple[str, ...] = ()
    near: tuple[str, ...] = ()  # spaces whose work is a conflict here
    live: Live = Live()
