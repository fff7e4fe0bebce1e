"""Detections as gateways tell them, their pictures until they are here, and the verdicts of people."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Engine, insert, select, update

from cloud.db import write
from cloud.vision.gallery import HERE, Gallery
from cloud.vision.keeping import Keeping
from cloud.vision.labelled import MAX_PICTURES, WHOLE, Choice, picture, plan
from cloud.vision.pictures import Pictures, VisionRules
from cloud.vision.shelf import Shelf
from cloud.vision.tables import detections, views
from tocsin.contract.evidence import (
    Detection,
)
from tocsin.contract.messages import Event, Health
from tocsin.errors import BadRequestError, NotFoundError, StoreUnavailableError
from tocsin.sdk import Clock

VERDICTS = ("confirmed", "rejected")
_OF_PEOPLE = ("verdict", "verdict_by", "verdict_ns", "note")


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
        self._engine, self._clock, self._shelf = engine, clock, shelf
        self._changed = changed
        self.gallery = Gallery(engine)
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self._configured: dict[str, frozenset[str]] = {}  # by gateway: its devices, as looked at
        pictures = self._pictures = Pictures(
            engine, clock, shelf, rules, keys=keys, came=self._tell, viewed=viewed, send=send,
            lock=self._lock, counts=self.counts,
        )  # fmt: skip
        self.on_part, self.resend, self.expire = pictures.on_part, pictures.resend, pictures.expire
        self.want = pictures.want
        self.keep = Keeping(engine, clock, shelf, rules, lock=self._lock, counts=self.counts).keep

    # what gateways tell

    def on_event(self, event: Event, received_ns: int) -> None:
        """`vision.detection`, pictures that are gone or new, and cameras that are; one that cannot be read is counted.

        Raises:
            StoreUnavailableError: the state database takes nothing now.
        """
        if event.kind == "evidence.gone":
            self._pictures.on_gone(event)
        elif event.kind == "vision.view":
            self._pictures.on_view(event)
        elif event.kind == "device.removed":
            self._left_view(event.site, event.gateway, detections.c.device == event.device, event.t)
        elif event.kind == "vision.detection":
            try:
                told = msgspec.convert(event.data, Detection)
            except msgspec.ValidationError:
                self.counts["detections_unreadable"] += 1
                return
            self._detected(event, told)

    def on_alarm(self, alarm: Mapping[str, object]) -> None:
        """An alarm as it stands. Where a camera's gateway counted nothing in view, all that was has ended, also what it told no end of."""
        counted = alarm["measurement"], alarm["quantity"], alarm["value"]
        returned_ns = alarm["returned_ns"]
        if counted != ("vision", "confirmed", 0) or alarm["beyond"] or not returned_ns:
            return
        site, gateway, device = (str(alarm[name]) for name in ("site", "gateway", "device"))
        try:
            self._left_view(site, gateway, detections.c.device == device, int(str(returned_ns)))
        except StoreUnavailableError:
            self.counts["ends_not_kept"] += 1  # with its next alarm

    def on_health(self, health: Health) -> None:
        """A gateway's devices. What a camera had in view that is none of them has ended: restarted with another configuration, it tells no `device.removed`. Asks the database only where something changed."""
        devices = frozenset(told.id for told in health.devices)
        if health.left_out or self._configured.get(health.gateway) == devices:
            return  # what is left out for a mistake in it may come back
        self._configured[health.gateway] = (
            devices  # first: a detection that comes meanwhile asks anew
        )
        others = detections.c.device.not_in(devices)
        try:
            self._left_view(health.site, health.gateway, others, health.t)
        except StoreUnavailableError:
            self._configured.pop(health.gateway, None)
            self.counts["ends_not_kept"] += 1  # with its next health

    def _left_view(self, site: str, gateway: str, which: ColumnElement[bool], t_ns: int) -> None:
        d = detections.c
        of_them = (d.site == site) & (d.gateway == gateway) & which
        still = of_them & d.ended_ns.is_(None) & (d.confirmed_ns <= t_ns) & (d.seen_ns <= t_ns)
        with self._lock, write(self._engine) as c:
            left = list(c.execute(select(d.detection).where(still)).scalars())
            if left:
                c.execute(update(detections).where(still).values(ended_ns=t_ns))
        for detection in left:
            self._tell(detection)

    def _detected(self, event: Event, told: Detection) -> None:
        self._configured.pop(event.gateway, None)  # it may be of a camera that is there no more
        with self._lock, write(self._engine) as c:
            mine = detections.c.detection == told.detection
            before = c.execute(select(detections).where(mine)).mappings().first()
            if before is not None and before["gateway"] != event.gateway:
                self.counts["detections_of_another"] += 1
                return
            row = _row(event, told)
            if before is None:
                c.execute(insert(detections).values(row))
            elif not _told_ended(before) or told.change == "ended":
                # In the order in which they come, as their gateway tells them: its clock may be set back in between.
                kept = {"detection", "confirmed_ns", *_OF_PEOPLE}
                if _told_ended(before):
                    kept |= {"ended_ns", "seen_ns"}
                elif told.change != "ended" and told.t <= (before["ended_ns"] or 0):
                    kept.add(
                        "ended_ns"
                    )  # a picture from before it left the view; what is told of later opens it again
                if told.score < before["score"]:
                    kept |= {"score", "box"}
                if not row["thumbnail"] or before["thumbnail"]:
                    kept.add("thumbnail")
                moved = {k: v for k, v in row.items() if k not in kept}
                c.execute(update(detections).where(mine).values(moved))
            early = self._pictures.note(c, event, told.detection, told.evidence)
        for part in early:
            self.on_part(part)
        self._pictures.ask(event.gateway)
        self._tell(told.detection)

    # what people do

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
        path = self._shelf.path(sha256)
        if not path.is_file():
            raise NotFoundError(f"picture {sha256} is not here (any more)")
        self._looked([row], account)
        return row | {"path": str(path)}

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
            {
                "sha256": row["sha256"], "site": row["site"], "device": row["device"],
                "role": row.get("role", WHOLE), "taken_ns": row["t_ns"], "account": account,
                "t_ns": now_ns,
            }
            for row in rows
        ]  # fmt: skip
        if told:
            with self._lock, write(self._engine) as c:
                c.execute(insert(views), told)

    def _tell(self, detection: str) -> None:
        self._changed(self.gallery.row(detection, None))


def _told_ended(row: Mapping[Any, Any]) -> bool:
    """Whether its gateway told its end, which else may have been concluded."""
    return row["ended_ns"] is not None and row["told"].get("change") == "ended"


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
