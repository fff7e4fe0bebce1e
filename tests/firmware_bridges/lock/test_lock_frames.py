"""Frames: any message through any MTU, and nothing cut, lost, doubled or overlong gets through as a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.lock.frames import (
    MAX_BODY_BYTES,
    MAX_FRAME_BYTES,
    Kind,
    Message,
    Partial,
    joined,
    split,
)
from tocsin.errors import GrantRefusedError, LockRefusal

KINDS = st.sampled_from(Kind)
BODIES = st.binary(max_size=MAX_BODY_BYTES)
SIZES = st.integers(20, MAX_FRAME_BYTES)


def put_together(frames: list[bytes]) -> Partial | Message | None:
    state: Partial | Message | None = None
    for frame in frames:
        assert not isinstance(state, Message)
        state = joined(state, frame)
    return state


@given(KINDS, BODIES, SIZES, st.integers(0, 300))
def test_a_message_goes_through_frames_of_any_size(
    kind: Kind, body: bytes, size: int, number: int
) -> None:
    frames = split(kind, body, size, number)
    assert max(map(len, frames)) <= size
    assert put_together(frames) == Message(kind, body)


@given(KINDS, st.binary(min_size=30, max_size=200), st.data())
def test_a_part_left_out_or_doubled_is_refused_or_leaves_the_message_open(
    kind: Kind, body: bytes, data: st.DataObject
) -> None:
    frames = split(kind, body, 20)
    at = data.draw(st.integers(0, len(frames) - 1))
    for wrong in (frames[:at] + frames[at + 1 :], frames[: at + 1] + frames[at:]):
        if at == 0 and len(wrong) > len(frames):
            continue  # a first part doubled begins again: nothing is wrong
        try:
            state = put_together(wrong)
        except (GrantRefusedError, AssertionError):
            continue
        assert not isinstance(state, Message)


@given(KINDS, BODIES, SIZES, st.data())
def test_a_frame_cut_short_on_the_way_is_never_a_message(
    kind: Kind, body: bytes, size: int, data: st.DataObject
) -> None:
    frame = split(kind, body, size)[-1]
    cut = frame[: data.draw(st.integers(0, len(frame) - 1))]
    before = put_together(split(kind, body, size)[:-1])
    assert not isinstance(before, Message)
    with pytest.raises(GrantRefusedError) as refused:
        joined(before, cut)
    assert refused.value.reason is LockRefusal.MALFORMED


@given(
    st.none()
    | st.builds(
        Partial, KINDS, st.integers(0, 255), st.integers(0, 640), st.integers(0, 127), BODIES
    ),
    st.binary(max_size=300),
)
def test_any_bytes_are_a_part_a_message_or_refused(before: Partial | None, frame: bytes) -> None:
    try:
        state = joined(before, frame)
    except GrantRefusedError as refused:
        reason: LockRefusal | None = refused.reason
    else:
        assert len(state.body) <= MAX_BODY_BYTES + MAX_FRAME_BYTES
        return
    assert reason in {LockRefusal.MALFORMED, LockRefusal.UNSUPPORTED_VERSION}


def test_a_first_part_drops_what_was_begun() -> None:
    begun = joined(None, split(Kind.GRANT, bytes(100), 20, 1)[0])
    assert isinstance(begun, Partial)
    assert joined(begun, split(Kind.HELLO, b"new", 20, 2)[0]) == Message(Kind.HELLO, b"new")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", LockRefusal.MALFORMED),
        ("0101008000", LockRefusal.MALFORMED),
        ("020100800000", LockRefusal.UNSUPPORTED_VERSION),
        ("017f00800000", LockRefusal.MALFORMED),
        ("010100800281", LockRefusal.MALFORMED),
        ("010100800001", LockRefusal.MALFORMED),
        ("010100000000", LockRefusal.MALFORMED),
        ("01010080000001", LockRefusal.MALFORMED),
        ("010100010004aabb", LockRefusal.MALFORMED),
        ("01010080" + "00ef" + "00" * 239, LockRefusal.MALFORMED),
    ],
)
def test_frames_that_are_none_are_refused(frame: str, reason: LockRefusal) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        joined(None, bytes.fromhex(frame))
    assert refused.value.reason is reason


@pytest.mark.parametrize(("length", "size"), [(MAX_BODY_BYTES + 1, 244), (1, 19), (1, 245)])
def test_what_does_not_fit_is_not_split(length: int, size: int) -> None:
    with pytest.raises(ValueError, match="do not go into frames"):
        split(Kind.HELLO, bytes(length), size)
