"""What follows from a permit's move: grants issued, renewed and voided."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sqlalchemy import Connection

from cloud.permits.granting import RENEW_BEFORE_NS, Granted, Granter, grants_of, void
from cloud.permits.holders import HolderKey, keys_of
from cloud.permits.kept import Kept
from cloud.permits.lending import lent_times
from cloud.permits.locks import Lock, Locks
from tocsin.errors import LockKeyError
from tocsin.permits.context import Context
from tocsin.permits.facts import GrantNoted
from tocsin.permits.grant_policy import GrantUntil, may_issue
from tocsin.permits.messages import LentTime
from tocsin.permits.names import IN_FORCE, MAY_HAVE_GRANTS, Role, State
from tocsin.permits.outcomes import Refused
from tocsin.permits.permit import Permit

POOR_NS = 10 * 10**9  # a gateway that told no key to seal to is tried again so often
RESCUE_LASTS_NS = 12 * 3600 * 10**9  # a rescue grant is renewed so long before its end
_log = logging.getLogger("cloud.permits")


class Effects:
    """Whether a grant may be issued, and until when, is the shared policy's to say; here it is made and written."""

    def __init__(self, granter: Granter, locks: Locks) -> None:
        self._granter, self._locks = granter, locks
        self._poor: dict[
            tuple[str, str], int
        ] = {}  # permit, lock: its gateway had no key to seal to

    def follow(
        self, c: Connection, kept: Kept, before: State, after: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """Grants for a permit that became active or an emergency; what it has no more right to is void, and locks are told.

        Rescue grants outlive a suspension: what follows it may be an emergency with the cloud away.
        """
        if after.state is before:
            return []
        if after.state is not State.ACTIVE:
            over = after.state not in IN_FORCE or before is State.EMERGENCY
            for lock in {g.lock for g in void(c, kept.id, now_ns, rescue_too=over)}:
                self._locks.raise_min(c, lock, now_ns)
        return self._issue(c, kept, after, context, now_ns)

    def is_due(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> bool:
        """Whether grants of a permit end soon, or somebody who may have one has none."""
        if permit.state not in MAY_HAVE_GRANTS or permit.form is None:
            return False
        if self._attendants_due(c, permit, now_ns):
            return True
        return any(True for _ in self._rescue_due(c, kept, permit, context, now_ns))

    def _attendants_due(self, c: Connection, permit: Permit, now_ns: int) -> bool:
        if permit.state is not State.ACTIVE or permit.form is None:
            return False
        live = [g for g in self._signed_now(c, permit) if g.is_live(now_ns) and not g.rescue]
        ends_ns = max((g.exp_ns for g in live), default=0)
        return ends_ns - now_ns < RENEW_BEFORE_NS and ends_ns < permit.form.until_ns

    def _signed_now(self, c: Connection, permit: Permit) -> list[Granted]:
        """Grants of the key that signs: what an older one signed is replaced before locks forget that key."""
        kid = self._granter.signing(c)
        return [g for g in grants_of(c, permit.id) if g.kid == kid]

    def _rescue_due(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> Iterator[tuple[HolderKey, Lock]]:
        """Phones of the rescue team, each with a lock it has no grant for that lasts."""
        team = [n for n, p in sorted(context.people.items()) if Role.RESCUE in p.roles]
        keys = [key for name in team for key in keys_of(c, name)]
        if not keys:
            return
        lasting = {
            (g.holder, g.lock)
            for g in self._signed_now(c, permit)
            if g.rescue and g.void_ns is None and g.exp_ns > now_ns + RESCUE_LASTS_NS
        }
        for lock in self._locks_of(c, kept):
            if self._poor.get((kept.id, lock.lock), 0) > now_ns - POOR_NS:
                continue
            for key in keys:
                if (key.holder, lock.lock) not in lasting:
                    yield key, lock

    def renew(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """New grants in place of those that end soon, where the policy still lets them be."""
        if not self.is_due(c, kept, permit, context, now_ns):
            return []
        return self._issue(c, kept, permit, context, now_ns)

    def _issue(
        self, c: Connection, kept: Kept, permit: Permit, context: Context, now_ns: int
    ) -> list[GrantNoted]:
        """For every phone of everybody who may and every lock of the space. The rescue team's come last, so that `min_ctr` can rise to them."""
        told: list[GrantNoted | None] = []
        if self._attendants_due(c, permit, now_ns) and permit.form is not None:
            for account in permit.form.attendants:
                answer = may_issue(permit, context, account, now_ns)
                if isinstance(answer, Refused):
                    continue
                told += [
                    self._granted(c, kept, lock, key, answer, now_ns)
                    for key in keys_of(c, account)
                    for lock in self._locks_of(c, kept)
                ]
        for key, lock in list(self._rescue_due(c, kept, permit, context, now_ns)):
            answer = may_issue(permit, context, key.account, now_ns, rescue=True)
            if not isinstance(answer, Refused):
                told.append(self._granted(c, kept, lock, key, answer, now_ns))
        return [one for one in told if one is not None]

    def _granted(
        self, c: Connection, kept: Kept, lock: Lock, key: HolderKey, until: GrantUntil, now_ns: int
    ) -> GrantNoted | None:
        try:
            made = self._granter.issue(
                c, permit=kept.id, lock=lock, holder=key, gateway=kept.gateway,
                until_ns=until.exp_ns, now_ns=now_ns, rescue=until.rescue,
            )  # fmt: skip
        except LockKeyError as exc:
            if (kept.id, lock.lock) not in self._poor:
                told = kept.id, lock.device, exc.message
                _log.warning("permit %s: no grant for lock %s: %s", *told)
            self._poor[kept.id, lock.lock] = now_ns
            return None
        self._poor.pop((kept.id, lock.lock), None)
        if made is None:
            return None
        return GrantNoted(
            made.cti, lock.device, made.holder, made.exp_ns, until.rescue, made.account
        )

    def lent(self, c: Connection, kept: Kept, now_ns: int) -> tuple[LentTime, ...]:
        """What the gateway needs to tell the space's locks the time."""
        return lent_times(c, self._locks, self._locks_of(c, kept), kept.gateway, now_ns)

    def _locks_of(self, c: Connection, kept: Kept) -> list[Lock]:
        found = (self._locks.at(c, kept.site, device) for device in kept.basis.space.locks)
        return [lock for lock in found if lock is not None]
