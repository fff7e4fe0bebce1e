"""What the page shows and asks, apart from who answers it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class Person(msgspec.Struct, frozen=True):
    """Somebody on the roster. `since_ns`: when they went in or came out, None where neither was noted."""

    account: str
    name: str
    inside: bool
    since_ns: int | None = None


class Value(msgspec.Struct, frozen=True):
    """A live value of the space; `ok` false where it stops the work."""

    device: str
    quantity: str
    value: float | None
    unit: str
    at_ns: int
    ok: bool = True


class LockView(msgspec.Struct, frozen=True):
    """One lock of the space. `grant_until_ns`: until when whoever looks may open it under a grant that lies here."""

    lock: str
    bolt_out: bool | None
    door_open: bool | None
    heard_ns: int | None
    grant_until_ns: int | None = None
    in_doubt: str = ""


class PermitView(msgspec.Struct, frozen=True):
    """One permit as the attendant sees it. `headcount_known` false counts as somebody inside."""

    permit: str
    space: str
    state: str
    since_ns: int
    until_ns: int
    roster: tuple[Person, ...]
    headcount_known: bool = True
    cause: str = ""
    values: tuple[Value, ...] = ()
    locks: tuple[LockView, ...] = ()
    rescue_call: str = ""
    rescue_plan: str = ""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that somebody does on the page. `said` carries what the action needs beside: a person, a lock, a proof."""

    permit: str
    action: str
    said: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Done, or why not: one sentence in each language. `told` is what the page needs to go on."""

    done: bool
    zh: str = ""
    en: str = ""
    told: dict[str, Any] = {}


class Desk(Protocol):
    """Who knows the permits of this gateway."""

    def permits(self, account: str, holder: str | None) -> tuple[PermitView, ...]:
        """What is in force here, worst first, for somebody with a phone's key (holder id, hex; "": without, None: not said)."""
        ...

    def phones(self, account: str) -> dict[str, str]:
        """Keys of this person: holder id, hex -> confirmed, waiting, revoked, or why it was refused."""
        ...

    async def login(self, account: str, pin: str) -> str | None:
        """The name of whoever has this account and PIN, None where nobody has. Takes time on purpose."""
        ...

    async def ask(self, account: str, asked: Asked) -> Answer:
        """Do it, or say why not. Whatever is accepted is on disk when this returns."""
        ...
