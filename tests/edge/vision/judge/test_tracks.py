"""What is one thing, and where it is, when several boxes are."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vision.judge.boxes import grown, overlap
from edge.vision.judge.calibration import Limits
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import Track, follow
from edge.vision.judge.watch import Event, EventKind, Watch, step
from edge.vision.observation import Box, Observation
from tests.edge.vision.judge.observations import observed, smoke

AT_ONCE = Settings(hold_at_start=0, limits=Limits(start=0.5))


def run(seen: list[Observation]) -> tuple[Watch, list[Event]]:
    watch, told = Watch(), list[Event]()
    for one in seen:
        watch, events = step(watch, one, AT_ONCE)
        told += [e for e in events if e.kind is EventKind.ALARM]
    return watch, told


def ridge(count: int, size: float = 40, step_px: tuple[float, float] = (55, 40)) -> list[Box]:
    """Plumes down a ridge from the top left, each near enough to the next to be linked with it."""
    return [
        Box("smoke", 0.9 - 0.01 * i, 20 + step_px[0] * i, 20 + step_px[1] * i, size, size)
        for i in range(count)
    ]


def share(box: Box) -> float:
    """Of the picture."""
    return box.width * box.height / (640 * 480)


def test_a_chain_of_plumes_does_not_swallow_the_picture_and_a_fire_beside_it_has_its_own_alarm() -> (
    None
):
    frames = [observed(i, *ridge(1 + min(i, 9), size=40 + i % 3)) for i in range(24)]
    watch, told = run(frames)
    assert max(share(t.box) for t in watch.tracks if t.open) < 0.25
    beside = [
        observed(24 + i, *ridge(10), smoke(0.9, x=450, y=60, size=30 + 5 * i)) for i in range(8)
    ]
    watch, told = run(frames + beside)
    assert [e.index for e in told if e.index >= 24] == [26]
    assert told[-1].box is not None
    assert overlap(told[-1].box, beside[2].boxes[-1]) > 0


def test_a_piece_that_is_missed_for_a_few_frames_is_no_other_alarm() -> None:
    frames = []
    for i in range(40):
        pieces = ridge(5, size=40 + i % 3)
        if i % 4:
            del pieces[3:]
        frames.append(observed(i, *pieces, smoke(0.95, x=20, y=20, size=40 + 3 * i)))
    assert len(run(frames)[1]) == 1


def test_two_pieces_side_by_side_have_one_box_around_both() -> None:
    left, right = smoke(0.8, x=300, size=40), smoke(0.9, x=345, size=40)
    (track,), _ = follow((), [left, right], 0, 0, 1, grow=0.5, forget_after=5)
    assert (track.box.x, track.box.width, track.box.score) == (300, 85, 0.9)
    assert track.sightings[-1].score == 0.9


def test_a_track_written_down_before_pieces_were_remembered_goes_on() -> None:
    old = Track(1, "smoke", 0, 0, smoke(0.9), limit=0.5)
    (track,), number = follow((old,), [smoke(0.8, x=310)], 5, 5, 2, grow=0.5, forget_after=5)
    assert (track.number, number) == (1, 2)
    again = msgspec.json.decode(msgspec.json.encode(track), type=Track)
    assert again == track


boxes = st.builds(
    Box,
    st.sampled_from(["smoke", "fire"]),
    st.floats(0, 1),
    st.floats(0, 600),
    st.floats(0, 440),
    st.floats(1, 200),
    st.floats(1, 200),
)


@given(st.lists(st.lists(boxes, max_size=8), min_size=1, max_size=12))
@settings(max_examples=80)
def test_whatever_is_seen_a_box_around_several_is_not_mostly_empty(frames: list[list[Box]]) -> None:
    tracks, number = tuple[Track, ...](), 1
    for i, seen in enumerate(frames):
        before = tracks
        tracks, number = follow(tracks, seen, i, i, number, grow=0.5, forget_after=4)
        now = [p.box for t in tracks for p in t.pieces if p.missed == 0]
        assert len(now) == len(seen)
        for track in tracks:
            own = [p.box for p in track.pieces if p.missed == 0]
            if not own:
                continue
            area = track.box.width * track.box.height
            assert area <= 2.5 * sum(b.width * b.height for b in own) + 1e-6
            assert track.sightings[-1].score == max(b.score for b in own)
            assert {b.label for b in own} == {track.label}
            old = next((t for t in before if t.number == track.number), None)
            if old is None:
                continue
            for box in own:
                near = (grown(b, 0.5) for b in old.boxes)
                assert any(overlap(b, grown(box, 0.5)) > 0 for b in near)
