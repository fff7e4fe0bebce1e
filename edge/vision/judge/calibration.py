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
_HOUR_NS = 3_600_000_000_000
_NOTED_NS = 300_000_000_000
_AGAIN_NS = 12 * _HOUR_NS  # an hour of the day that comes after so long is that of another day
_CEILING = 0.995  # a class whose quiet scores are higher is over its budget; it is not switched off


class Limits(msgspec.Struct, frozen=True):
    """What the threshold of a class may cost and where it must stay."""

    per_week: float = 1.0  # false alarms that a camera may give for one class
    floor: float = 0.35  # no threshold below it
    start: float = 0.6  # no threshold below it on a camera's first day
    unsettled: float = 0.0  # nor below this until it is known which of its places are always hot
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
    rise: float = 0.5  # in log-odds: so far may learning raise the threshold of an hour of the day beyond what it was a day ago


class Curve(msgspec.Struct, frozen=True):
    """Quiet frames by score, older ones counting less. Plain data."""

    weights: dict[int, float] = {}  # by bin of the log-odds
    watched_s: float = 0.0  # how long these frames stand for
    as_of_ns: int = 0
    told: dict[int, float] = {}  # of `weights`, what people said was quiet

    @property
    def frames(self) -> float:
        """How many, older ones counting less."""
        return sum(self.weights.values())


class Lid(msgspec.Struct, frozen=True):
    """What the threshold of one hour of the day was, in log-odds: a slow fire must not teach its camera that it is usual."""

    since_ns: int  # when this hour came last
    as_of_ns: int
    now: float
    before: float | None = None  # the day before


class Calibration(msgspec.Struct, frozen=True):
    """Of one camera; survives restarts by being written down."""

    curves: dict[str, Curve] = {}  # by `label/spectrum/hour`
    lids: dict[str, Lid] = {}  # likewise

    def frames(self, label: str, spectrum: str) -> float:
        """How many quiet frames it knows, as they counted when the last of their hour came."""
        begin = f"{label}/{spectrum}/"
        return sum(c.frames for key, c in self.curves.items() if key.startswith(begin))


def add(calibration: Calibration, key: str, seen: Curve, limits: Limits) -> Calibration:
    """With the quiet frames `seen`; `key` from `key_of`."""
    known = _aged(calibration.curves.get(key, Curve()), seen.as_of_ns, limits.half_life_s)
    seen = _aged(seen, known.as_of_ns, limits.half_life_s)
    curves = {**calibration.curves, key: _sum((known, seen))}
    return Calibration(curves, calibration.lids)


def take(calibration: Calibration, key: str, seen: Curve, limits: Limits) -> Calibration:
    """Without the frames `seen`, which were added before."""
    known = calibration.curves.get(key)
    if known is None:
        return calibration
    seen = _aged(seen, known.as_of_ns, limits.half_life_s)
    weights, told = _less(known.weights, seen.weights), _less(known.told, seen.told)
    others = {k: c for k, c in calibration.curves.items() if k != key}
    if not weights:
        return Calibration(others, calibration.lids)
    curve = Curve(weights, max(0.0, known.watched_s - seen.watched_s), known.as_of_ns, told)
    return Calibration({**others, key: curve}, calibration.lids)


def as_one(curves: Sequence[Curve]) -> list[Curve]:
    """The frames of one event, of which people said that it was none: together they count as one."""
    total = sum(c.frames for c in curves)
    shares = [{b: w / total for b, w in c.weights.items()} for c in curves]
    return [
        msgspec.structs.replace(c, weights=share, told=share)
        for c, share in zip(curves, shares, strict=True)
    ]


def key_of(label: str, spectrum: str, ts_ns: int) -> str:
    """The place of a frame: class, spectrum, hour of the day (UTC)."""
    return f"{label}/{spectrum}/{hour_of(ts_ns)}"


def hour_of(ts_ns: int) -> int:
    """0..23, UTC."""
    return ts_ns // _HOUR_NS % 24


class Threshold(msgspec.Struct, frozen=True):
    """What a score must reach, and whether the camera was seen long enough to know."""

    score: float
    known: bool


def threshold(
    calibration: Calibration, label: str, spectrum: str, ts_ns: int, limits: Limits
) -> Threshold:
    """What a score of this class must reach now: of this hour and its neighbours if seen long enough, else of the whole day. After the first day, no more than `rise` above what this hour had the day before, but for what people rejected."""
    near = [_at(calibration, label, spectrum, hour_of(ts_ns) + step) for step in (-1, 0, 1)]
    hours = _sum(_aged(c, ts_ns, limits.half_life_s) for c in near)
    whole = hours.watched_s < 3 * limits.hour_s
    if whole:
        day = (_at(calibration, label, spectrum, hour) for hour in range(24))
        hours = _sum(_aged(c, ts_ns, limits.half_life_s) for c in day)
    allowed = limits.per_week * hours.watched_s / WEEK_S
    learned = quiet_limit(
        [(_odds_of(_edge(b)), w) for b, w in hours.weights.items()],
        allowed,
        floor=limits.floor,
        margin=limits.margin,
        reach=limits.reach,
    )
    known = hours.frames >= limits.learn_frames and hours.watched_s >= limits.learn_s
    begin = f"{label}/{spectrum}/"
    watched_s = sum(c.watched_s for k, c in calibration.curves.items() if k.startswith(begin))
    first_day = not known or watched_s < limits.day_s
    if first_day:
        return Threshold(max(limits.start, learned), known)
    lid = _lid(calibration, begin, None if whole else hour_of(ts_ns))
    if lid is not None:
        highest = max(lid + limits.rise, _rejected(hours, allowed) + limits.reach)
        learned = min(learned, max(limits.floor, _odds_of(highest)))
    return Threshold(learned, known)


def noted(
    calibration: Calibration, label: str, spectrum: str, ts_ns: int, limits: Limits
) -> Calibration:
    """Remembers what this hour's threshold is, and that of the hour before, whose last frames are learned only now."""
    for at_ns in (ts_ns - _HOUR_NS, ts_ns):
        key = key_of(label, spectrum, at_ns)
        known = calibration.lids.get(key)
        again = known is None or abs(at_ns - known.since_ns) > _AGAIN_NS
        if again and at_ns == ts_ns:
            lid = Lid(ts_ns, 0, 0.0, None if known is None else known.now)
        elif again or known is None or 0 <= ts_ns - known.as_of_ns < _NOTED_NS:
            continue
        else:
            lid = known
        calibration = Calibration(calibration.curves, calibration.lids | {key: lid})
        found = log_odds(threshold(calibration, label, spectrum, at_ns, limits).score)
        lid = msgspec.structs.replace(lid, as_of_ns=ts_ns, now=round(found, 4))
        calibration = Calibration(calibration.curves, calibration.lids | {key: lid})
    return calibration


def _lid(calibration: Calibration, begin: str, hour: int | None) -> float | None:
    """What this hour had the day before; where it is not told apart or never was seen, what any had. None: not known yet."""
    known = calibration.lids.get(f"{begin}{hour}")
    if known is not None and known.before is not None:
        return known.before
    every = (lid.before for key, lid in calibration.lids.items() if key.startswith(begin))
    return max((before for before in every if before is not None), default=None)


def _rejected(hours: Curve, allowed: float) -> float:
    """The log-odds that more than `allowed` of what people rejected had."""
    above = 0.0
    for b in sorted(hours.told, reverse=True):
        above += hours.told[b]
        if above > allowed:
            return _LOW + (b + 1) * _STEP
    return -math.inf


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
    weights, told = (
        {b: w * left for b, w in each.items() if w * left > 1e-4}
        for each in (curve.weights, curve.told)
    )
    return Curve(weights, curve.watched_s * left, now_ns, told)


def _sum(curves: Iterable[Curve]) -> Curve:
    weights: dict[int, float] = {}
    told: dict[int, float] = {}
    watched_s, as_of_ns = 0.0, 0
    for curve in curves:
        for total, each in ((weights, curve.weights), (told, curve.told)):
            for b, w in each.items():
                total[b] = total.get(b, 0.0) + w
        watched_s += curve.watched_s
        as_of_ns = max(as_of_ns, curve.as_of_ns)
    return Curve(weights, watched_s, as_of_ns, told)


def _less(all_of: dict[int, float], some: dict[int, float]) -> dict[int, float]:
    left = {b: w - some.get(b, 0.0) for b, w in all_of.items()}
    return {b: w for b, w in left.items() if w > 1e-6}


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
