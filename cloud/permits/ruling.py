"""Somebody asks; the shared rules answer. Of the roles a person holds the one is taken in which they may. Pure."""

from __future__ import annotations

import msgspec

from tocsin.permits.context import Context
from tocsin.permits.decide import decide
from tocsin.permits.facts import Fact
from tocsin.permits.names import Action, Role
from tocsin.permits.outcomes import Accepted, Refused
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.requests import Request
from tocsin.permits.sentences import sentence
from tocsin.permits.transitions import TRANSITIONS

_WRONG_ROLE = frozenset(
    {PermitRefusal.ROLE_MAY_NOT, PermitRefusal.ROLE_NOT_HELD, PermitRefusal.NOT_NAMED}
)


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person wants. `place` is the QR code read at the space."""

    action: Action
    actor: str
    said: Fact | None = None
    reason: str = ""
    place: str = ""


def rule(
    permit: Permit, ask: Ask, context: Context, now_ns: int
) -> tuple[Request, Accepted] | Refused:
    """The request in the role in which it is accepted; else the refusal that says most."""
    account = context.people.get(ask.actor)
    may = TRANSITIONS[ask.action].roles - {Role.SYSTEM}
    held = sorted(may & account.roles) if account else []
    refusals = []
    for role in held or sorted(may)[:1] or [Role.APPLICANT]:
        request = Request(ask.action, ask.actor, Role(role), ask.reason, ask.said, place=ask.place)
        outcome = decide(permit, request, context, now_ns)
        if isinstance(outcome, Accepted):
            return request, outcome
        refusals.append(outcome)
    return next((r for r in refusals if r.reason not in _WRONG_ROLE), refusals[0])


def refusal_told(refused: Refused) -> dict[str, object]:
    """The documented object: a stable reason, its sentence in both languages and what went into it, and the rule."""
    row = refused.rule
    return {
        "reason": refused.reason.value,
        "args": dict(refused.args),
        "text_zh": sentence(refused, "zh"),
        "text_en": sentence(refused, "en"),
        "rule": None
        if row is None
        else {
            "id": row.id,
            "citation": row.citation,
            "text_zh": row.text_zh,
            "text_en": row.text_en,
            "verified": row.verified,
        },
    }
