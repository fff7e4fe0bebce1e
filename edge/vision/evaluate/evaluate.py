"""A model on a labelled set: looked at, measured, reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.vision.evaluate.looking import Seen
from edge.vision.evaluate.measure import (
    ANY,
    Scored,
    calibrated_groups,
    camera,
    limits_of,
    measure,
    rows_of,
)
from edge.vision.evaluate.report import RULES, Measure, Report, Skipped, Subject
from edge.vision.nn.settings import CalibrationTable


def evaluate(
    seen: Sequence[Seen],
    *,
    subject: Subject,
    classes: Sequence[str],
    table: CalibrationTable,
    box_threshold: float,
    coco: Path,
    images: Path,
    share: float | None = None,
    seconds: float = 0.0,
) -> Report:
    """The report. `share` in place of the model's own share of quiet frames that may exceed a threshold."""
    allowed = table.share if share is None else share
    labelled = {box.label for s in seen for box in (*s.truth.boxes, *s.truth.ignored)}
    named = labelled.union(*(s.truth.categories for s in seen))
    judged = [name for name in classes if name in named] or list(classes)
    rows = rows_of(seen)
    groups = list(dict.fromkeys(s.truth.group for s in seen))
    limits = limits_of(groups, rows, judged, table, allowed)
    known = calibrated_groups(rows)
    scored = Scored([r for r in rows if not r.teaches], judged, limits, known)
    sources: dict[str, dict[str, Measure]] = {}
    for source in sorted({s for s in scored.sources if s}):
        chosen = np.asarray(scored.sources == source, np.bool_)
        sources[source] = {name: measure(scored, name, chosen) for name in (*judged, ANY)}
    return Report(
        model=subject,
        coco=str(coco),
        images=str(images),
        frames=len(seen),
        scored=len(scored.rows),
        calibration_frames=sum(r.teaches for r in rows),
        share=allowed,
        box_threshold=box_threshold,
        classes={name: measure(scored, name) for name in judged},
        any=measure(scored, ANY),
        sources=sources,
        cameras=tuple(camera(scored, seen, rows, group, of) for group, of in limits.items()),
        uncalibrated=tuple(g for g in limits if g not in known),
        skipped=tuple(Skipped(s.truth.file, s.skipped) for s in seen if s.found is None),
        unknown_classes=tuple(sorted(labelled - set(classes))),
        rules=RULES,
        seconds=seconds,
    )
