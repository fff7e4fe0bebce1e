"""The same thing in frame after frame: boxes linked by the overlap of their grown selves. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import partial

import msgspec

from edge.vision.judge.boxes import grown, overlap, union
from edge.vision.observation import Box

MOST = 24  # tracks of a camera; those with the lowest scores go first
REMEMBERED = 64  # sightings of a track
PIECES = 12  # of a track; those seen longest ago go first
_SPARSE = 2.5  # a box around several is at most so much larger than they are together


class Sighting(msgspec.Struct, frozen=True):
    """One judged frame of a track. Without a box it was not seen in it."""

    index: int
    ts_ns: int
    score: float = 0.0
    box: Box | None = None
    area: float = 0.0  # of all its boxes together, px2


class Piece(msgspec.Struct, frozen=True):
    """One of the boxes that a thing had lately."""

    box: Box
    missed: int = 0  # judged frames since


class Track(msgspec.Struct, frozen=True):
    """One thing that is followed. `number` is never used again at the same camera."""

    number: int
    label: str
    since_index: int  # the frame of its first box
    since_ns: int
    box: Box  # where it was last: around its boxes, or those of them that lie together
    sightings: tuple[Sighting, ...] = ()  # the newest `REMEMBERED`, oldest first
    limit: float = 0.0  # the threshold its alarm was raised at; 0: there is no alarm
    lost: bool = False  # the camera moved since: its box says nothing about where it is
    pieces: tuple[Piece, ...] = ()  # what is near one of them is part of it, not what lies between
    first_area: float = 0.0  # when its alarm was raised, px2; 0: to be taken from its next frames
    told_area: float = 0.0  # when its size was last told
    told_ns: int = 0

    @property
    def open(self) -> bool:
        """Whether it has an alarm that did not end."""
        return self.limit > 0

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where it was lately."""
        return tuple(p.box for p in self.pieces) or (self.box,)

    @property
    def seen(self) -> tuple[Sighting, ...]:
        """The sightings that have a box."""
        return tuple(s for s in self.sightings if s.box is not None)

    def kth(self, k: int, n: int) -> float:
        """The k-th highest score of its last n frames: what a threshold must not exceed for k of n."""
        scores = sorted((s.score for s in self.sightings[-n:]), reverse=True)
        return scores[k - 1] if len(scores) >= k else 0.0

    def area(self, k: int, n: int) -> float:
        """What its area was at least, px2, in k of its last n frames."""
        areas = sorted((s.area for s in self.sightings[-n:]), reverse=True)
        return areas[k - 1] if len(areas) >= k else 0.0

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
    """All tracks after a judged frame and the next unused number. A box belongs to one track; a track may have several."""
    found: dict[int, list[Box]] = {}
    fresh: list[list[Box]] = []
    around_fresh: list[list[Box]] = []
    places = [(t, [grown(b, grow) for b in t.boxes]) for t in tracks if not t.lost]
    for box in sorted(boxes, key=lambda b: -b.score):
        wide = grown(box, grow)
        mine = _best(places, wide)
        if mine is None:
            mine = _lost(tracks, found, box)
        if mine is not None:
            found.setdefault(mine, []).append(box)
            continue
        near = next((i for i, own in enumerate(around_fresh) if _touch(own, wide)), len(fresh))
        if near == len(fresh):
            fresh.append([])
            around_fresh.append([])
        fresh[near].append(box)
        around_fresh[near].append(wide)
    after = [_seen(t, found.get(t.number, []), index, ts_ns, forget_after) for t in tracks]
    after = [t for t in after if t.open or t.quiet(0.0) < forget_after]
    number = first_number
    for own in fresh:
        born = Track(number, own[0].label, index, ts_ns, own[0], pieces=(Piece(own[0]),))
        after.append(_seen(born, own, index, ts_ns, forget_after))
        number += 1
    kept = sorted(after, key=lambda t: (not t.open, -t.box.score, t.number))[:MOST]
    return tuple(sorted(kept, key=lambda t: t.number)), number


def beside(one: Track, other: Track, grow: float) -> bool:
    """Whether a piece of one lies at a piece of the other."""
    own = [grown(a, grow) for a in one.boxes]
    return any(_touch(own, grown(b, grow)) for b in other.boxes)


def joined(one: Track, other: Track) -> Track:
    """With the pieces of another, as one thing."""
    pieces = (*(one.pieces or (Piece(one.box),)), *(other.pieces or (Piece(other.box),)))
    kept = tuple(sorted(pieces, key=lambda p: p.missed))[:PIECES]
    return msgspec.structs.replace(one, box=around([one.box, other.box], one.box), pieces=kept)


def around(boxes: Sequence[Box], last: Box) -> Box:
    """The box around the one that is most where it was and those that lie so near that not most of it is empty; the highest score of all."""
    first = max(boxes, key=lambda b: (overlap(b, last), b.score))
    whole, filled = first, first.width * first.height
    rest = [b for b in boxes if b is not first]
    while rest:
        near = min(rest, key=partial(_area_with, whole))
        more = union(whole, near)
        if _area(more) > _SPARSE * (filled + _area(near)):
            break
        whole, filled = more, filled + _area(near)
        rest.remove(near)
    return msgspec.structs.replace(whole, score=max(b.score for b in boxes))


def _area(box: Box) -> float:
    return box.width * box.height


def _area_with(whole: Box, box: Box) -> float:
    """`_area` of their `union`, which is not made."""
    x, y, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    own_right, own_bottom = whole.x + whole.width, whole.y + whole.height
    across = (right if right > own_right else own_right) - (x if x < whole.x else whole.x)
    down = (bottom if bottom > own_bottom else own_bottom) - (y if y < whole.y else whole.y)
    return across * down


def _best(places: Iterable[tuple[Track, Sequence[Box]]], wide: Box) -> int | None:
    """The track a grown box belongs to, of those with their grown boxes: an open one first, then the one it covers most."""
    near = [(t, own) for t, own in places if _touch(own, wide)]
    if len(near) < 2:
        return near[0][0].number if near else None
    best, _ = max(near, key=lambda n: (n[0].open, max(overlap(b, wide) for b in n[1]), -n[0].number))  # fmt: skip
    return best.number


def _lost(tracks: Iterable[Track], found: Container[int], box: Box) -> int | None:
    """One that lost its place takes any box when there is no other."""
    lost = (t for t in tracks if t.lost and t.label == box.label and t.number not in found)
    return next((t.number for t in lost), None)


def _touch(own: Iterable[Box], wide: Box) -> bool:
    return any(b.label == wide.label and overlap(b, wide) > 0 for b in own)


def _seen(track: Track, boxes: Sequence[Box], index: int, ts_ns: int, forget_after: int) -> Track:
    box = around(boxes, track.box) if boxes else None
    score = 0.0 if box is None else box.score
    now = Sighting(index, ts_ns, score, box, sum(_area(b) for b in boxes))
    sightings = (*track.sightings, now)[-REMEMBERED:]
    older = () if track.lost and boxes else track.pieces
    missed = [Piece(p.box, p.missed + 1) for p in older if p.missed < forget_after]
    pieces = [Piece(b) for b in boxes]
    pieces += [p for p in missed if all(overlap(p.box, b) <= 0 for b in boxes)]
    return msgspec.structs.replace(
        track,
        box=box or track.box,
        sightings=sightings,
        lost=track.lost and box is None,
        pieces=tuple(pieces[:PIECES]),
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
