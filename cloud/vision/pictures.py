"""Pictures of what cameras saw, from the word of their gateways until they are here."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    and_,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from cloud.db import read, write
from cloud.vision.gallery import HERE, Gallery
from cloud.vision.shelf import Shelf, WrongHashError
from cloud.vision.tables import evidence
from tocsin.contract import topics
from tocsin.contract.evidence import (
    DOWN,
    MAX_THUMBNAIL_BYTES,
    VERSION,
    EvidenceAsk,
    EvidencePart,
    Exhibit,
    View,
    sign_ask,
)
from tocsin.contract.messages import Event
from tocsin.errors import BadRequestError, FolderError
from tocsin.sdk import Clock

# Of a picture that is not here: its gateway has it; we want it; gone there; never what its name says; kept long enough.
OFFERED, WANTED, GONE, WRONG, DROPPED = "offered", "wanted", "gone", "wrong", "dropped"
ASK_AGAIN_NS = 30_000_000_000
MAX_TRIES = 3
ASKED_AT_ONCE = 4  # of one gateway
VIEW = "view:"  # in the place of a detection: the newest small picture of a camera
MAX_EARLY = 64  # parts that came before the event that names them
MAX_EXHIBITS = 16  # of one detection
_log = logging.getLogger("cloud.vision")


@dataclass(frozen=True)
class VisionRules:
    """`fetch`: roles that are asked for unbidden. Retention in days, and in bytes of all pictures."""

    fetch: Collection[str] = ("thumbnail", "at")
    keep_days: float = 90.0
    max_bytes: int = 10 << 30


class Pictures:
    """`came` hears of every detection whose picture is here, `viewed` of every new picture for the wall; `send` takes a topic and a signed ask."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        shelf: Shelf,
        rules: VisionRules,
        *,
        keys: Mapping[str, bytes],
        came: Callable[[str], None],
        viewed: Callable[[dict[str, object]], None],
        send: Callable[[str, bytes], object],
        lock: threading.Lock,
        counts: Counter[str],
    ) -> None:
        self._engine, self._clock, self._shelf, self._rules = engine, clock, shelf, rules
        self._keys, self._came, self._viewed_now, self._send = keys, came, viewed, send
        self._lock, self.counts = lock, counts
        self._gallery = Gallery(engine)
        self._said = False  # that the disk refuses
        self._early: OrderedDict[tuple[str, str], EvidencePart] = OrderedDict()

    def note(
        self, c: Connection, event: Event, detection: str, shown: Sequence[Exhibit]
    ) -> list[EvidencePart]:
        """What a detection shows; parts that came before it."""
        early = []
        for item in shown[:MAX_EXHIBITS]:
            there = select(evidence.c.sha256).where(
                evidence.c.sha256 == item.sha256, evidence.c.gateway == event.gateway
            )
            if c.execute(there).first() is not None:
                continue
            state = WANTED if item.role in (*self._rules.fetch, "view") else OFFERED
            c.execute(
                insert(evidence).values(
                    sha256=item.sha256, gateway=event.gateway, site=event.site, device=event.device,
                    detection=detection, role=item.role, media=item.media, size=item.size,
                    t_ns=item.t, state=state, have=0, asked_ns=None, tries=0, kept_ns=None,
                )
            )  # fmt: skip
            part = self._early.pop((event.gateway, item.sha256), None)
            if part is not None:
                early.append(part)
        return early

    def on_view(self, event: Event) -> None:
        """A small picture for the wall: wanted, and with it none before it that is not here yet."""
        try:
            item = msgspec.convert(event.data, View)
        except msgspec.ValidationError:
            self.counts["detections_unreadable"] += 1
            return
        # A gateway's clock may be ahead, and be set back: the order is that in which they come, and none is of tomorrow.
        item = msgspec.structs.replace(item, t=min(item.t, self._clock.now_ns()))
        view = f"{VIEW}{event.gateway}:{event.device}"
        with self._lock, write(self._engine) as c:
            unseen = (evidence.c.detection == view) & (evidence.c.state != HERE)
            c.execute(delete(evidence).where(unseen))
            same = (evidence.c.detection == view) & (evidence.c.sha256 == item.sha256)
            again = c.execute(update(evidence).where(same).values(t_ns=item.t)).rowcount
            early = self.note(c, event, view, [item])
            c.execute(update(evidence).where(same).values(masks=msgspec.to_builtins(item.masks)))
        if again:  # nothing moves there, not even by a grain
            of = {"site": event.site, "gateway": event.gateway, "device": event.device}
            self._viewed_now({**of, "sha256": item.sha256, "t_ns": item.t})
        for part in early:
            self.on_part(part)

    def on_gone(self, event: Event) -> None:
        """Its gateway has it no more."""
        with self._lock, write(self._engine) as c:
            c.execute(
                update(evidence)
                .where(
                    evidence.c.sha256 == str(event.data.get("sha256")),
                    evidence.c.gateway == event.gateway,
                    evidence.c.state.in_((OFFERED, WANTED)),
                )
                .values(state=GONE)
            )

    def on_part(self, part: EvidencePart) -> None:
        """A part came. What nobody named is kept for a moment when it is small, else let go of.

        Raises:
            StoreUnavailableError: the state database takes nothing now; the cloud asks again.
        """
        mine = (evidence.c.sha256 == part.sha256) & (evidence.c.gateway == part.gateway)
        with self._lock, write(self._engine) as c:
            row = c.execute(select(evidence).where(mine)).mappings().first()
            if row is None:
                self._keep_early(part)
                return
            if row["state"] not in (OFFERED, WANTED, GONE):
                self.counts["parts_unwanted"] += 1
                return
            if part.size != row["size"]:
                self.counts["parts_unwanted"] += 1
                self._wrong(c, row)
                return
            try:
                have = self._shelf.take(part.sha256, part.offset, part.size, part.data)
            except WrongHashError:
                self.counts["wrong_hashes"] += 1
                self._wrong(c, row)
                return
            self._has(c, row, have)
        self.counts["parts"] += 1
        if have == part.size:
            self._here(row)
            self.ask(part.gateway)

    def _wrong(self, c: Connection, row: RowMapping) -> None:
        """What came is not what was told of; given up after some tries, or it would be asked for for ever."""
        tries = row["tries"] + 1
        state = WRONG if tries >= MAX_TRIES else row["state"]
        c.execute(update(evidence).where(_is(row)).values(tries=tries, state=state, have=0))

    def _has(self, c: Connection, row: RowMapping, have: int) -> None:
        now_ns = self._clock.now_ns()
        now: dict[str, object] = {"have": have, "asked_ns": now_ns}
        if have >= row["size"]:
            now |= {"state": HERE, "kept_ns": now_ns}
        c.execute(update(evidence).where(_is(row)).values(now))

    def _here(self, row: RowMapping) -> None:
        self.counts["pictures"] += 1
        if row["detection"].startswith(VIEW):
            self._drop_others(row)
            told = ("site", "gateway", "device", "sha256", "t_ns")
            self._viewed_now({name: row[name] for name in told})
        else:
            self._came(row["detection"])

    def _drop_others(self, row: RowMapping) -> None:
        """A newer picture for the wall is here. One that cannot be dropped is tried again with the next."""
        e = evidence.c
        others = and_(e.detection == row["detection"], e.state == HERE, e.sha256 != row["sha256"])
        with read(self._engine) as c:
            gone = c.execute(select(evidence).where(others)).mappings().all()
        for other in gone:
            if not self._shelf.drop(other["sha256"]):
                self.counts["not_dropped"] += 1
                continue
            with self._lock, write(self._engine) as c:
                c.execute(delete(evidence).where(_is(other)))

    def _keep_early(self, part: EvidencePart) -> None:
        if part.offset or part.size > MAX_THUMBNAIL_BYTES or len(part.data) != part.size:
            self.counts["parts_unasked"] += 1
            return
        self._early[(part.gateway, part.sha256)] = part
        if len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)
            self.counts["parts_unasked"] += 1

    def resend(self, gateway: str) -> None:
        """It speaks (again): ask for what is wanted, at once."""
        self.ask(gateway, again=True)

    def expire(self) -> None:
        """Ask again where nothing came."""
        with read(self._engine) as c:
            waiting = select(evidence.c.gateway).where(evidence.c.state == WANTED).distinct()
            names = [row[0] for row in c.execute(waiting)]
        for name in names:
            self.ask(name)

    def ask(self, gateway: str, *, again: bool = False) -> None:
        """For some of what is wanted of a gateway: what was asked for longest ago first, so that each has its turn."""
        key = self._keys.get(gateway)
        while key:
            asks, whole = self._due(gateway, again=again)
            for ask in asks:
                self._send(topics.down(ask.site, gateway, DOWN), sign_ask(ask, key))
                self.counts["asks"] += 1
            for row in whole:
                self._here(row)
            if not whole:
                return
            again = False

    def _due(self, gateway: str, *, again: bool) -> tuple[list[EvidenceAsk], list[RowMapping]]:
        """What to ask for now, and what turned out to be here already."""
        now_ns = self._clock.now_ns()
        e = evidence.c
        wanted = (e.gateway == gateway) & (e.state == WANTED)
        asked = (e.asked_ns > now_ns - ASK_AGAIN_NS) & (e.asked_ns <= now_ns)
        asks, whole = [], []
        with self._lock, write(self._engine) as c:
            room, due = ASKED_AT_ONCE, wanted
            if not again:
                under_way = select(func.count()).select_from(evidence).where(wanted, asked)
                room -= c.scalar(under_way) or 0
                due = wanted & or_(e.asked_ns.is_(None), not_(asked))
            rows = (
                select(evidence)
                .where(due)
                .order_by(func.coalesce(e.asked_ns, 0), e.size, e.t_ns)
                .limit(max(room, 0))
            )
            for row in c.execute(rows).mappings().all():
                have = self._shelf.have(row["sha256"])
                c.execute(update(evidence).where(_is(row)).values(asked_ns=now_ns))
                if have >= row["size"]:
                    # all there, but its last step failed: the process ended, or the disk refused
                    if not self._finished(c, row):
                        continue
                    whole.append(row)
                else:
                    asks.append(EvidenceAsk(VERSION, row["site"], gateway, row["sha256"], have))
        return asks, whole

    def _finished(self, c: Connection, row: RowMapping) -> bool:
        try:
            self._shelf.finish(row["sha256"])
        except WrongHashError:
            self.counts["wrong_hashes"] += 1
            self._wrong(c, row)
            return False
        except FolderError as exc:
            self.counts["pictures_not_kept"] += 1
            if not self._said:
                _log.warning("a picture that came cannot be kept: %s", exc.message)
            self._said = True
            return False
        self._said = False
        self._has(c, row, row["size"])
        return True

    def want(self, sha256: str, sites: Collection[str] | None) -> dict[str, object]:
        """Somebody wants to see one that its gateway still has.

        Raises:
            NotFoundError: nobody told of it, or at a site the caller does not see.
            BadRequestError: its gateway cannot be asked, or has it no more.
        """
        row = self._gallery.exhibit(sha256, sites)
        gateway = str(row["gateway"])
        if row["state"] in (GONE, WRONG, DROPPED):
            raise BadRequestError(f"picture {sha256} cannot be had any more: {row['state']}")
        if row["state"] == OFFERED:
            if not self._keys.get(gateway):
                raise BadRequestError(
                    f"the cloud has no command key for gateway {gateway!r}",
                    hint="set command_key of this gateway in cloud.toml",
                )
            mine = (evidence.c.sha256 == sha256) & (evidence.c.gateway == gateway)
            with self._lock, write(self._engine) as c:
                c.execute(update(evidence).where(mine).values(state=WANTED, asked_ns=None))
            self.ask(gateway)
        return self._gallery.exhibit(sha256, sites)


def _is(row: RowMapping) -> ColumnElement[bool]:
    return and_(evidence.c.sha256 == row["sha256"], evidence.c.gateway == row["gateway"])
