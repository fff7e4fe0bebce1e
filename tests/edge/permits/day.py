"""A permit in force now, as the cloud tells a gateway of it, and the cloud's side of the journal."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec

from tests.permits.site import CREW, FORM, RULES, SEWER, SPACE, Site
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.permits import facts
from tocsin.permits.context import Account, Instrument
from tocsin.permits.intervals import NS
from tocsin.permits.journal import CLOUD, START, Entry, entry_hash, faults
from tocsin.permits.merge import merge
from tocsin.permits.messages import UP, PermitDown, PermitUp, Person, SealedGrant
from tocsin.permits.names import Action, Role
from tocsin.permits.permit import permit_of
from tocsin.permits.signing import sign_down
from tocsin.permits.writing import written
from tocsin.testing.peer import Peer

KEY = b"gw-1-key"
HOUR = 3600 * NS
SOURCE = "gateway:gw-1"


class CloudSide:
    """The cloud's journal of permit P1, moved by the shared rules, and what it tells the gateway."""

    def __init__(self, *, hours: float = 8.0, until_ns: int | None = None) -> None:
        now_ns = time.time_ns()
        self.site = Site()
        self.site.now_ns = now_ns - 40 * 60 * NS
        self.until_ns = until_ns or now_ns + int(hours * HOUR)
        ok_ns = now_ns + 1000 * HOUR
        people = {n: Account(n, frozenset(r), ok_ns, ok_ns) for n, r in CREW.items()}
        instruments = {
            n: Instrument(n, self.site.now_ns - 1, 0, self.site.now_ns - 1)
            for n in ("gd-1", "gd-2")
        }
        space = msgspec.structs.replace(SPACE, locks=())
        self.site.change(people=people, instruments=instruments, space=space)
        self.people: tuple[Person, ...] = tuple(
            Person(n, n, tuple(sorted(r)), "", b"", ok_ns, ok_ns) for n, r in CREW.items()
        )
        self.grants: tuple[SealedGrant, ...] = ()
        self.denied: tuple[str, ...] = ()
        self.space = space
        self.ups: list[PermitUp] = []
        self._taken = 0

    def to_submitted(self) -> CloudSide:
        """Applied for."""
        form = msgspec.structs.replace(FORM, from_ns=self.site.now_ns, until_ns=self.until_ns)
        self.site.must(Action.DRAFT, "zhao", facts.Drafted(form))
        self.site.must(Action.SUBMIT, "zhao")
        return self

    def to_rejected(self) -> CloudSide:
        """Applied for in vain: it has ended."""
        self.to_submitted().site.must(Action.REJECT, "qian")
        return self

    def to_active(self, *inside: str) -> CloudSide:
        """Applied, prepared, tested, approved, released; some have gone in."""
        site = self.to_submitted().site
        site.must(Action.PREPARE, "qian")
        for item in SEWER.isolations:
            site.must(Action.ISOLATE, "zhao", facts.Isolated(item.id, photo="ab" * 32))
        site.must(Action.VENTILATE, "zhao", facts.Ventilated())
        site.now_ns += 31 * 60 * NS
        site.must(Action.TEST, "sun", site.test())
        for person in (*FORM.entrants, "li"):
            site.must(Action.BRIEF, person, facts.Briefed(person))
        site.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("in", 5))
        site.approve()
        site.now_ns = time.time_ns()
        site.must(Action.ACTIVATE, "li")
        for person in inside:
            site.must(Action.ENTER, "li", facts.Entered(person))
        return self

    @property
    def entries(self) -> list[Entry]:
        """All it keeps."""
        return self.site.entries

    def note(self, fact: facts.Fact, action: Action) -> None:
        """An entry of the cloud itself."""
        from tocsin.permits.names import TimeQuality
        from tocsin.permits.requests import Request

        request = Request(action, CLOUD, Role.SYSTEM, said=fact)
        self.site.entries += written(
            "P1", self.entries, CLOUD, request, [fact], time.time_ns(), TimeQuality.SYNCED,
            RULES.version,
        )  # fmt: skip

    def down(self, *, after: int = 0, key: bytes = KEY, **changes: Any) -> bytes:
        """What it tells the gateway: entries of its own beyond `after`."""
        told = PermitDown(
            v=1, permit="P1", gateway="gw-1", space=self.space, template=SEWER, rules=RULES,
            entries=tuple(e for e in self.entries if e.source == CLOUD and e.seq > after),
            have=max((e.seq for e in self.entries if e.source == SOURCE), default=0),
            people=self.people, grants=self.grants, denied=self.denied,
            instruments=tuple(self.site.context.instruments.values()),
        )  # fmt: skip
        return msgspec.json.encode(sign_down(msgspec.structs.replace(told, **changes), key))

    def waiting(self, permit: str) -> bytes:
        """Another permit for the same space: as this one stood before work began."""
        entries: list[Entry] = []
        for entry in self.entries:
            if entry.action is Action.ACTIVATE:
                break
            prev = entry_hash(entries[-1]) if entries else START
            entries.append(msgspec.structs.replace(entry, permit=permit, prev=prev))
        return self.down(permit=permit, entries=tuple(entries), grants=())

    def hear(self, peer: Peer) -> None:
        """Take what the gateway wrote: merged, and its chains looked through."""
        got = list(peer.got)
        for topic, payload in got[self._taken :]:
            if "/up/event" not in topic:
                continue
            event = decode_body(decode_header(payload), payload, Event)
            if event.kind != UP:
                continue
            up = msgspec.convert(event.data, PermitUp)
            self.ups.append(up)
            known = {entry_hash(e) for e in self.entries}
            news = [e for e in up.entries if entry_hash(e) not in known]
            if news:
                self.site.entries = merge([*self.entries, *news])
                assert faults(self.entries) == []
        self._taken = len(got)

    def state(self, peer: Peer) -> str:
        """Of the merged permit."""
        self.hear(peer)
        return permit_of("P1", self.entries).state.value


def b64(data: bytes) -> str:
    """As the page sends bytes."""
    return base64.b64encode(data).decode()
