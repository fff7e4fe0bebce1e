"""What comes while a camera is not known yet, and what stood there when it was first looked through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edge.vision.judge.boxes import grown, overlap
from edge.vision.judge.calibration import log_odds
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import Track
from edge.vision.judge.verdict import strong
from edge.vision.observation import Box

_FRAMES = 3
_MOST = 64  # boxes; those with the lowest scores go first
_CLEARER = 2.0  # log-odds
_HELD_FRAMES, _HELD_NS = 30, 600_000_000_000


class First(msgspec.Struct, frozen=True):
    """What the first judged frames showed, of a new camera, after it moved, or in another light."""

    since_ns: int = 0
    frames: int = 0  # judged since, up to `_HELD_FRAMES`
    boxes: tuple[Box, ...] = ()


def noticed(
    first: First, boxes: Iterable[Box], tracks: Sequence[Track], ts_ns: int, settings: Settings
) -> First:
    """After one more judged frame. What was followed before the first of them is no furniture: flames may have turned a camera out of its night mode."""
    if first.frames >= _HELD_FRAMES:  # nothing asks for more
        return first
    if first.frames == 0:
        first = First(ts_ns)
    known = first.boxes
    if first.frames < _FRAMES:
        older = [b for t in tracks if t.since_ns < first.since_ns for b in t.boxes]
        new = (b for b in boxes if not any(_near(b, o, settings) for o in older))
        known = tuple(sorted((*known, *new), key=lambda b: -b.score)[:_MOST])
    return First(first.since_ns, first.frames + 1, known)


def came(track: Track, first: First, settings: Settings) -> bool:
    """Whether it is strong, and far clearer than anything at its place was in the first frames. Furniture is as clear from the beginning."""
    if first.frames <= _FRAMES:
        return False
    there = (f for f in first.boxes if any(_near(b, f, settings) for b in track.boxes))
    before = max((f.score for f in there), default=0.0)
    score = track.kth(settings.k, settings.n)
    least = strong(settings.limits_of(track.label).start)
    return score >= least and log_odds(score) >= log_odds(before) + _CLEARER


def news(tracks: Sequence[Track], first: First, now_ns: int, settings: Settings) -> set[str]:
    """Classes of which something came so lately that it must not be learned. After ten minutes and thirty frames it is: a road on which something always comes would never be known."""
    if first.frames >= _HELD_FRAMES and not 0 <= now_ns - first.since_ns < _HELD_NS:
        return set()
    return {t.label for t in tracks if came(t, first, settings)}


def _near(one: Box, two: Box, settings: Settings) -> bool:
    both = grown(one, settings.grow), grown(two, settings.grow)
    return one.label == two.label and overlap(*both) > 0
