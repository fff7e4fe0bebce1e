"""The same thing in frame after frame: boxes linked by the overlap of their grown selves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edge.vision.judge.boxes import grown, overlap, union
from edge.vision.observation import Box

MOST = 24  # tracks of a camera; those with the lowest scores go first
REMEMBERED = 64  # sightings of a track


class Sighting(msgspec.Struct, frozen=True):
    """One judged frame of a track. Without a box it was not seen in it."""

    index: int
    ts_ns: int
    score: float = 0.0
    box: Box | None = None


class Track(msgspec.Struct, frozen=True):
    """One thing that is followed. `number` is never used again at the same camera."""

    number: int
    label: str
    since_index: int  # the frame of its first box
    since_ns: int
    box: Box  # where it was last
    sightings: tuple[Sighting, ...] = ()  # the newest `REMEMBERED`, oldest first
    limit: float = 0.0  # the threshold its alarm was raised at; 0: there is no alarm
    lost: bool = False  # the camera moved since: its box says nothing about where it is

    @property
    def open(self) -> bool:
        """Whether it has an alarm that did not end."""
        return self.limit > 0

    @property
    def seen(self) -> tuple[Sighting, ...]:
        """The sightings that have a box."""
        return tuple(s for s in self.sightings if s.box is not None)

    def kth(self, k: int, n: int) -> float:
        """The k-th highest score of its last n frames: what a threshold must not exceed for k of n."""
        scores = sorted((s.score for s in self.sightings[-n:]), reverse=True)
        return scores[k - 1] if len(scores) >= k else 0.0

    def quiet(self, below: float) -> int:
        """How many frames in a row, the last one included, it had no box or a score below this."""
        count = 0
        for sighting in reversed(self.sightings):
            if sighting.box is not None and sighting.score >= below:
                break
            count += 1
        return count


def follow(
    tracks: Sequence[Track],
    boxes: Iterable[Box],
    index: int,
    ts_ns: int,
    first_number: int,
    *,
    grow: float,
    forget_after: int,
) -> tuple[tuple[Track, ...], int]:
    """All tracks after a judged frame and the next unused number. A box belongs to one track; a track may have several, then their union."""
    found: dict[int, Box] = {}
    fresh: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        mine = _best(tracks, found, box, grow)
        if mine is not None:
            known = found.get(mine)
            found[mine] = box if known is None else union(known, box)
            continue
        near = next((i for i, b in enumerate(fresh) if _linked(b, box, grow)), None)
        if near is None:
            fresh.append(box)
        else:
            fresh[near] = union(fresh[near], box)
    after = [_seen(t, found.get(t.number), index, ts_ns) for t in tracks]
    after = [t for t in after if t.open or t.quiet(0.0) < forget_after]
    number = first_number
    for box in fresh:
        born = Track(number, box.label, index, ts_ns, box)
        after.append(_seen(born, box, index, ts_ns))
        number += 1
    kept = sorted(after, key=lambda t: (not t.open, -t.box.score, t.number))[:MOST]
    return tuple(sorted(kept, key=lambda t: t.number)), number


def _best(tracks: Sequence[Track], found: dict[int, Box], box: Box, grow: float) -> int | None:
    """The track a box belongs to: an open one first, then the one it covers most; one that lost its place takes any box when there is no other."""
    near = [t for t in tracks if not t.lost and _linked(t.box, box, grow)]
    if near:
        covered = {t.number: overlap(grown(t.box, grow), grown(box, grow)) for t in near}
        return max(near, key=lambda t: (t.open, covered[t.number], -t.number)).number
    lost = (t for t in tracks if t.lost and t.label == box.label and t.number not in found)
    return next((t.number for t in lost), None)


def _linked(one: Box, two: Box, grow: float) -> bool:
    return one.label == two.label and overlap(grown(one, grow), grown(two, grow)) > 0


def _seen(track: Track, box: Box | None, index: int, ts_ns: int) -> Track:
    score = 0.0 if box is None else box.score
    sightings = (*track.sightings, Sighting(index, ts_ns, score, box))[-REMEMBERED:]
    return msgspec.structs.replace(
        track,
        box=box or track.box,
        sightings=sightings,
        lost=track.lost and box is None,
    )


def trend(values: Sequence[tuple[float, float]]) -> float:
    """Slope of y over x by least squares; 0 for fewer than two places."""
    count = len(values)
    if count < 2:
        return 0.0
    mean_x = sum(x for x, _ in values) / count
    mean_y = sum(y for _, y in values) / count
    spread = sum((x - mean_x) ** 2 for x, _ in values)
    if spread <= 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in values) / spread
