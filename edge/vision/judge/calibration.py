"""How high a score must be at one camera: learned from what it saw while nothing burned, against a budget of false alarms.

The tail of the quiet scores is kept and read in log-odds, where sigmoid outputs have a tail that is close to exponential: a threshold
beyond what was seen so far (one alarm a week, after an hour) is read off that tail, not off the largest score alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

WEEK_S = 7 * 86_400.0
_LOW, _HIGH, _STEP = -6.0, 6.0, 0.125  # log-odds: 0.0025 .. 0.9975
_BINS = round((_HIGH - _LOW) / _STEP)
_TAIL_SHARE, _TAIL_LEAST = 0.25, 5.0
_MEASURED = 2.0  # so many allowed exceedances are counted; of fewer the tail tells
_CEILING = 0.995  # a class whose quiet scores are higher is over its budget; it is not switched off


class Limits(msgspec.Struct, frozen=True):
    """What the threshold of a class may cost and where it must stay."""

    per_week: float = 1.0  # false alarms that a camera may give for one class
    floor: float = 0.35  # no threshold below it
    start: float = 0.6  # no threshold below it on a camera's first day
    margin: float = 0.02
    reach: float = 0.25  # in log-odds: how far beyond the largest quiet score the tail may lead
    half_life_s: float = WEEK_S
    learn_frames: int = 10  # how long that is
    learn_s: float = 300.0
    day_s: float = 86_400.0  # `start` stays the least until then: night teaches nothing about dawn
    hour_s: float = 4 * 3600.0  # an hour of the day is judged by itself once it was seen so long
    lag_frames: int = 12  # what was seen so lately is not learned yet: an alarm may follow
    lag_s: float = 600.0
    first_lag_frames: int = 5  # of a camera that is not known yet


class Curve(msgspec.Struct, frozen=True):
    """Quiet frames by score, older ones counting less. Plain data."""

    weights: dict[int, float] = {}  # by bin of the log-odds
    watched_s: float = 0.0  # how long these frames stand for
    as_of_ns: int = 0

    @property
    def frames(self) -> float:
        """How many, older ones counting less."""
        return sum(self.weights.values())


class Calibration(msgspec.Struct, frozen=True):
    """Of one camera; survives restarts by being written down."""

    curves: dict[str, Curve] = {}  # by `label/spectrum/hour`

    def frames(self, label: str, spectrum: str) -> float:
        """How many quiet frames it knows, as they counted when the last of their hour came."""
        begin = f"{label}/{spectrum}/"
        return sum(c.frames for key, c in self.curves.items() if key.startswith(begin))


def add(calibration: Calibration, key: str, seen: Curve, limits: Limits) -> Calibration:
    """With the quiet frames `seen`; `key` from `key_of`."""
    known = _aged(calibration.curves.get(key, Curve()), seen.as_of_ns, limits.half_life_s)
    seen = _aged(seen, known.as_of_ns, limits.half_life_s)
    return Calibration({**calibration.curves, key: _sum((known, seen))})


def take(calibration: Calibration, key: str, seen: Curve, limits: Limits) -> Calibration:
    """Without the frames `seen`, which were added before."""
    known = calibration.curves.get(key)
    if known is None:
        return calibration
    seen = _aged(seen, known.as_of_ns, limits.half_life_s)
    left = {b: w - seen.weights.get(b, 0.0) for b, w in known.weights.items()}
    weights = {b: w for b, w in left.items() if w > 1e-6}
    others = {k: c for k, c in calibration.curves.items() if k != key}
    if not weights:
        return Calibration(others)
    curve = Curve(weights, max(0.0, known.watched_s - seen.watched_s), known.as_of_ns)
    return Calibration({**others, key: curve})


def as_one(curves: Sequence[Curve]) -> list[Curve]:
    """The frames of one event: together they count as one."""
    total = sum(c.frames for c in curves)
    return [
        msgspec.structs.replace(c, weights={b: w / total for b, w in c.weights.items()})
        for c in curves
    ]


def key_of(label: str, spectrum: str, ts_ns: int) -> str:
    """The place of a frame: class, spectrum, hour of the day (UTC)."""
    return f"{label}/{spectrum}/{hour_of(ts_ns)}"


def hour_of(ts_ns: int) -> int:
    """0..23, UTC."""
    return ts_ns // 3_600_000_000_000 % 24


class Threshold(msgspec.Struct, frozen=True):
    """What a score must reach, and whether the camera was seen long enough to know."""

    score: float
    known: bool


def threshold(
    calibration: Calibration, label: str, spectrum: str, ts_ns: int, limits: Limits
) -> Threshold:
    """What a score of this class must reach now: of this hour and its neighbours if seen long enough, else of the whole day."""
    near = [_at(calibration, label, spectrum, hour_of(ts_ns) + step) for step in (-1, 0, 1)]
    hours = _sum(_aged(c, ts_ns, limits.half_life_s) for c in near)
    if hours.watched_s < 3 * limits.hour_s:
        day = (_at(calibration, label, spectrum, hour) for hour in range(24))
        hours = _sum(_aged(c, ts_ns, limits.half_life_s) for c in day)
    learned = quiet_limit(
        [(_odds_of(_edge(b)), w) for b, w in hours.weights.items()],
        limits.per_week * hours.watched_s / WEEK_S,
        floor=limits.floor,
        margin=limits.margin,
        reach=limits.reach,
    )
    known = hours.frames >= limits.learn_frames and hours.watched_s >= limits.learn_s
    begin = f"{label}/{spectrum}/"
    watched_s = sum(c.watched_s for k, c in calibration.curves.items() if k.startswith(begin))
    first_day = not known or watched_s < limits.day_s
    return Threshold(max(limits.start, learned) if first_day else learned, known)


def share_limit(
    scores: Iterable[float],
    share: float,
    *,
    floor: float = 0.0,
    margin: float = 0.0,
    reach: float = 1.0,
) -> float:
    """The threshold that a `share` of such quiet scores would reach; with few of them it is read off their tail."""
    weighted = [(score, 1.0) for score in scores]
    return quiet_limit(weighted, share * len(weighted), floor=floor, margin=margin, reach=reach)


def quiet_limit(
    weighted: Sequence[tuple[float, float]],
    allowed: float,
    *,
    floor: float = 0.0,
    margin: float = 0.0,
    reach: float = 1.0,
) -> float:
    """The threshold that `allowed` (may be less than one) of the quiet (score, weight) would reach. Between `floor` and 0.995, at most `reach` beyond the largest, in log-odds."""
    ordered = sorted(((log_odds(s), w) for s, w in weighted if w > 0), reverse=True)
    if not ordered:
        return floor
    above = 0.0
    found = ordered[-1][0]
    for odds, weight in ordered:
        above += weight
        if above > allowed:
            found = odds
            break
    reached = _odds_of(found) + max(margin, 1e-9)  # a score as high as this one must not reach it
    if allowed < _MEASURED:
        reached = max(reached, _odds_of(_tail(ordered, max(allowed, 1e-9), reach)))
    return min(_CEILING, max(floor, reached))


def _tail(ordered: Sequence[tuple[float, float]], allowed: float, reach: float) -> float:
    total = sum(w for _, w in ordered)
    wanted = min(total, max(_TAIL_LEAST, total * _TAIL_SHARE))
    weight = excess = 0.0
    start = ordered[0][0]
    for odds, w in ordered:
        start = odds
        excess += odds * w
        weight += w
        if weight >= wanted:
            break
    spread = excess / weight - start
    return min(start + spread * math.log(max(1.0, weight / allowed)), ordered[0][0] + reach)


def one(score: float, watched_s: float, ts_ns: int) -> Curve:
    """One quiet frame."""
    return Curve({_bin(score): 1.0}, watched_s, ts_ns)


def joined(first: Curve, second: Curve) -> Curve:
    """Both, of nearly the same time."""
    return _sum((first, second))


def _at(calibration: Calibration, label: str, spectrum: str, hour: int) -> Curve:
    return calibration.curves.get(f"{label}/{spectrum}/{hour % 24}", Curve())


def _aged(curve: Curve, now_ns: int, half_life_s: float) -> Curve:
    age_s = (now_ns - curve.as_of_ns) / 1e9
    if not curve.weights or age_s <= 0:
        return curve
    left = 0.5 ** (age_s / half_life_s)
    weights = {b: w * left for b, w in curve.weights.items() if w * left > 1e-4}
    return Curve(weights, curve.watched_s * left, now_ns)


def _sum(curves: Iterable[Curve]) -> Curve:
    weights: dict[int, float] = {}
    watched_s, as_of_ns = 0.0, 0
    for curve in curves:
        for b, w in curve.weights.items():
            weights[b] = weights.get(b, 0.0) + w
        watched_s += curve.watched_s
        as_of_ns = max(as_of_ns, curve.as_of_ns)
    return Curve(weights, watched_s, as_of_ns)


def log_odds(score: float) -> float:
    """ln(p / (1 - p)), held within what is told apart."""
    p = min(max(score, 1e-9), 1 - 1e-9)
    return min(max(math.log(p / (1 - p)), _LOW), _HIGH)


def _odds_of(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))


def _bin(score: float) -> int:
    return min(_BINS - 1, int((log_odds(score) - _LOW) / _STEP))


def _edge(number: int) -> float:
    return _LOW + (number + 1) * _STEP
