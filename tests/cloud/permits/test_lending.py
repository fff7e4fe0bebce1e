"""A gateway gets the time keys of its space's locks, sealed to it; the same message says nothing new within six hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cloud.permits.crew import GATEWAY_KEY, LOCK, LOCK_KEY, Crew
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import open_sealed, time_key

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def test_a_permit_brings_the_time_key_of_its_lock_and_its_device_name(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    down = crew.told(permit)
    (lent,) = down.times
    assert (lent.lock, lent.lock_id) == ("lock-7", LOCK)
    now_s = crew.now_ns // 10**9
    assert lent.from_s <= now_s < lent.until_s - 12 * 3600
    key = open_sealed(lent.sealed, GATEWAY_KEY, context=lent.context)
    assert key == time_key(LOCK_KEY, id_of("gw-north"), lent.from_s, lent.until_s)
    told = crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]
    assert [(g["lock"], g.get("rescue", False)) for g in told] == [
        ("lock-7", False),
        ("lock-7", True),
    ]
    crew.wait_min(1)
    crew.must("li", "POST", f"/permits/{permit}/attendant")
    crew.must("li", "POST", f"/permits/{permit}/enter", {"person": "zhou"})
    (later,) = crew.told(permit).times
    assert later == lent or later.from_s > lent.from_s  # the day's quarter may have turned
