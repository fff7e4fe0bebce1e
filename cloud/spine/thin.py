"""Fewer points for a chart that still show every extreme. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def thin(
    times: Sequence[int], values: Sequence[object], quality: Sequence[object], max_points: int
) -> tuple[list[int], list[object], list[object]]:
    """At most `max_points` of them: of each stretch of equal length the lowest and the highest, in time order."""
    n = len(times)
    if n <= max_points:
        return list(times), list(values), list(quality)
    stretches = max(max_points // 2, 1)
    kept: list[int] = []
    for i in range(stretches):
        lo, hi = i * n // stretches, (i + 1) * n // stretches
        numbers = [(v, j) for j in range(lo, hi) if isinstance(v := values[j], int | float)]
        ends = {min(numbers)[1], max(numbers)[1]} if numbers else {lo}
        kept += sorted(ends)
    return [times[j] for j in kept], [values[j] for j in kept], [quality[j] for j in kept]
