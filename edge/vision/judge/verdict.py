"""Why something is an alarm, or not yet: every test with its number, and a sentence in both languages. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from edge.vision.judge.calibration import Threshold, log_odds
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import REMEMBERED, Track
from edge.vision.judge.trends import Rule, Trend, trend_of
from edge.vision.observation import Box

# Of its area (log), of the picture's height; smoke rises while its foot stays.
GROWS, RISES = Rule(0.02, 0.06, 0.05), Rule(0.002, 0.006, 0.005)
_SLOW_NS = 20_000_000_000  # between judged frames
_STRONG_ODDS = 1.0
CARRIED = 1.5  # a fire's place moves by less than so many of its own lengths in k frames
FLICKERS = 0.3  # share of a flame's change that is at 1 to 10 Hz
GLINT_DEG = 10.0  # a hot spot so near under the sun's azimuth may be its reflection
_GLINT_NS = 300_000_000_000  # and waits no longer than this for another eye


class Sign(msgspec.Struct, frozen=True):
    """What another eye says about the same thing."""

    kind: str  # "thermal", "visible", "bearing"; or "sun" within `GLINT_DEG`, which speaks against a hot spot
    camera: str = ""  # whose
    value: float = 0.0  # its score; km to where the bearings cross; degrees to the sun


class Test(msgspec.Struct, frozen=True):
    """One test of a verdict."""

    name: str
    passed: bool
    value: float
    wanted: float


class Verdict(msgspec.Struct, frozen=True):
    """All tests; `alarm` when persistence and standing still passed and, where asked for, one more sign."""

    alarm: bool
    tests: tuple[Test, ...]
    en: str = ""  # of an alarm
    zh: str = ""

    def passed(self, name: str) -> bool:
        """Whether a test of this name did."""
        return any(t.passed for t in self.tests if t.name == name)


def judge(
    track: Track,
    now: Threshold,
    height: int,
    settings: Settings,
    *,
    cues: Mapping[str, float] = {},
    signs: Sequence[Sign] = (),
    came: bool = False,
) -> Verdict:
    """`now` is the threshold of the track's class, `height` that of the picture in px, `cues` those of the last frame.

    At a camera that is not known yet, what only is strong or lasts may be its furniture: it is no sign; that it `came` is one.
    """
    k, n, limit = settings.k, settings.n, now.score
    last = track.sightings[-n:]
    hits = sum(s.box is not None and s.score >= limit for s in last)
    strength = track.kth(k, n)
    seen = [
        (float(at), s.box)  # judged frames, however many the camera gave in between
        for at, s in enumerate(track.sightings)
        if s.box is not None and s.score >= settings.hysteresis * limit
    ]
    slow = _apart_ns(track) >= _SLOW_NS
    areas = [(at, math.log(max(box.width * box.height, 1.0))) for at, box in seen]
    growth = trend_of(areas, GROWS, slow=slow)
    rise = trend_of([(at, -box.y / height) for at, box in seen], RISES, slow=slow)
    carried = _carried([box for _, box in seen[-k:]])
    tests = [
        Test("persistence", hits >= k, float(hits), float(k)),
        Test("score", strength >= limit, round(strength, 4), round(limit, 4)),
        Test("stays", carried < CARRIED, round(carried, 3), CARRIED),
        _told("growth", growth, GROWS, 4),
        _told("rising", rise, RISES, 5),
    ]
    if now.known:
        long = min(2 * k, REMEMBERED)
        lasted = sum(s.box is not None and s.score >= limit for s in track.sightings)
        tests += [
            _strong(strength, limit),
            Test("long", lasted >= long, float(lasted), float(long)),
        ]
    elif came:
        tests.append(Test("came", True, round(strength, 4), round(limit, 4)))
    if "flicker" in cues:
        tests.append(
            Test("flicker", cues["flicker"] >= FLICKERS, round(cues["flicker"], 3), FLICKERS)
        )
    others = [Test(s.kind, True, round(s.value, 3), 0.0) for s in signs if s.kind != "sun"]
    second = any(t.passed for t in [*tests[3:], *others]) or not settings.second_sign
    glints = [s.value for s in signs if s.kind == "sun"]
    clear = [box for s in track.seen if s.score >= settings.hysteresis * limit and (box := s.box)]
    held = maybe_glint(track, signs) and not (others or _over_limit(cues) or _doubled(clear))
    alarm = all(t.passed for t in tests[:3]) and second and not held
    tests += others + [Test("no glint", not held, round(v, 1), GLINT_DEG) for v in glints]
    if not alarm:
        return Verdict(False, tuple(tests))
    return Verdict(True, tuple(tests), *_sentences(track, tests, len(last), signs))


def maybe_glint(track: Track, signs: Sequence[Sign]) -> bool:
    """Whether the sun stands over it, and it is not there for so long that it is none."""
    age_ns = track.sightings[-1].ts_ns - track.since_ns
    return age_ns < _GLINT_NS and any(s.kind == "sun" for s in signs)


def _over_limit(cues: Mapping[str, float]) -> bool:
    """Anything in the frame that is hot whatever is around; one pixel may be a broken one."""
    return cues.get("over_limit_px", 0.0) >= 2


def _doubled(boxes: Sequence[Box]) -> bool:
    """Its area since it is remembered, by three frames each that share none."""
    areas = [box.width * box.height for box in boxes]
    return len(areas) >= 6 and sorted(areas[-3:])[1] >= 2 * sorted(areas[:3])[1]


def strong(limit: float) -> float:
    """What a score must reach to be far over a threshold: one more in log-odds."""
    return 1 / (1 + math.exp(-log_odds(limit) - _STRONG_ODDS))


def _strong(strength: float, limit: float) -> Test:
    wanted = strong(limit)
    return Test("strong", strength >= wanted, round(strength, 4), round(wanted, 4))


def _told(name: str, found: Trend, rule: Rule, places: int) -> Test:
    wanted = found.wanted if math.isfinite(found.wanted) else rule.slow
    return Test(name, found.passed, round(found.slope, places), round(wanted, places))


def _apart_ns(track: Track) -> float:
    """Between its judged frames."""
    times = [s.ts_ns for s in track.sightings]
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0


def _carried(boxes: Sequence[Box]) -> float:
    """How far its foot went from the first to the last, in its own lengths: a vehicle's goes far."""
    if len(boxes) < 2:
        return 0.0
    first, last = boxes[0], boxes[-1]
    dx = (last.x + last.width / 2) - (first.x + first.width / 2)
    dy = (last.y + last.height) - (first.y + first.height)
    length = max(first.width, first.height, last.width, last.height, 1.0)
    return math.hypot(dx, dy) / length


_NAMES = {
    "smoke": ("Smoke", "烟雾"),
    "fire": ("Fire", "火焰"),
    "hot-spot": ("A hot spot", "高温点"),
}
_EYES = {
    "thermal": ("camera {c} sees heat there ({v:.2f})", "{c} 热像在该处见高温（{v:.2f}）"),
    "visible": ("camera {c} sees it too ({v:.2f})", "{c} 可见光也见到（{v:.2f}）"),
    "sun": ("the sun stands over it ({v:.0f} degrees)", "太阳正在其上方（{v:.0f} 度）"),
    "bearing": ("its bearing crosses that of camera {c} at {v:.1f} km", "与 {c} 方位线相交于 {v:.1f} 公里处"),
}  # fmt: skip


def name_of(label: str) -> tuple[str, str]:
    """A class for people, English and Chinese."""
    return _NAMES.get(label, (label.capitalize(), label))


def _sentences(
    track: Track, tests: Sequence[Test], frames: int, signs: Sequence[Sign]
) -> tuple[str, str]:
    by_name = {t.name: t for t in tests}
    en, zh = name_of(track.label)
    score = by_name["score"]
    parts_en = [
        f"{en} in {by_name['persistence'].value:.0f} of the last {frames} frames, "
        f"score {score.value:.2f}, this camera's threshold {score.wanted:.2f}"
    ]
    parts_zh = [
        f"{zh}：最近 {frames} 帧中出现 {by_name['persistence'].value:.0f} 帧，"
        f"得分 {score.value:.2f}，本机阈值 {score.wanted:.2f}"
    ]
    if by_name["growth"].passed:
        parts_en.append(f"growing by {by_name['growth'].value:.0%} a frame")
        parts_zh.append(f"面积每帧增长 {by_name['growth'].value:.0%}")
    if by_name["rising"].passed:
        parts_en.append("rising")
        parts_zh.append("向上扩散")
    if "strong" in by_name and by_name["strong"].passed:
        parts_en.append("far over it")
        parts_zh.append("远高于阈值")
    if "came" in by_name:
        parts_en.append("far clearer than in the first frames")
        parts_zh.append("远比最初画面明显")
    if "long" in by_name and by_name["long"].passed:
        parts_en.append(f"there for {by_name['long'].value:.0f} frames")
        parts_zh.append(f"已持续 {by_name['long'].value:.0f} 帧")
    if "flicker" in by_name and by_name["flicker"].passed:
        parts_en.append("flickering as flames do")
        parts_zh.append("有火焰闪烁")
    for sign in signs:
        told_en, told_zh = _EYES[sign.kind]
        parts_en.append(told_en.format(c=sign.camera, v=sign.value))
        parts_zh.append(told_zh.format(c=sign.camera, v=sign.value))
    return "; ".join(parts_en) + ".", "；".join(parts_zh) + "。"
