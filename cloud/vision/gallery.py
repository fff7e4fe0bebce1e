"""What cameras saw, as people look at it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Engine, select, tuple_

from cloud.db import read
from cloud.vision.tables import detections, evidence, views
from tocsin.errors import NotFoundError

HERE = "here"  # of a picture
MAX_LOOKS = 200  # shown
MAX_IN_VIEW = 1000  # of all cameras asked for; a gateway follows a few at each


class Gallery:
    """Reads alone; `sites` None sees everything."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seen_by(self, detection: str) -> list[dict[str, object]]:
        """Who looked at its pictures, newest first."""
        mine = select(evidence.c.sha256).where(evidence.c.detection == detection)
        return self._looks(views.c.sha256.in_(mine))

    def looked_at(self, site: str, device: str) -> list[dict[str, object]]:
        """Who looked at any picture of a camera, the wall's too, newest first."""
        return self._looks((views.c.site == site) & (views.c.device == device))

    def _looks(self, chosen: ColumnElement[bool]) -> list[dict[str, object]]:
        told = (views.c.account, views.c.t_ns, views.c.role, views.c.taken_ns)
        query = select(*told).where(chosen).order_by(views.c.id.desc()).limit(MAX_LOOKS)
        with read(self._engine) as c:
            return [dict(row) for row in c.execute(query).mappings()]

    def exhibit(self, sha256: str, sites: Collection[str] | None) -> dict[str, object]:
        """What is known of one picture.

        Raises:
            NotFoundError: nobody told of it, or at a site the caller does not see.
        """
        query = select(evidence).where(evidence.c.sha256 == sha256)
        if sites is not None:
            query = query.where(evidence.c.site.in_(sites))
        with read(self._engine) as c:
            row = c.execute(query.order_by(evidence.c.state != HERE)).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no picture {sha256!r}")
        return dict(row)

    def pictures(
        self, hashes: Collection[str], sites: Collection[str] | None = None
    ) -> list[dict[str, object]]:
        """What is known of some pictures, by their hashes, with what was seen in them: one statement, however many. Several gateways may have one of them."""
        d = detections.c
        seen = (d.label, d.verdict, d.verdict_by, d.verdict_ns, d.confirmed_ns, d.ended_ns, d.told)
        query = (
            select(evidence, *seen)
            .outerjoin(detections, d.detection == evidence.c.detection)
            .where(evidence.c.sha256.in_(hashes))
        )
        if sites is not None:
            query = query.where(evidence.c.site.in_(sites))
        with read(self._engine) as c:
            found = [dict(row) for row in c.execute(query).mappings()]
        return [row | {"grown": (row.pop("told") or {}).get("grown")} for row in found]

    def in_view(
        self, cameras: Collection[Sequence[str]], sites: Collection[str] | None = None
    ) -> list[dict[str, object]]:
        """Detections of cameras (site, gateway, device) that have not ended, newest first, each with its small picture as `pictures` tells it: one statement, however many. Beyond `MAX_IN_VIEW` the oldest are left out; an alarm then shows its first."""
        d, e = detections.c, evidence.c
        of_it = (d.detection, d.site, d.gateway, d.device, d.label, d.confirmed_ns, d.ended_ns)
        said = (d.verdict, d.verdict_by, d.verdict_ns, d.told)
        query = (
            select(*of_it, *said, d.thumbnail.label("sha256"), e.state)
            .outerjoin(evidence, (e.sha256 == d.thumbnail) & (e.gateway == d.gateway))
            .where(
                d.ended_ns.is_(None),
                tuple_(d.site, d.gateway, d.device).in_([tuple(c) for c in cameras]),
            )
            .order_by(d.confirmed_ns.desc(), d.detection.desc())
            .limit(MAX_IN_VIEW)
        )
        if sites is not None:
            query = query.where(d.site.in_(sites))
        with read(self._engine) as c:
            found = [dict(row) for row in c.execute(query).mappings()]
        return [row | {"grown": (row.pop("told") or {}).get("grown")} for row in found]

    def row(self, detection: str, sites: Collection[str] | None) -> dict[str, object]:
        """One detection with its pictures.

        Raises:
            NotFoundError: there is none, or at a site the caller does not see.
        """
        query = select(detections).where(detections.c.detection == detection)
        with read(self._engine) as c:
            row = c.execute(query).mappings().first()
            if row is None or (sites is not None and row["site"] not in sites):
                raise NotFoundError(f"there is no detection {detection!r}")
            named = [e["sha256"] for e in row["told"].get("evidence", ())]
            of_another = evidence.c.sha256.in_(named) & (evidence.c.gateway == row["gateway"])
            mine = (evidence.c.detection == detection) | of_another  # seen in the same frame
            pictures = select(evidence).where(mine).order_by(evidence.c.t_ns)
            shown = [dict(r) for r in c.execute(pictures).mappings()]
        return dict(row) | {"evidence": shown}

    def rows(
        self,
        *,
        sites: Collection[str] | None = None,
        device: str = "",
        verdict: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, object]]:
        """Detections, newest first, without their pictures. `verdict` "" are those that nobody judged."""
        query = select(detections).order_by(detections.c.confirmed_ns.desc()).limit(limit)
        if sites is not None:
            query = query.where(detections.c.site.in_(sites))
        if device:
            query = query.where(detections.c.device == device)
        if verdict is not None:
            query = query.where(detections.c.verdict == verdict)
        with read(self._engine) as c:
            return [dict(row) for row in c.execute(query).mappings()]

    def views(self, sites: Collection[str] | None = None) -> list[dict[str, object]]:
        """The newest small picture of each camera that is here."""
        query = (
            select(evidence)
            .where(evidence.c.role == "view", evidence.c.state == HERE)
            .order_by(evidence.c.kept_ns)
        )
        if sites is not None:
            query = query.where(evidence.c.site.in_(sites))
        with read(self._engine) as c:
            newest = {
                (row["site"], row["device"]): dict(row) for row in c.execute(query).mappings()
            }
        return list(newest.values())
