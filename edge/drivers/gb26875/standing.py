"""What stands at a site: who told fire, fault and the like, and has not taken it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from firmware_bridges.gb26875.samples import STANDING
from tocsin.contract.catalogue import Value

MAX_HOLDERS = 10_000  # of one state; a state that more parts tell stands without their names

_OF_ANY_PART = ("fire", "fault")

Holders = Mapping[str, frozenset[str]]
NOBODY: Holders = {}


def take(
    holders: Holders, part: str, values: Mapping[str, Value]
) -> tuple[Holders, dict[str, bool]]:
    """(who holds what now, the states of the whole site that this message decides).

    True when a part tells a state. False when nobody is known to hold it any more, and that is sure: the part had told it, or a
    system's own word lacks it, which speaks for its components too, or the transmitter's own word lacks what is its
    own (supply, link, line). A part that only denies what it never told says nothing about the others: after a restart of
    the gateway one quiet detector must not end another one's fire.
    """
    after, decided = dict(holders), {}
    for name in STANDING:
        told = values.get(name)
        if told is None:
            continue
        held = after.get(name, frozenset())
        if told:
            if len(held) < MAX_HOLDERS:
                after[name] = held | {part}
            decided[name] = True
            continue
        left = _without(held, part)
        after[name] = left
        if left:
            decided[name] = True
        elif held or _is_system(part) or (not part and name not in _OF_ANY_PART):
            decided[name] = False
    return after, decided


def reset(holders: Holders, system: str) -> tuple[Holders, dict[str, bool]]:
    """Someone reset a system: what it and its components told has gone, until they tell it again."""
    return take(holders, system, dict.fromkeys(STANDING, False))


def _is_system(part: str) -> bool:
    return part.count("/") == 1


def _without(held: frozenset[str], part: str) -> frozenset[str]:
    if not _is_system(part):
        return held - {part}
    return frozenset(p for p in held if p != part and not p.startswith(part + "/"))
