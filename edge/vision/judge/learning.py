"""What of the quiet frames is learned when: late enough that an alarm can still forbid it, never during one. Pure."""

from __future__ import annotations

import msgspec

from edge.vision.judge.calibration import (
    Calibration,
    Curve,
    add,
    as_one,
    joined,
    key_of,
    one,
    take,
)
from edge.vision.judge.settings import Settings
from edge.vision.observation import Observation

_SLOT_NS = 30_000_000_000  # frames of half a minute wait together
_LONGEST_GAP_S = 600.0  # a frame stands for no more than this
_ASKED = 16  # alarms whose answer is waited for, or may be taken back


class Slot(msgspec.Struct, frozen=True):
    """Frames that wait to be learned."""

    key: str  # of the curve
    label: str
    spectrum: str
    since_ns: int
    seen: Curve


class Lessons(msgspec.Struct, frozen=True):
    """What one camera learned, what it may learn soon, what an operator must tell first."""

    calibration: Calibration = Calibration()
    waiting: tuple[Slot, ...] = ()  # oldest first
    asked: dict[int, tuple[Slot, ...]] = {}  # by the track of the alarm, also once it is answered
    taught: dict[int, tuple[Slot, ...]] = {}  # by that of a rejected one: what it added


def set_aside(
    lessons: Lessons, label: str, seen: Observation, strength: float, gap_s: float
) -> Lessons:
    """A frame without an alarm."""
    return msgspec.structs.replace(
        lessons, waiting=_with(lessons.waiting, label, seen, strength, gap_s)
    )


def hold(
    lessons: Lessons, label: str, seen: Observation, strength: float, gap_s: float, track: int
) -> Lessons:
    """A frame with one: learned only if an operator says that nothing burned."""
    slots = _with(lessons.asked.get(track, ()), label, seen, strength, gap_s)
    asked = {**lessons.asked, track: slots[-_ASKED:]}
    while len(asked) > _ASKED:
        del asked[min(asked)]
    return msgspec.structs.replace(lessons, asked=asked)


def learn(lessons: Lessons, now_ns: int, settings: Settings) -> tuple[Lessons, bool]:
    """Takes in what waited long enough; whether there was any."""
    newer: dict[str, float] = {}
    new: dict[tuple[str, str], bool] = {}
    kept: list[Slot] = []
    calibration, learned = lessons.calibration, False
    for slot in reversed(lessons.waiting):
        limits = settings.limits_of(slot.label)
        lag_s, lag_frames = limits.lag_s, limits.lag_frames
        of = slot.label, slot.spectrum
        if of not in new:
            new[of] = lessons.calibration.frames(*of) < limits.learn_frames
        if new[of]:
            lag_s, lag_frames = 0.0, limits.first_lag_frames
        after = newer.get(slot.label, 0.0)
        newer[slot.label] = after + slot.seen.frames
        if after >= lag_frames and (now_ns - slot.seen.as_of_ns) / 1e9 >= lag_s:
            calibration, learned = add(calibration, slot.key, slot.seen, limits), True
        else:
            kept.append(slot)
    if not learned:
        return lessons, False
    kept.reverse()
    return msgspec.structs.replace(lessons, calibration=calibration, waiting=tuple(kept)), True


def drop(lessons: Lessons) -> Lessons:
    """What waits is not learned: an alarm came of it, or the camera moved."""
    return msgspec.structs.replace(lessons, waiting=())


def decided(lessons: Lessons, track: int, fire: bool, settings: Settings) -> Lessons:
    """The operator's word about an alarm, of which the last one counts. A rejected one is one false alarm, however many frames it had."""
    calibration, taught = lessons.calibration, dict(lessons.taught)
    for slot in taught.pop(track, ()):
        calibration = take(calibration, slot.key, slot.seen, settings.limits_of(slot.label))
    if not fire:
        slots = lessons.asked.get(track, ())
        events = as_one([slot.seen for slot in slots])
        taught[track] = tuple(
            msgspec.structs.replace(slot, seen=seen)
            for slot, seen in zip(slots, events, strict=True)
        )
        for slot in taught[track]:
            calibration = add(calibration, slot.key, slot.seen, settings.limits_of(slot.label))
        while len(taught) > _ASKED:
            del taught[min(taught)]
    return msgspec.structs.replace(lessons, calibration=calibration, taught=taught)


def _with(
    slots: tuple[Slot, ...], label: str, seen: Observation, strength: float, gap_s: float
) -> tuple[Slot, ...]:
    key = key_of(label, seen.spectrum, seen.ts_ns)
    new = one(strength, min(max(gap_s, 0.0), _LONGEST_GAP_S), seen.ts_ns)
    for at in range(len(slots) - 1, -1, -1):
        slot = slots[at]
        if slot.label == label:
            if slot.key == key and seen.ts_ns - slot.since_ns < _SLOT_NS:
                grown = msgspec.structs.replace(slot, seen=joined(slot.seen, new))
                return (*slots[:at], grown, *slots[at + 1 :])
            break
    return (*slots, Slot(key, label, seen.spectrum, seen.ts_ns, new))
