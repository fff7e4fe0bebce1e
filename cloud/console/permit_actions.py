"""What somebody may do on a permit now, in the order of a working day, and for the rest why not yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.api.rows import Row, row_of
from cloud.console.permit_words import NOT_MINE, TRIED_WITHOUT, PermitWords, Refusal
from tocsin.permits.names import Action

SHOWN = (  # entering, leaving, isolating and the call for help have places of their own on the page
    Action.SUBMIT,
    Action.PREPARE,
    Action.REJECT,
    Action.VENTILATE,
    Action.TEST,
    Action.BRIEF,
    Action.COUNT_TOOLS,
    Action.APPROVE,
    Action.ACTIVATE,
    Action.COUNT_PEOPLE,
    Action.SUSPEND,
    Action.RESUME,
    Action.FINISH,
    Action.HAND_BACK,
    Action.CLOSE,
    Action.END_RESCUE,
    Action.BACK_TO_PREPARED,
    Action.REVOKE,
    Action.EMERGENCY,
)
SIGNED = frozenset({Action.APPROVE, Action.RESUME, Action.REJECT, Action.REVOKE})
AT_SPACE = frozenset({Action.APPROVE, Action.ACTIVATE})
FIRST = frozenset({Action.SUBMIT, Action.TEST, Action.APPROVE, Action.ACTIVATE, Action.BRIEF})


@dataclass(frozen=True, slots=True)
class Choice:
    """One action. `refusal` None: it may be done now."""

    action: str
    refusal: Refusal | None
    signed: bool
    at_space: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """`shown` in order; `may` also has those with places of their own."""

    shown: tuple[Choice, ...]
    may: frozenset[str]

    @property
    def now(self) -> list[Choice]:
        """What may be done."""
        return [c for c in self.shown if c.refusal is None]

    @property
    def later(self) -> list[Choice]:
        """What waits for something."""
        return [c for c in self.shown if c.refusal is not None]


def choices(why: Row, words: PermitWords, *, signed: bool) -> Choices:
    """From `permit_why`: what is somebody else's, or of another state, is left out; so is the briefing once `signed`."""
    found, may = [], set()
    for name, told in why.items():
        reason = row_of(told).get("reason")
        if told is None or reason == TRIED_WITHOUT:
            may.add(name)
    for action in SHOWN:
        if action is Action.BRIEF and signed:
            continue
        told = why.get(action.value)
        refused = None if action.value in may else row_of(told)
        if refused is not None and refused.get("reason") in NOT_MINE:
            continue
        refusal = None if refused is None else words.refusal(refused)
        found.append(
            Choice(action.value, refusal, action in SIGNED, action in AT_SPACE, action in FIRST)
        )
    return Choices(tuple(found), frozenset(may))
