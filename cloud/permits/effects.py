"""What follows from a permit's move: grants issued, renewed and voided."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Connection

from cloud.permits.granting import RENEW_BEFORE_NS, Granter, grants_of, void
from cloud.permits.holders import HolderKey, keys_of
from cloud.permits.kept import Kept
from cloud.permits.lending import lent_times
from cloud.permits.locks import Lock, Locks
from tocsin.errors import LockKeyError
from tocsin.permits.context import Context
from tocsin.permits.facts import GrantNoted
from tocsin.permits.grant_policy import may_issue
from tocsin.permits.messages import LentTime
from tocsin.permits.names import ENDED, MAY_HAVE_GRANTS, Role, State
from tocsin.permits.outcomes import Refused
from tocsin.permits.permit import Permit

_log = logging.getLogger("cloud.permits")


class Effects:
    """Whether a grant may be issued, and until when, is the shared policy's to say; here it is made and written."""

    def __init__(self, granter: Granter, locks: Locks) -> None:
        self._granter, self._locks = granter, locks

    def follow(
        self, c: Connection, kept: Kept, before: State, after: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """Grants for a permit that became active or an emergency; none left of one that ended."""
        if after.state is before:
            return []
        if after.state in MAY_HAVE_GRANTS:
            return self._issue(c, kept, after, context, now_ns)
        if after.state in ENDED or before is State.EMERGENCY:
            for lock in {g.lock for g in void(c, kept.id, now_ns)}:
                self._locks.raise_min(c, lock, now_ns)
        return []

    def is_due(self, c: Connection, permit: Permit, now_ns: int) -> bool:
        """Whether the grants of an active permit end soon, or it has none."""
        if permit.state is not State.ACTIVE or permit.form is None:
            return False
        ends_ns = max((g.exp_ns for g in grants_of(c, permit.id) if g.is_live(now_ns)), default=0)
        return ends_ns - now_ns < RENEW_BEFORE_NS and ends_ns < permit.form.until_ns

    def renew(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """New grants in place of those that end soon, where the policy still lets them be."""
        if not self.is_due(c, permit, now_ns):
            return []
        return self._issue(c, kept, permit, context, now_ns)

    def _issue(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """For every phone of everybody who may, and every lock of the space."""
        told = []
        for account in self._candidates(permit, context):
            answer = may_issue(permit, context, account, now_ns)
            if isinstance(answer, Refused):
                continue
            for key in keys_of(c, account):
                for lock in self._locks_of(c, kept):
                    made = self._granted(c, kept, lock, key, answer.exp_ns, answer.rescue, now_ns)
                    if made is not None:
                        told.append(made)
        return told

    def _granted(
        self,
        c: Connection,
        kept: Kept,
        lock: Lock,
        key: HolderKey,
        until_ns: int,
        rescue: bool,
        now_ns: int,
    ) -> GrantNoted | None:
        try:
            made = self._granter.issue(
                c, permit=kept.id, lock=lock, holder=key, gateway=kept.gateway,
                until_ns=until_ns, now_ns=now_ns, rescue=rescue,
            )  # fmt: skip
        except LockKeyError as exc:
            _log.warning("permit %s: no grant for lock %s: %s", kept.id, lock.device, exc.message)
            return None
        if made is None:
            return None
        return GrantNoted(made.cti, lock.device, made.holder, made.exp_ns, rescue, made.account)

    @staticmethod
    def _candidates(permit: Permit, context: Context) -> Sequence[str]:
        if permit.state is State.EMERGENCY:
            return sorted(n for n, p in context.people.items() if Role.RESCUE in p.roles)
        return permit.form.attendants if permit.form else ()

    def lent(self, c: Connection, kept: Kept, now_ns: int) -> tuple[LentTime, ...]:
        """What the gateway needs to tell the space's locks the time."""
        return lent_times(c, self._locks, self._locks_of(c, kept), kept.gateway, now_ns)

    def _locks_of(self, c: Connection, kept: Kept) -> list[Lock]:
        found = (self._locks.at(c, kept.site, device) for device in kept.basis.space.locks)
        return [lock for lock in found if lock is not None]
