"""One permit as the gateway has it in hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from edge.permits.options import SpaceConfig
from tocsin.errors import GrantRefusedError
from tocsin.grants.claims import Claims, decode_claims
from tocsin.grants.sign1 import parse_sign1
from tocsin.permits.context import Account, Conditions, Context
from tocsin.permits.facts import HANDS, OPENERS, Counted, LockTold, Moved
from tocsin.permits.intervals import NS
from tocsin.permits.journal import CLOUD, Entry, entry_hash, heads
from tocsin.permits.merge import merge
from tocsin.permits.messages import PermitDown, PermitUp, SealedGrant
from tocsin.permits.names import ENDED, IN_FORCE, Cause, Role, State
from tocsin.permits.permit import Permit, fold, permit_of
from tocsin.permits.space import Live

MOST_UP = 100  # entries in one message
MOST_GRANTS = 64  # of those that have ended and opened no lock last


def claims_of(cose: bytes) -> Claims | None:
    """What a grant says; None where it cannot be read."""
    try:
        return decode_claims(parse_sign1(cose).payload)
    except GrantRefusedError:
        return None


class Watched:
    """What the cloud told, the entries in the order both sides find, and the permit they tell."""

    def __init__(self, told: PermitDown, entries: Iterable[Entry], own: str) -> None:
        self.told, self.own = msgspec.structs.replace(told, entries=()), own
        self.entries: list[Entry] = merge(list(entries))
        self.permit: Permit = permit_of(told.permit, self.entries)
        self.owed: list[Entry] = []  # decided and in force, and not on the disk yet
        self.silenced_ns: int | None = None
        self.tell = False  # the cloud waits for word of what is kept here
        self.told_mono_ns = 0  # when it was told last

    @property
    def id(self) -> str:
        """The permit's."""
        return self.told.permit

    def take(self, told: PermitDown, news: Iterable[Entry], now_ns: int) -> None:
        """A message of the cloud, once it is kept. An older one brings entries and nothing else."""
        if told.have >= self.told.have:
            denied = tuple(sorted({*self.told.denied, *told.denied}))
            before = self._worth_keeping(set(told.grants), now_ns)
            self.told = msgspec.structs.replace(
                told, entries=(), denied=denied, grants=(*before, *told.grants)
            )
        if news := list(news):
            self.entries = merge([*self.entries, *news])
            self.permit = permit_of(self.id, self.entries)

    def _worth_keeping(self, told: set[SealedGrant], now_ns: int) -> Iterator[SealedGrant]:
        """Of the grants that came before: each that is live, each that opened a lock last (it locks it again), and the newest others."""
        locks = {e.fact.lock for e in self.entries if isinstance(e.fact, LockTold)}
        openers = {self.opener(lock) for lock in locks}
        before = [(g, claims_of(g.cose)) for g in self.told.grants if g not in told]
        needed = [
            c is not None and (c.exp * NS > now_ns or c.cti.hex() in openers) for _, c in before
        ]
        too_many = needed.count(False) - MOST_GRANTS
        for (grant, _), must in zip(before, needed, strict=True):
            too_many -= not must
            if must or too_many < 0:
                yield grant

    def append(self, entries: Iterable[Entry]) -> None:
        """Own entries: their writer has seen all others."""
        for entry in entries:
            self.entries.append(entry)
            self.permit = fold(self.permit, entry)

    def opener(self, lock: str) -> str:
        """Id (hex) of the grant that opened a lock last; "" where the inside handle or a key did, or nothing of the permit."""
        told = [e.fact for e in self.entries if isinstance(e.fact, LockTold)]
        found = [f for f in told if f.lock == lock and f.event in OPENERS]
        return found[-1].cti if found and found[-1].event not in HANDS else ""

    def newest(self, source: str) -> int:
        """The newest number of a source."""
        return max((e.seq for e in self.entries if e.source == source), default=0)

    @property
    def unmerged(self) -> list[Entry]:
        """Own entries that the cloud has not said it keeps."""
        owed = {id(e) for e in self.owed}
        return [
            e for e in self.entries
            if e.source == self.own and e.seq > self.told.have and id(e) not in owed
        ]  # fmt: skip

    @property
    def has_begun(self) -> bool:
        """In force, or it was: back in preparation it still waits for its lock to be locked and to be closed."""
        permit = self.permit
        began = permit.activated_ns is not None and permit.state not in ENDED
        return began or permit.state in IN_FORCE

    @property
    def is_over(self) -> bool:
        """Ended, and the cloud keeps everything of it."""
        return self.permit.state in ENDED and not self.owed and not self.unmerged

    @property
    def seen(self) -> Permit:
        """The permit; while entries of ours are lost, by which people may have gone in, with a headcount that nobody knows."""
        counted = any(isinstance(e.fact, Counted) for e in self.entries if e.source == self.own)
        unseen = self.lost and self.has_begun and not counted
        return (
            msgspec.structs.replace(self.permit, headcount_known=False) if unseen else self.permit
        )

    @property
    def called_ns(self) -> int:
        """When somebody called for help last, work standing already; 0 once a roll call found nobody inside or it moved on."""
        for entry in reversed(self.entries):
            match entry.fact:
                case Moved(source, target, Cause.SOS) if source is target:
                    return entry.at_ns
                case Moved(_, target) if target not in (State.EMERGENCY, State.EXPIRED):
                    return 0
                case Counted(()):
                    return 0
        return 0

    @property
    def lost(self) -> bool:
        """The cloud keeps entries of ours that are not here: this journal was lost once."""
        return self.told.have > self.newest(self.own)

    def up(self, gateway: str, after: int = 0) -> PermitUp:
        """What to tell the cloud now, of own entries those beyond number `after`."""
        entries = [e for e in self.unmerged if e.seq > after][:MOST_UP]
        owed = {id(e) for e in self.owed}
        kept = [e.seq for e in self.entries if e.source == self.own and id(e) not in owed]
        newest = heads(self.entries).get(CLOUD)
        return PermitUp(
            1, self.id, gateway, self.permit.state, tuple(entries),
            have=newest.seq if newest else 0,
            head=entry_hash(newest) if newest else "",
            own=max(kept, default=0),
            lost=self.lost,
        )  # fmt: skip

    def context(self, space: SpaceConfig, conditions: Conditions) -> Context:
        """What a decision looks at."""
        told = self.told
        live = Live(space.gas, space.ventilation or "", told.space.live.siren)
        people = {
            p.account: Account(
                p.account,
                frozenset(Role(r) for r in p.roles if r in set(Role)),
                p.trained_until_ns,
                p.fit_until_ns,
            )
            for p in told.people
        }
        return Context(
            rules=told.rules,
            space=msgspec.structs.replace(told.space, live=live, locks=space.locks),
            template=told.template,
            people=people,
            instruments={i.id: i for i in told.instruments},
            others=told.others,
            conditions=conditions,
            source=self.own,
            denied=frozenset(told.denied),
        )
