"""Commands that need a second word. Pure: (state, event, now) -> (state, effects); times are monotonic nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

MAX_ARMED = 100


class Guard(msgspec.Struct, frozen=True):
    """Commands that match must be confirmed within `within_ns`, by anyone or by another person than the asker."""

    device: str
    command: str
    within_ns: int
    by: Literal["anyone", "another"] = "anyone"


class Ask(msgspec.Struct, frozen=True):
    """Someone asks for a command. `code` confirms it, should it need that."""

    id: str
    device: str
    name: str
    args: Mapping[str, Any]
    actor: str
    code: str


class Confirm(msgspec.Struct, frozen=True):
    """Someone confirms an armed command."""

    id: str
    code: str
    actor: str


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


class Armed(msgspec.Struct, frozen=True):
    """A command that waits for its confirmation."""

    ask: Ask
    guard: Guard
    until_ns: int


class Carry(msgspec.Struct, frozen=True):
    """Carry it out now. `confirm` is who said so too, where that was needed."""

    ask: Ask
    confirm: Confirm | None = None


class Arm(msgspec.Struct, frozen=True):
    """Tell that it waits."""

    armed: Armed


class Refuse(msgspec.Struct, frozen=True):
    """The event with this id changes nothing."""

    id: str
    text: str


class Expire(msgspec.Struct, frozen=True):
    """Nobody confirmed it in time."""

    armed: Armed


State = Mapping[str, Armed]  # by code
Event = Ask | Confirm | Tick
Effect = Carry | Arm | Refuse | Expire


def step(
    state: State, event: Event, guards: Sequence[Guard], now_ns: int
) -> tuple[dict[str, Armed], list[Effect]]:
    """One event. What has expired by now can never be confirmed any more."""
    after = {code: armed for code, armed in state.items() if armed.until_ns > now_ns}
    effects: list[Effect] = [Expire(a) for a in state.values() if a.until_ns <= now_ns]
    match event:
        case Ask():
            effects.append(_ask(after, event, guards, now_ns))
        case Confirm():
            effects.append(_confirm(after, event))
        case Tick():
            pass
    return after, effects


def _ask(after: dict[str, Armed], ask: Ask, guards: Sequence[Guard], now_ns: int) -> Effect:
    guard = guard_of(guards, ask.device, ask.name)
    if guard is None:
        return Carry(ask)
    if len(after) >= MAX_ARMED or ask.code in after:
        return Refuse(ask.id, f"{len(after)} commands wait for their confirmation")
    armed = Armed(ask, guard, now_ns + guard.within_ns)
    after[ask.code] = armed
    return Arm(armed)


def _confirm(after: dict[str, Armed], confirm: Confirm) -> Effect:
    armed = after.get(confirm.code)
    if armed is None:
        return Refuse(confirm.id, f"no command waits with the code {confirm.code!r}")
    if armed.guard.by == "another" and _same(confirm.actor, armed.ask.actor):
        text = f"{armed.ask.actor} asked for it: another person must confirm"
        return Refuse(confirm.id, text)
    del after[confirm.code]
    return Carry(armed.ask, confirm)


def _same(a: str, b: str) -> bool:
    return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()


def guard_of(guards: Sequence[Guard], device: str, name: str) -> Guard | None:
    """The first guard whose patterns fit."""
    return next(
        (g for g in guards if fnmatchcase(device, g.device) and fnmatchcase(name, g.command)), None
    )
