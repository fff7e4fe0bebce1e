"""From what was seen to the report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.vision.evaluate.halves import LEAST_QUIET, for_calibration
from edge.vision.evaluate.looking import Seen
from edge.vision.evaluate.matching import IOUS, match
from edge.vision.evaluate.measures import Bools, Floats, auc, average_precision, interval, share
from edge.vision.evaluate.report import BoxMeasure, Camera, CameraMeasure, Interval, Measure
from edge.vision.judge.calibration import Limits as JudgeLimits
from edge.vision.judge.calibration import share_limit
from edge.vision.nn.detector import Found
from edge.vision.nn.settings import CalibrationTable

ANY = "any"
_REACH = JudgeLimits().reach  # as far as at a gateway


class Row(msgspec.Struct, frozen=True):
    """A frame that was looked at."""

    seen: Seen
    found: Found
    teaches: bool  # else it is scored


Limits = Mapping[str, Mapping[str, float]]
"""Thresholds by group and class."""


class Scored:
    """The scored frames as columns; `pick` gives some of them."""

    def __init__(
        self, rows: Sequence[Row], classes: Sequence[str], limits: Limits, known: frozenset[str]
    ) -> None:
        self.rows, self.classes = rows, classes
        truths = [r.seen.truth for r in rows]
        self.groups = [t.group for t in truths]
        self.sources = np.array([t.source for t in truths], dtype=object)
        self.quiet: Bools = np.array([t.quiet for t in truths], np.bool_)
        self.calibrated: Bools = np.array([t.group in known for t in truths], np.bool_)
        self.scores: dict[str, Floats] = {}
        self.positive: dict[str, Bools] = {}
        self.raised: dict[str, Bools] = {}
        for name in classes:
            scores = np.array([r.found.scores[name] for r in rows], np.float64)
            limit = np.array([limits[g][name] for g in self.groups], np.float64)
            self.scores[name], self.raised[name] = scores, scores > limit
            self.positive[name] = np.array(
                [any(b.label == name for b in t.boxes) for t in truths], np.bool_
            )
        if rows:
            self.scores[ANY] = np.max([self.scores[c] for c in classes], axis=0)
            self.raised[ANY] = np.any([self.raised[c] for c in classes], axis=0)
            self.positive[ANY] = np.any([self.positive[c] for c in classes], axis=0)
        else:
            self.scores[ANY], self.raised[ANY], self.positive[ANY] = (
                np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.bool_),
            )  # fmt: skip


def rows_of(seen: Sequence[Seen]) -> list[Row]:
    """Frames that were looked at."""
    return [
        Row(s, s.found, for_calibration(s.truth.file, s.truth.quiet))
        for s in seen
        if s.found is not None
    ]


def calibrated_groups(rows: Sequence[Row]) -> frozenset[str]:
    """Cameras with enough quiet frames, of which at least one teaches."""
    quiet: dict[str, int] = {}
    for row in rows:
        quiet[row.seen.truth.group] = quiet.get(row.seen.truth.group, 0) + row.seen.truth.quiet
    teaching = {r.seen.truth.group for r in rows if r.teaches}
    return frozenset(g for g, n in quiet.items() if n >= LEAST_QUIET and g in teaching)


def limits_of(
    groups: Sequence[str],
    rows: Sequence[Row],
    classes: Sequence[str],
    table: CalibrationTable,
    share_allowed: float,
) -> dict[str, dict[str, float]]:
    """Thresholds by camera and class: learned, or the model's own for a camera that cannot be calibrated."""
    known = calibrated_groups(rows)
    out: dict[str, dict[str, float]] = {}
    for group in groups:
        quiet = [r.found.scores for r in rows if r.teaches and r.seen.truth.group == group]
        out[group] = {
            name: share_limit(
                [scores[name] for scores in quiet],
                share_allowed,
                floor=table.floor,
                margin=table.margin,
                reach=_REACH,
            )
            if group in known
            else table.start
            for name in classes
        }
    return out


def measure(
    scored: Scored, name: str, chosen: Bools | None = None, *, boxes: bool = True
) -> Measure:
    """One class, or `any`, over the chosen frames (None: all)."""
    base = np.arange(len(scored.rows)) if chosen is None else np.nonzero(chosen)[0]
    scores, positive, raised = scored.scores[name], scored.positive[name], scored.raised[name]
    calm = base[scored.calibrated[base]]

    def ci(of: Callable[[NDArray[np.intp]], float], among: NDArray[np.intp]) -> Interval:
        return interval([scored.groups[i] for i in among], lambda drawn: of(among[drawn]))

    def recall(i: NDArray[np.intp]) -> float:
        return share(raised[i][positive[i]])

    def false_rate(i: NDArray[np.intp]) -> float:
        return share(raised[i][scored.quiet[i]])

    groups = np.array(scored.groups, dtype=object)
    each = [recall(calm[groups[calm] == g]) for g in dict.fromkeys(groups[calm])]
    told = [r for r in each if not np.isnan(r)]
    return Measure(
        frames=len(base),
        positives=int(positive[base].sum()),
        negatives=int((~positive[base]).sum()),
        auc=_number(auc(scores[base], positive[base])),
        auc_ci=ci(lambda i: auc(scores[i], positive[i]), base),
        ap=_number(average_precision(scores[base], positive[base])),
        ap_ci=ci(lambda i: average_precision(scores[i], positive[i]), base),
        calibrated_frames=len(calm),
        calibrated_recall=_number(recall(calm)),
        calibrated_recall_ci=ci(recall, calm),
        calibrated_recall_mean=float(np.mean(told)) if told else None,
        false_frame_rate=_number(false_rate(calm)),
        false_frame_rate_ci=ci(false_rate, calm),
        false_frames=int((raised & scored.quiet)[calm].sum()),
        quiet_frames=int(scored.quiet[calm].sum()),
        boxes=_boxes(scored, name, base) if boxes else {},
    )


def camera(
    scored: Scored,
    seen: Sequence[Seen],
    rows: Sequence[Row],
    group: str,
    limits: Mapping[str, float],
) -> Camera:
    """All classes at one camera, of which every frame may have been skipped."""
    mine = np.array([g == group for g in scored.groups], np.bool_)
    of_group = [s for s in seen if s.truth.group == group]
    classes = {}
    for name in (*scored.classes, ANY):
        scores, positive = scored.scores[name][mine], scored.positive[name][mine]
        raised = scored.raised[name][mine]
        quiet = scored.quiet[mine]
        classes[name] = CameraMeasure(
            threshold=limits.get(name),
            positives=int(positive.sum()),
            auc=_number(auc(scores, positive)),
            ap=_number(average_precision(scores, positive)),
            recall=_number(share(raised[positive])),
            raised=int((raised & positive).sum()),
            false_frame_rate=_number(share(raised[quiet])),
            false_frames=int((raised & quiet).sum()),
        )
    return Camera(
        group=group,
        source=of_group[0].truth.source,
        calibrated=bool(scored.calibrated[mine].any()),
        frames=len(of_group),
        scored=int(mine.sum()),
        calibration_frames=sum(r.teaches for r in rows if r.seen.truth.group == group),
        skipped=sum(s.found is None for s in of_group),
        quiet_frames=int(scored.quiet[mine].sum()),
        classes=classes,
    )


def _boxes(scored: Scored, name: str, base: NDArray[np.intp]) -> dict[str, BoxMeasure]:
    out = {}
    names = scored.classes if name == ANY else [name]
    for iou in IOUS:
        hits = false = labelled = 0
        for i in base:
            truth, found = scored.rows[i].seen.truth, scored.rows[i].found
            for label in names:
                wanted = [b for b in truth.boxes if b.label == label]
                got = [b for b in found.boxes if b.label == label]
                h, f = match(got, wanted, truth.ignored, iou)
                hits, false, labelled = hits + h, false + f, labelled + len(wanted)
        out[f"{iou:g}"] = BoxMeasure(
            recall=hits / labelled if labelled else None,
            precision=hits / (hits + false) if hits + false else None,
            hits=hits,
            labelled=labelled,
            false_boxes=false,
        )
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
