"""What somebody asks of a permit: an action, by whom and in what capacity, with the fact it would make true where it carries one."""

from __future__ import annotations

import msgspec

from tocsin.permits import facts
from tocsin.permits.facts import Fact
from tocsin.permits.names import Action, Cause, Role

CARRIES: dict[Action, type] = {
    Action.DRAFT: facts.Drafted,
    Action.ISOLATE: facts.Isolated,
    Action.REOPEN: facts.Isolated,
    Action.VENTILATE: facts.Ventilated,
    Action.TEST: facts.GasTested,
    Action.BRIEF: facts.Briefed,
    Action.COUNT_TOOLS: facts.ToolsCounted,
    Action.ENTER: facts.Entered,
    Action.EXIT: facts.Exited,
    Action.COUNT_PEOPLE: facts.Counted,
    Action.LOCK: facts.LockTold,
    Action.GRANT: facts.GrantNoted,
    Action.WARN: facts.Noted,
}
NEEDS_REASON = frozenset({Action.REJECT, Action.APPROVE, Action.RESUME, Action.REVOKE})


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request. `said` is of the class that `CARRIES` names for the action; `place` the QR code read at the space.

    `actor` is an account that has been authenticated, or the cloud's or gateway's own name where `role` is `system`:
    whoever takes requests from people never passes `system`.
    """

    action: Action
    actor: str
    role: Role
    reason: str = ""
    said: Fact | None = None
    cause: Cause | None = None  # of a suspension
    place: str = ""
