"""When an attendant gave the signs that another side saw. Pure; by the reader's own clock, and never too young."""

from __future__ import annotations

import math

from tocsin.contract.messages import AttendantSigns

MAX_PERMITS = 200


def seen_ns(told: AttendantSigns, began_ns: int, now_ns: int) -> dict[str, int]:
    """By permit: not before then. Empty where `told` answers nothing that was asked since `began_ns`.

    What the other side answers it had heard before it wrote, so its signs are at most `held_s` younger than the echo.
    """
    if not began_ns <= told.echo_ns <= now_ns or not 0 <= told.held_s < math.inf:
        return {}
    wrote_ns = min(told.echo_ns + int(told.held_s * 1e9), now_ns)
    ages = list(told.ages_s.items())[:MAX_PERMITS]
    return {p: wrote_ns - int(age_s * 1e9) for p, age_s in ages if 0 <= age_s < 1e9}
