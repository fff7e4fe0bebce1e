"""What people judged, as labelled pictures: which pictures, and what is where in each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, RowMapping, func, select

from cloud.db import read
from cloud.vision.gallery import HERE
from cloud.vision.tables import detections, evidence

MAX_PICTURES = 10_000  # of one export
WHOLE = "at"  # role of the picture that nothing is drawn on
LEAD_NS = 60_000_000_000  # before its confirmation a thing is in the picture already
_GROWN = 0.25  # of a region to ignore, on each side: things move between their confirmation and another's picture


@dataclass(frozen=True)
class Choice:
    """Which detections. Unix ns, the end excluded; "" is every one of them. `spectrum` "all" mixes false colours in."""

    from_ns: int = 0
    to_ns: int = 2**63 - 1
    site: str = ""
    device: str = ""
    labels: Collection[str] = ()
    spectrum: str = "visible"
    unjudged: bool = False


def plan(
    engine: Engine, choice: Choice, sites: Collection[str] | None, limit: int
) -> dict[str, object]:
    """Hashes of at most `limit` pictures (the newest, in the order of camera and time), their `bytes`, and how many `detections` were chosen."""
    chosen = _conditions(choice, sites)
    whole = (evidence.c.role == WHOLE, evidence.c.media.in_(("image/jpeg", "image/png")))
    here = (
        select(evidence)
        .join(detections, detections.c.detection == evidence.c.detection)
        .where(*chosen, *whole, evidence.c.state == HERE)
        .order_by(evidence.c.t_ns.desc())
        .limit(limit + 1)
    )
    with read(engine) as c:
        rows = c.execute(here).all()
        judged = c.scalar(select(func.count()).select_from(detections).where(*chosen)) or 0
    kept = sorted(rows[:limit], key=lambda r: (r.site, r.device, r.t_ns))
    return {
        "pictures": [r.sha256 for r in kept],
        "bytes": sum(r.size for r in kept),
        "detections": judged,
        "truncated": len(rows) > limit,
    }


def _conditions(choice: Choice, sites: Collection[str] | None) -> list[ColumnElement[bool]]:
    d = detections.c
    verdicts = ("confirmed", "rejected", "") if choice.unjudged else ("confirmed", "rejected")
    out = [
        d.confirmed_ns >= choice.from_ns, d.confirmed_ns < choice.to_ns, d.verdict.in_(verdicts)
    ]  # fmt: skip
    if sites is not None:
        out.append(d.site.in_(sites))
    for column, value in ((d.site, choice.site), (d.device, choice.device)):
        if value:
            out.append(column == value)
    if choice.labels:
        out.append(d.label.in_(choice.labels))
    if choice.spectrum != "all":
        out.append(func.coalesce(d.told["spectrum"].as_string(), "visible") == choice.spectrum)
    return out


def picture(engine: Engine, sha256: str, sites: Collection[str] | None) -> dict[str, object] | None:
    """One of them: camera, time, media, and `regions` (label, box in shares, `ignored`); None when it is not here any more."""
    query = (
        select(evidence, detections.c.verdict)
        .join(detections, detections.c.detection == evidence.c.detection)
        .where(evidence.c.sha256 == sha256, evidence.c.state == HERE)
    )
    if sites is not None:
        query = query.where(evidence.c.site.in_(sites))
    with read(engine) as c:
        row = c.execute(query).mappings().first()
        if row is None:
            return None
        near = (
            select(detections)
            .where(detections.c.site == row["site"], detections.c.device == row["device"])
            .where(detections.c.confirmed_ns <= row["t_ns"] + LEAD_NS)
            .where(detections.c.seen_ns >= row["t_ns"])
            .where(detections.c.verdict != "rejected")
            .order_by(detections.c.confirmed_ns)
        )
        seen = c.execute(near).mappings().all()
    return {
        **{
            k: row[k] for k in ("sha256", "site", "device", "detection", "verdict", "media", "t_ns")
        },
        "regions": [_region(d, sha256, row["detection"]) for d in seen],
    }


def _region(seen: RowMapping, sha256: str, owner: object) -> dict[str, object]:
    """A box where a person confirmed what this very picture was taken of; else a region that counts neither way."""
    shown = [e["sha256"] for e in seen["told"].get("evidence", ()) if e.get("role") == WHOLE]
    mine = seen["detection"] == owner or sha256 in shown
    ignored = not mine or seen["verdict"] != "confirmed"
    box = list(seen["box"]) if mine else grown(seen["box"])
    return {"label": seen["label"], "box": box, "ignored": ignored}


def grown(box: Sequence[float]) -> list[float]:
    """By a quarter on each side, within the picture."""
    x, y, width, height = box
    left, top = max(0.0, x - _GROWN * width), max(0.0, y - _GROWN * height)
    right = min(1.0, x + (1 + _GROWN) * width)
    bottom = min(1.0, y + (1 + _GROWN) * height)
    return [left, top, right - left, bottom - top]
