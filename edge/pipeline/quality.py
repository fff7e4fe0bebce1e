"""Range, rate, flatline and stale, per quantity. A bad value is kept: only its quality says so."""

from __future__ import annotations

from edge.pipeline.rules import CheckRule
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality, Severity, severity, worst


class Checker:
    """One quantity's rules and what they remember: the last value that was not bad, and since when nothing moved.

    `axis` is the time of the row in nanoseconds: the source's where it is believed (so that a replay at any speed is
    judged alike), else monotonic. A change of axis starts anew.
    """

    __slots__ = (
        "_axis_ns",
        "_from_source",
        "_moved_ns",
        "_source_mono_ns",
        "_source_ns",
        "_value",
        "index",
        "rule",
    )

    def __init__(self, index: int, rule: CheckRule) -> None:
        self.index, self.rule = index, rule
        self._value: float | None = None
        self._axis_ns = self._moved_ns = 0
        self._from_source = False
        self._source_ns: int | None = None
        self._source_mono_ns = 0

    def judge(
        self,
        value: Value,
        quality: int,
        *,
        axis_ns: int,
        source_ns: int | None,
        mono_ns: int,
        from_source: bool,
    ) -> int:
        """The quality after this quantity's rules; the more serious of what it was and what they find."""
        rule = self.rule
        stale = self._stale(source_ns, mono_ns) if rule.stale_ns is not None else False
        if not isinstance(value, int | float) or isinstance(value, bool):
            return quality
        if (rule.low is not None and value < rule.low) or (
            rule.high is not None and value > rule.high
        ):
            return worst(quality, Quality.RANGE)
        if severity(quality) is Severity.BAD:
            return quality
        if stale:
            quality = worst(quality, Quality.STALE)
        if self._value is None or from_source != self._from_source:
            self._value, self._moved_ns = value, axis_ns
        else:
            quality = self._compare(value, quality, axis_ns)
        self._axis_ns, self._from_source = axis_ns, from_source
        return quality

    def _compare(self, value: float, quality: int, axis_ns: int) -> int:
        rule, before = self.rule, self._value
        assert before is not None  # noqa: S101 - judged above
        if value != before:
            self._value, self._moved_ns = value, axis_ns
            seconds = (axis_ns - self._axis_ns) / 1e9
            if (
                rule.rate_per_s is not None
                and seconds > 0
                and abs(value - before) > rule.rate_per_s * seconds
            ):
                return worst(quality, Quality.RATE)
        elif rule.flatline_ns is not None and axis_ns - self._moved_ns >= rule.flatline_ns:
            return worst(quality, Quality.FLATLINE)
        return quality

    def _stale(self, source_ns: int | None, mono_ns: int) -> bool:
        if source_ns is None or source_ns != self._source_ns:
            self._source_ns, self._source_mono_ns = source_ns, mono_ns
            return False
        assert self.rule.stale_ns is not None  # noqa: S101 - asked above
        return mono_ns - self._source_mono_ns >= self.rule.stale_ns
