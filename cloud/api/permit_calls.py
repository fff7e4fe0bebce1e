"""From a request to the spine and back: who asks, in which roles, and what the rules said."""

from __future__ import annotations

from typing import TypeGuard

import msgspec
from fastapi import Request

from cloud.api.permit_bodies import FormBody, MadeTold
from cloud.api.persons import person_of
from cloud.api.rows import Row, row_of
from cloud.api.services import services
from cloud.identity.rules import Principal, sees
from cloud.permits.ruling import Ask
from tocsin.errors import NotFoundError, PermitRefusedError
from tocsin.permits.facts import Fact, Form
from tocsin.permits.names import Action

CALL_S = 15.0


async def spine_call(request: Request, op: str, **args: object) -> object:
    """One operation of permits.

    Raises:
        PermitRefusedError: the rules say no.
        SpineError: the spine does not answer; whatever it did holds.
    """
    answer = await services(request).spine.call(op, call_timeout_s=CALL_S, **args)
    if _is_row(answer) and _is_row(refused := answer.get("refused")):
        raise PermitRefusedError({str(k): v for k, v in refused.items()})
    return answer


async def act(
    request: Request,
    principal: Principal,
    permit: str,
    action: Action,
    said: Fact | None = None,
    *,
    reason: str = "",
    place: str = "",
) -> MadeTold:
    """What somebody asks of a permit.

    Raises:
        PermitRefusedError: the rules say no.
        NotFoundError: no such permit at the caller's sites.
        IdentityError: a token speaks.
    """
    await permit_in_scope(request, principal, permit)
    ask = Ask(action, person_of(principal).name, said, reason, place)
    answer = await spine_call(request, "permit_act", permit=permit, ask=msgspec.to_builtins(ask))
    return MadeTold.model_validate(row_of(answer))


async def permit_in_scope(request: Request, principal: Principal, permit: str) -> Row:
    """One permit.

    Raises:
        NotFoundError: no such permit, or at a site the caller does not see.
    """
    row = row_of(await spine_call(request, "permit", permit=permit))
    if not sees(principal, str(row.get("site", ""))):
        raise NotFoundError(f"there is no permit {permit!r}, or it is not at one of your sites")
    return row


def form_of(body: FormBody) -> Form:
    """The form as the rules read it."""
    return msgspec.convert(body.model_dump(), Form)


def _is_row(answer: object) -> TypeGuard[dict[str, object]]:
    return isinstance(answer, dict)
