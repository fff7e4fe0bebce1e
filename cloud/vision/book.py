"""Detections as gateways tell them, their pictures until they are here, and the verdicts of people."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from cloud.db import read, write
from cloud.vision.gallery import HERE, Gallery
from cloud.vision.labelled import MAX_PICTURES, Choice, picture, plan
from cloud.vision.shelf import Shelf, WrongHashError
from cloud.vision.tables import detections, evidence, views
from tocsin.contract import topics
from tocsin.contract.evidence import (
    DOWN,
    MAX_THUMBNAIL_BYTES,
    VERSION,
    Detection,
    EvidenceAsk,
    EvidencePart,
    Exhibit,
    sign_ask,
)
from tocsin.contract.messages import Event
from tocsin.errors import BadRequestError, FolderError, NotFoundError
from tocsin.sdk import Clock

# Of a picture that is not here: its gateway has it; we want it; gone there; never what its name says; kept long enough.
OFFERED, WANTED, GONE, WRONG, DROPPED = "offered", "wanted", "gone", "wrong", "dropped"
ASK_AGAIN_NS = 30_000_000_000
MAX_TRIES = 3
ASKED_AT_ONCE = 4  # of one gateway
VIEW = "view:"  # in the place of a detection: the newest small picture of a camera
MAX_EARLY = 64  # parts that came before the event that names them
MAX_EXHIBITS = 16  # of one detection
VERDICTS = ("confirmed", "rejected")
_OF_PEOPLE = ("verdict", "verdict_by", "verdict_ns", "note")
_DAY_NS = 86_400_000_000_000


@dataclass(frozen=True)
class VisionRules:
    """`fetch`: roles that are asked for unbidden. Retention in days, and in bytes of all pictures."""

    fetch: Collection[str] = ("thumbnail", "at")
    keep_days: float = 90.0
    max_bytes: int = 10 << 30


class VisionBook:
    """`changed` hears every detection that moved, `viewed` every new picture for the wall, after its commit; `send` takes a topic and a signed ask to its gateway."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        shelf: Shelf,
        rules: VisionRules,
        *,
        keys: Mapping[str, bytes],
        changed: Callable[[dict[str, object]], None],
        viewed: Callable[[dict[str, object]], None],
        send: Callable[[str, bytes], object],
    ) -> None:
        self._engine, self._clock, self._shelf, self._rules = engine, clock, shelf, rules
        self._keys, self._changed, self._viewed_now, self._send = keys, changed, viewed, send
        self.gallery = Gallery(engine)
        self._lock = threading.Lock()
        self._early: OrderedDict[tuple[str, str], EvidencePart] = OrderedDict()
        self.counts: Counter[str] = Counter()

    # what gateways tell

    def on_event(self, event: Event, received_ns: int) -> None:
        """`vision.detection` and `evidence.gone`; one that cannot be read is counted.

        Raises:
            StoreUnavailableError: the state database takes nothing now.
        """
        if event.kind == "evidence.gone":
            self._gone(event)
        elif event.kind == "vision.view":
            self._viewed(event)
        elif event.kind == "vision.detection":
            try:
                told = msgspec.convert(event.data, Detection)
            except msgspec.ValidationError:
                self.counts["detections_unreadable"] += 1
                return
            self._detected(event, told)

    def _detected(self, event: Event, told: Detection) -> None:
        with self._lock, write(self._engine) as c:
            mine = detections.c.detection == told.detection
            before = c.execute(select(detections).where(mine)).mappings().first()
            if before is not None and before["gateway"] != event.gateway:
                self.counts["detections_of_another"] += 1
                return
            row = _row(event, told)
            if before is None:
                c.execute(insert(detections).values(row))
            elif before["ended_ns"] is None or told.change == "ended":
                # In the order in which they come, as their gateway tells them: its clock may be set back in between.
                kept = {"detection", "confirmed_ns", *_OF_PEOPLE}
                if before["ended_ns"] is not None:
                    kept |= {"ended_ns", "seen_ns"}
                if told.score < before["score"]:
                    kept |= {"score", "box"}
                if not row["thumbnail"] or before["thumbnail"]:
                    kept.add("thumbnail")
                moved = {k: v for k, v in row.items() if k not in kept}
                c.execute(update(detections).where(mine).values(moved))
            early = self._note_exhibits(c, event, told.detection, told.evidence)
        for part in early:
            self.on_part(part)
        self._ask(event.gateway)
        self._tell(told.detection)

    def _note_exhibits(
        self, c: Connection, event: Event, detection: str, shown: Sequence[Exhibit]
    ) -> list[EvidencePart]:
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

    def _viewed(self, event: Event) -> None:
        """A small picture for the wall: wanted, and with it none before it that is not here yet."""
        try:
            item = msgspec.convert(event.data, Exhibit)
        except msgspec.ValidationError:
            self.counts["detections_unreadable"] += 1
            return
        view = f"{VIEW}{event.gateway}:{event.device}"
        with self._lock, write(self._engine) as c:
            late = (evidence.c.detection == view) & (evidence.c.t_ns >= item.t)
            if c.execute(select(evidence.c.sha256).where(late)).first() is not None:
                return
            unseen = (evidence.c.detection == view) & (evidence.c.state != HERE)
            c.execute(delete(evidence).where(unseen))
            early = self._note_exhibits(c, event, view, [item])
        for part in early:
            self.on_part(part)

    def _gone(self, event: Event) -> None:
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
            if row["state"] not in (OFFERED, WANTED, GONE) or part.size != row["size"]:
                self.counts["parts_unwanted"] += 1
                return
            try:
                have = self._shelf.take(part.sha256, part.offset, part.size, part.data)
            except WrongHashError:
                tries = row["tries"] + 1
                state = WRONG if tries >= MAX_TRIES else row["state"]
                c.execute(update(evidence).where(mine).values(tries=tries, state=state, have=0))
                self.counts["wrong_hashes"] += 1
                return
            now: dict[str, object] = {"have": have, "asked_ns": self._clock.now_ns()}
            if have == part.size:
                now |= {"state": HERE, "kept_ns": self._clock.now_ns()}
            c.execute(update(evidence).where(mine).values(now))
        self.counts["parts"] += 1
        if have == part.size:
            self.counts["pictures"] += 1
            self._ask(part.gateway)
            if row["detection"].startswith(VIEW):
                self._drop_before(row["detection"], row["t_ns"])
                told = ("site", "gateway", "device", "sha256", "t_ns")
                self._viewed_now({name: row[name] for name in told})
            else:
                self._tell(row["detection"])

    def _drop_before(self, view: str, t_ns: int) -> None:
        """A newer picture for the wall is here."""
        older = (evidence.c.detection == view) & (evidence.c.t_ns < t_ns)
        with self._lock, write(self._engine) as c:
            gone = [row[0] for row in c.execute(select(evidence.c.sha256).where(older))]
            c.execute(delete(evidence).where(older))
            c.execute(delete(views).where(views.c.sha256.in_(gone)))  # one a minute and camera
        for sha256 in gone:
            self._shelf.drop(sha256)

    def _keep_early(self, part: EvidencePart) -> None:
        if part.offset or part.size > MAX_THUMBNAIL_BYTES or len(part.data) != part.size:
            self.counts["parts_unasked"] += 1
            return
        self._early[(part.gateway, part.sha256)] = part
        if len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)
            self.counts["parts_unasked"] += 1

    # asking gateways

    def resend(self, gateway: str) -> None:
        """It speaks (again): ask for what is wanted, at once."""
        self._ask(gateway, again=True)

    def expire(self) -> None:
        """Ask again where nothing came."""
        with read(self._engine) as c:
            waiting = select(evidence.c.gateway).where(evidence.c.state == WANTED).distinct()
            names = [row[0] for row in c.execute(waiting)]
        for name in names:
            self._ask(name)

    def _ask(self, gateway: str, *, again: bool = False) -> None:
        key = self._keys.get(gateway)
        if not key:
            return
        now_ns = self._clock.now_ns()
        with self._lock, write(self._engine) as c:
            wanted = (
                select(evidence)
                .where(evidence.c.gateway == gateway, evidence.c.state == WANTED)
                .order_by(evidence.c.size, evidence.c.t_ns)
                .limit(ASKED_AT_ONCE)
            )
            asks = []
            for row in c.execute(wanted).mappings():
                asked_ns = row["asked_ns"]
                if not again and asked_ns is not None and now_ns - asked_ns < ASK_AGAIN_NS:
                    continue
                have = self._shelf.have(row["sha256"])
                asks.append(EvidenceAsk(VERSION, row["site"], gateway, row["sha256"], have))
                mine = (evidence.c.sha256 == row["sha256"]) & (evidence.c.gateway == gateway)
                c.execute(update(evidence).where(mine).values(asked_ns=now_ns))
        for ask in asks:
            self._send(topics.down(ask.site, gateway, DOWN), sign_ask(ask, key))
            self.counts["asks"] += 1

    # what people do

    def want(self, sha256: str, sites: Collection[str] | None) -> dict[str, object]:
        """Somebody wants to see one that its gateway still has.

        Raises:
            NotFoundError: nobody told of it, or at a site the caller does not see.
            BadRequestError: its gateway cannot be asked, or has it no more.
        """
        row = self.gallery.exhibit(sha256, sites)
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
            self._ask(gateway)
        return self.gallery.exhibit(sha256, sites)

    def judge(
        self, detection: str, verdict: str, actor: str, note: str, sites: Collection[str] | None
    ) -> dict[str, object]:
        """A person says what it was; said again, the last word counts.

        Raises:
            NotFoundError: there is no such detection, or at a site the caller does not see.
            BadRequestError: a verdict that is none.
        """
        if verdict not in VERDICTS:
            raise BadRequestError(f"verdict {verdict!r} is none of: {', '.join(VERDICTS)}")
        self.gallery.row(detection, sites)
        with self._lock, write(self._engine) as c:
            c.execute(
                update(detections)
                .where(detections.c.detection == detection)
                .values(
                    verdict=verdict, verdict_by=actor, verdict_ns=self._clock.now_ns(), note=note
                )
            )
        self._tell(detection)
        return self.gallery.row(detection, sites)

    def look(self, sha256: str, account: str, sites: Collection[str] | None) -> dict[str, object]:
        """Where a whole picture lies (`path`); who looked is written down first.

        Raises:
            NotFoundError: it is not here, or at a site the caller does not see.
        """
        row = self.gallery.exhibit(sha256, sites)
        if row["state"] != HERE:
            raise NotFoundError(f"picture {sha256} is not here: {row['state']}")
        self._looked([row], account)
        return row | {"path": str(self._shelf.path(sha256))}

    def judged(
        self, choice: Choice, sites: Collection[str] | None, limit: int = MAX_PICTURES
    ) -> dict[str, object]:
        """Which pictures an export takes: `plan` of what people judged."""
        return plan(self._engine, choice, sites, min(limit, MAX_PICTURES))

    def take_out(
        self, pictures: Sequence[str], account: str, sites: Collection[str] | None
    ) -> list[dict[str, object]]:
        """Labelled pictures of an export that are still here, with where they lie; who took them out is written down first."""
        found = [picture(self._engine, sha256, sites) for sha256 in pictures]
        rows = [row for row in found if row is not None]
        self._looked(rows, account)
        return [row | {"path": str(self._shelf.path(str(row["sha256"])))} for row in rows]

    def _looked(self, rows: Sequence[Mapping[str, object]], account: str) -> None:
        now_ns = self._clock.now_ns()
        told = [
            {"sha256": row["sha256"], "site": row["site"], "account": account, "t_ns": now_ns}
            for row in rows
        ]
        if told:
            with self._lock, write(self._engine) as c:
                c.execute(insert(views), told)

    # keeping

    def keep(self) -> None:
        """Drop pictures beyond the days and bytes of the rules, the oldest first; what was seen stays written."""
        now_ns = self._clock.now_ns()
        oldest_ns = now_ns - int(self._rules.keep_days * _DAY_NS)
        with read(self._engine) as c:
            here = evidence.c.state == HERE
            used = c.scalar(select(func.sum(evidence.c.size)).where(here)) or 0
            query = select(evidence).where(here).order_by(evidence.c.kept_ns).limit(1000)
            drop = []
            for row in c.execute(query).mappings():
                if row["t_ns"] >= oldest_ns and used <= self._rules.max_bytes:
                    break
                used -= row["size"]
                drop.append((row["sha256"], row["gateway"]))
        for sha256, gateway in drop:
            try:
                self._shelf.drop(sha256)
            except OSError as exc:
                raise FolderError(f"picture {sha256} cannot be dropped: {exc.strerror}") from exc
            mine = (evidence.c.sha256 == sha256) & (evidence.c.gateway == gateway)
            with self._lock, write(self._engine) as c:
                c.execute(update(evidence).where(mine).values(state=DROPPED, kept_ns=None))
                c.execute(delete(views).where(views.c.sha256 == sha256, views.c.t_ns < oldest_ns))
            self.counts["dropped"] += 1

    def _tell(self, detection: str) -> None:
        self._changed(self.gallery.row(detection, None))


def _row(event: Event, told: Detection) -> dict[str, object]:
    thumbnail = next((e.sha256 for e in told.evidence if e.role == "thumbnail"), "")
    return {
        "detection": told.detection, "site": event.site, "gateway": event.gateway,
        "device": event.device, "label": told.label, "score": told.score, "box": list(told.box),
        "confirmed_ns": told.t, "seen_ns": told.t,
        "ended_ns": told.t if told.change == "ended" else None,
        "told": msgspec.to_builtins(told), "thumbnail": thumbnail,
        "verdict": "", "verdict_by": "", "verdict_ns": None, "note": "",
    }  # fmt: skip
