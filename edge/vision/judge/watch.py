"""One camera, observation by observation: what it learns, follows and raises. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from edge.vision.judge.boxes import masked
from edge.vision.judge.calibration import Calibration, Threshold, noted, threshold
from edge.vision.judge.extent import larger, moved
from edge.vision.judge.learning import Lessons, decided, drop, hold, learn, set_aside
from edge.vision.judge.news import First, came, news, noticed
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import Track, beside, follow, joined
from edge.vision.judge.verdict import Sign, Verdict, judge, maybe_glint, name_of
from edge.vision.observation import Box, Observation, Quality

_NO_WEATHER = frozenset({"fire", "hot-spot"})
_AGAIN_NS = 60_000_000_000  # a threshold is worked out anew after so long


class EventKind(StrEnum):
    """What a camera can have to say."""

    ALARM = "alarm"
    ENDED = "ended"
    GROWN = "grown"  # an open alarm's fire is much larger than what was told last
    MOVED = "moved"  # its references are void, alarms are held
    WATCHING = "watching"  # alarms are no longer held
    SHAKES = "shakes"  # it moves again and again: alarms are no longer held for it
    ANEW = "anew"  # another model looks: thresholds are learned anew


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line for people and machines."""

    kind: EventKind
    camera: str
    index: int
    ts_ns: int
    en: str
    zh: str
    track: int = 0
    label: str = ""
    score: float = 0.0
    threshold: float = 0.0
    box: Box | None = None
    since_index: int | None = None  # the first frame it was seen in clearly
    times: float = 0.0  # of what has grown: its area by that at its alarm
    verdict: Verdict | None = None


class Watch(msgspec.Struct, frozen=True):
    """Everything remembered about one camera. Plain data: `msgspec` writes and reads it."""

    lessons: Lessons = Lessons()
    tracks: tuple[Track, ...] = ()
    next_number: int = 1
    held_frames: int = 0  # no alarm for so many more judged frames
    thresholds: dict[str, tuple[int, Threshold]] = {}  # by `label/spectrum`, and since when
    last_ns: int = 0  # of the last judged frame
    judged: int = 0  # frames in all
    spectrum: str = ""  # of the last judged frame
    by_spectrum: dict[str, int] = {}  # judged frames
    first: dict[str, First] = {}  # by spectrum
    moves: int = 0  # in quick succession
    still: int = 0  # judged frames since the last of them
    shakes: bool = False  # too often to wait until it stands still
    model: str = ""  # name and version of what found all this

    @property
    def calibration(self) -> Calibration:
        """What was learned."""
        return self.lessons.calibration


def step(
    watch: Watch,
    seen: Observation,
    settings: Settings,
    signs: Mapping[int, Sequence[Sign]] = {},
) -> tuple[Watch, tuple[Event, ...]]:
    """After one more observation. `signs` of other eyes, by the number of the track they are about."""
    events: list[Event] = []
    if seen.moved:
        watch, told = _moved(watch, seen, settings)
        events += told
    if seen.quality is not Quality.GOOD:
        return watch, tuple(events)
    model = f"{seen.model} {seen.version}".strip()
    if model and model != watch.model:
        if watch.model:
            watch = _anew(watch)
            events.append(_says(EventKind.ANEW, seen, *(text.format(model) for text in _ANEW)))
        watch = msgspec.structs.replace(watch, model=model)
    watch = _lit(watch, seen.spectrum, settings)
    boxes = _counted(watch, seen, settings)
    tracks, number = follow(
        watch.tracks,
        boxes,
        seen.index,
        seen.ts_ns,
        watch.next_number,
        grow=settings.grow,
        forget_after=settings.n,
    )
    first = noticed(watch.first.get(seen.spectrum, First()), boxes, tracks, seen.ts_ns, settings)
    watch = msgspec.structs.replace(
        watch, tracks=tracks, next_number=number, first=watch.first | {seen.spectrum: first}
    )
    watch, ended = _end(watch, seen, settings)
    held = {t.label for t in watch.tracks if maybe_glint(t, signs.get(t.number, ()))}
    new = news(tracks, first, seen.ts_ns, settings)
    held |= {label for label in new if not threshold_of(watch, label, seen, settings).known}
    watch = _learn(watch, seen, settings, held)
    events += ended
    if watch.held_frames > 0:
        watch = msgspec.structs.replace(watch, held_frames=watch.held_frames - 1)
        if watch.held_frames == 0:
            events.append(_says(EventKind.WATCHING, seen, *_WATCHING))
    elif watch.by_spectrum.get(seen.spectrum, 0) >= settings.hold_at_start:
        watch, raised = _raise(watch, seen, settings, signs)
        events += raised
    watch, grew = _grown(watch, seen, settings)
    events += grew
    watch, told = _stood(watch, seen, settings)
    events += told
    watch = msgspec.structs.replace(
        watch,
        last_ns=max(watch.last_ns, seen.ts_ns),
        judged=watch.judged + 1,
        by_spectrum=watch.by_spectrum
        | {seen.spectrum: watch.by_spectrum.get(seen.spectrum, 0) + 1},
    )
    return watch, tuple(events)


def answered(watch: Watch, track: int, *, fire: bool, settings: Settings) -> Watch:
    """An operator confirmed or rejected the alarm of a track: a rejected one is learned as quiet, a confirmed one never is."""
    lessons = decided(watch.lessons, track, fire, settings)
    return msgspec.structs.replace(watch, lessons=lessons, thresholds={})


def threshold_of(watch: Watch, label: str, seen: Observation, settings: Settings) -> Threshold:
    """The threshold of a class at this frame."""
    found = _learned(watch, label, seen, settings)
    if seen.settled:
        return found
    limits = settings.limits_of(label)
    # What was learned counted nothing that is always hot, which here nobody knows yet. A camera that shakes may never know.
    least = limits.start if watch.shakes else max(limits.start, limits.unsettled)
    return Threshold(max(found.score, least), known=found.known and watch.shakes)


def _learned(watch: Watch, label: str, seen: Observation, settings: Settings) -> Threshold:
    known = watch.thresholds.get(f"{label}/{seen.spectrum}")
    if known is not None and _fresh(known, seen):
        return known[1]
    limits = settings.limits_of(label)
    return threshold(watch.calibration, label, seen.spectrum, seen.ts_ns, limits)


def _fresh(known: tuple[int, Threshold] | None, seen: Observation) -> bool:
    return known is not None and 0 <= seen.ts_ns - known[0] < _AGAIN_NS


def _counted(watch: Watch, seen: Observation, settings: Settings) -> list[Box]:
    """The boxes that count: of a watched class, not masked, not as wide as the weather."""
    return [
        box
        for box in seen.boxes
        if settings.watches(box.label)
        and not (_wide(box, seen, settings) and _weather(watch, box, seen, settings))
        and not masked(box, settings.masks, seen.width, seen.height)
    ]


def _wide(box: Box, seen: Observation, settings: Settings) -> bool:
    widest = settings.widest
    return box.width > widest * seen.width and box.height > widest * seen.height


def _weather(watch: Watch, box: Box, seen: Observation, settings: Settings) -> bool:
    """Flames and heat are no weather, nor is what was clearly seen smaller and has grown to fill the view."""
    if box.label in _NO_WEATHER:
        return False
    clear = settings.hysteresis * threshold_of(watch, box.label, seen, settings).score
    own = (t for t in watch.tracks if t.label == box.label)
    return not any(t.open or t.kth(1, settings.n) >= clear for t in own)


def _lit(watch: Watch, spectrum: str, settings: Settings) -> Watch:
    """A camera that goes to its night mode shows another picture: what stood there before is no evidence in it. An alarm goes on, and so does what began just then: flames may light the picture themselves."""
    if watch.spectrum == spectrum:
        return watch
    if not watch.spectrum:
        return msgspec.structs.replace(watch, spectrum=spectrum)
    kept = tuple(t for t in watch.tracks if t.open or len(t.sightings) < settings.n)
    return msgspec.structs.replace(watch, spectrum=spectrum, tracks=kept)


def _anew(watch: Watch) -> Watch:
    """Another model scores otherwise: it starts as at a new camera, and what is an alarm goes on."""
    kept = tuple(t for t in watch.tracks if t.open)
    return msgspec.structs.replace(
        watch, tracks=kept, lessons=Lessons(), thresholds={}, by_spectrum={}, first={}
    )


def _moved(watch: Watch, seen: Observation, settings: Settings) -> tuple[Watch, list[Event]]:
    """Nothing is where it was: what is not an alarm yet is forgotten, what is goes on wherever it is seen next. A camera that never stands still would never alarm."""
    if watch.moves and watch.still == 0:
        return watch, []  # told with each frame until one can be judged
    moves = 1 if watch.still >= settings.hold_after_move + settings.n else watch.moves + 1
    watch = msgspec.structs.replace(watch, moves=moves, still=0)
    if watch.shakes:
        return watch, []
    if moves > settings.most_moves:
        watch = msgspec.structs.replace(watch, shakes=True, held_frames=0)
        return watch, [_says(EventKind.SHAKES, seen, *_SHAKES)]
    kept = tuple(moved(t) for t in watch.tracks if t.open)
    lessons = drop(watch.lessons)
    watch = msgspec.structs.replace(
        watch, tracks=kept, held_frames=settings.hold_after_move, lessons=lessons, first={}
    )
    return watch, [_says(EventKind.MOVED, seen, *_MOVED)]


def _stood(watch: Watch, seen: Observation, settings: Settings) -> tuple[Watch, list[Event]]:
    """After a judged frame."""
    still = watch.still + 1
    calm = watch.shakes and still >= settings.hold_after_move + settings.n
    watch = msgspec.structs.replace(watch, still=still, shakes=watch.shakes and not calm)
    return watch, [_says(EventKind.WATCHING, seen, *_WATCHING)] if calm else []


def _end(watch: Watch, seen: Observation, settings: Settings) -> tuple[Watch, list[Event]]:
    gone = [
        t
        for t in watch.tracks
        if t.open and t.quiet(settings.hysteresis * t.limit) >= settings.close_after
    ]
    if not gone:
        return watch, []
    kept = tuple(t for t in watch.tracks if t not in gone)
    events = []
    for track in gone:
        en, zh = name_of(track.label)
        after = settings.close_after
        said = f"{en} was not seen for {after} frames.", f"{zh}已连续 {after} 帧未出现。"
        events.append(_about(EventKind.ENDED, seen, track, track.limit, None, *said))
    return msgspec.structs.replace(watch, tracks=kept), events


def _learn(watch: Watch, seen: Observation, settings: Settings, held: Container[str]) -> Watch:
    """The class's highest k-of-n score of this frame: what an alarm would have been raised at. While an alarm is open only its own is kept, until it is answered; of a class that is `held` back, nothing."""
    gap_s = (seen.ts_ns - watch.last_ns) / 1e9 if watch.last_ns else 0.0
    lessons = watch.lessons
    labels = {label for label in seen.scores if settings.watches(label)}
    labels |= {t.label for t in watch.tracks}
    alarms = [t for t in watch.tracks if t.open]
    for alarm in alarms:
        others = (t.number for t in alarms if t is not alarm)
        if all(number in lessons.taught for number in others):  # else a fire may be in the picture
            strength = alarm.kth(settings.k, settings.n)
            lessons = hold(lessons, alarm.label, seen, strength, gap_s, alarm.number)
    for label in sorted(labels):
        own = (t for t in watch.tracks if t.label == label)
        strength = max((t.kth(settings.k, settings.n) for t in own), default=0.0)
        if seen.settled and not alarms and label not in held:
            lessons = set_aside(lessons, label, seen, strength, gap_s)
    lessons, learned = learn(lessons, seen.ts_ns, settings)
    kept = {} if learned else watch.thresholds
    watch = msgspec.structs.replace(watch, lessons=lessons, thresholds=kept)
    for label in sorted(labels):
        key = f"{label}/{seen.spectrum}"
        if not _fresh(kept.get(key), seen):
            kept = {**kept, key: (seen.ts_ns, _learned(watch, label, seen, settings))}
            limits = settings.limits_of(label)
            known = noted(lessons.calibration, label, seen.spectrum, seen.ts_ns, limits)
            lessons = msgspec.structs.replace(lessons, calibration=known)
    return msgspec.structs.replace(watch, lessons=lessons, thresholds=kept)


def _raise(
    watch: Watch, seen: Observation, settings: Settings, signs: Mapping[int, Sequence[Sign]]
) -> tuple[Watch, list[Event]]:
    events: list[Event] = []
    tracks = {t.number: t for t in watch.tracks}
    lessons = watch.lessons
    for track in watch.tracks:
        if track.open or not track.sightings or track.sightings[-1].box is None:
            continue
        now = threshold_of(watch, track.label, seen, settings)
        limit = now.score
        verdict = judge(
            track,
            now,
            seen.height,
            settings,
            cues=seen.cues,
            signs=signs.get(track.number, ()),
            came=not now.known and came(track, watch.first[seen.spectrum], settings),
        )
        if not verdict.alarm:
            continue
        same = _alarm_there(tracks.values(), track, settings)
        if same is not None:  # two pieces of one thing
            tracks[same.number] = joined(same, track)
            del tracks[track.number]
            continue
        opened = msgspec.structs.replace(track, limit=limit, **_since(track, limit, settings))
        tracks[track.number] = opened
        lessons = drop(lessons)
        events.append(_about(EventKind.ALARM, seen, opened, limit, verdict, verdict.en, verdict.zh))
    kept = tuple(tracks.values())
    return msgspec.structs.replace(watch, tracks=kept, lessons=lessons), events


def _grown(watch: Watch, seen: Observation, settings: Settings) -> tuple[Watch, list[Event]]:
    """Open alarms that are much larger than what was told of them."""
    events: list[Event] = []
    tracks: list[Track] = []
    for known in watch.tracks:
        track, times = larger(known, seen.ts_ns, settings)
        tracks.append(track)
        if times:
            share = min(1.0, track.told_area / (seen.width * seen.height))
            en, zh = name_of(track.label)
            said = (
                f"{en} has {times:.1f} times its area at the alarm, {share:.0%} of the picture.",
                f"{zh}面积已是报警时的 {times:.1f} 倍，占画面 {share:.0%}。",
            )
            event = _about(EventKind.GROWN, seen, track, track.limit, None, *said)
            events.append(msgspec.structs.replace(event, times=round(times, 2)))
    return msgspec.structs.replace(watch, tracks=tuple(tracks)), events


def _since(track: Track, limit: float, settings: Settings) -> dict[str, int]:
    """The first frame it was seen in as strongly as an alarm goes on at, with less than n frames missed since; something weaker may have been there for long."""
    first, missed = track.sightings[-1], 0
    for sighting in reversed(track.sightings):
        clear = sighting.box is not None and sighting.score >= settings.hysteresis * limit
        first, missed = (sighting, 0) if clear else (first, missed + 1)
        if missed >= settings.n:
            break
    return {"since_index": first.index, "since_ns": first.ts_ns}


def _alarm_there(tracks: Iterable[Track], track: Track, settings: Settings) -> Track | None:
    alarms = (t for t in tracks if t.open and t.label == track.label)
    return next((t for t in alarms if t.lost or beside(t, track, settings.grow)), None)


_MOVED = (
    "The camera moved: its references are void, alarms are held.",
    "摄像机已移动：参考图作废，暂不报警。",
)
_SHAKES = (
    "The camera shakes and cannot be judged well; alarms are no longer held for it.",
    "摄像机持续晃动，难以准确判断；不再因此暂停报警。",
)
_ANEW = (
    "Model {} looks now: this camera's thresholds are learned anew.",
    "现由模型 {} 观察：本机阈值重新学习。",
)
_WATCHING = ("The camera stands still again: alarms are raised.", "摄像机已稳定：恢复报警。")


def _says(kind: EventKind, seen: Observation, en: str, zh: str) -> Event:
    return Event(kind=kind, camera=seen.camera, index=seen.index, ts_ns=seen.ts_ns, en=en, zh=zh)


def _about(
    kind: EventKind,
    seen: Observation,
    track: Track,
    limit: float,
    verdict: Verdict | None,
    en: str,
    zh: str,
) -> Event:
    return Event(
        kind=kind,
        camera=seen.camera,
        index=seen.index,
        ts_ns=seen.ts_ns,
        en=en,
        zh=zh,
        track=track.number,
        label=track.label,
        score=round(max((s.score for s in track.sightings[-5:]), default=0.0), 4),
        threshold=round(limit, 4),
        box=track.box,
        since_index=track.since_index,
        verdict=verdict,
    )
