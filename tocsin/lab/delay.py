"""How long something took, over many times."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.lab.report import percentile


class Delay(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float | None
    p99: float | None
    most: float | None


def delay(took_ms: Sequence[float]) -> Delay:
    """To a tenth of a millisecond; None of nothing."""
    found = (percentile(took_ms, 0.5), percentile(took_ms, 0.99), max(took_ms, default=None))
    return Delay(*(None if value is None else round(value, 1) for value in found))
