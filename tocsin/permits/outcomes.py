"""What comes of a request: facts for the journal and what is to be done, or why not."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.permits.facts import Fact
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.rule_rows import RuleRow


class Effect(StrEnum):
    """What whoever keeps the journal has to do once the facts are on disk. Doing it twice does no harm."""

    ISSUE_GRANTS = "issue-grants"  # cloud: to the attendant, and renew while the policy lets it
    ISSUE_RESCUE_GRANTS = "issue-rescue-grants"  # cloud
    STOP_GRANTS = "stop-grants"  # cloud: renew none; gateway: use none
    VOID_GRANTS = "void-grants"  # cloud: raise the locks' counters above every grant of this permit
    SIREN_ON = "siren-on"
    SIREN_OFF = "siren-off"
    EVACUATE = "evacuate"  # show and send the list of who is inside
    NOTIFY = "notify"  # tell everybody who is named on the permit
    NOTIFY_BUREAU = "notify-bureau"
    BUNDLE = "bundle"  # write the signed bundle and set its retention


class Accepted(msgspec.Struct, frozen=True):
    """Append the facts in order, all or none, each as its own entry; then do the effects."""

    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...] = ()


class Refused(msgspec.Struct, frozen=True):
    """Why not, by which row of the rules, and what goes into the sentence. `keep` are facts to append all the same."""

    reason: PermitRefusal
    rule: RuleRow | None = None
    args: dict[str, str] = {}
    keep: tuple[Fact, ...] = ()


Outcome = Accepted | Refused


def refused(reason: PermitRefusal, rule: RuleRow | None = None, **args: object) -> Refused:
    """A refusal; numbers in `args` are shown as they should be read."""
    shown = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in args.items()}
    return Refused(reason, rule, shown)
