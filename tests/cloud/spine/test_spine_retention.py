"""The policy of cloud.toml, carried out by a running spine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tocsin.errors import QueryError
from tocsin.testing import throwaway_broker, wait_until_sync

Make = Callable[..., AbstractContextManager[Any]]
POLICY = """[store]
type = "local"
hot_hours = 1
roll_interval_s = 0.3
[store.retention]
raw_days = 5
minute_days = "forever"
"""
DAY = 86_400 * 10**9


def test_a_running_cloud_makes_bins_by_its_policy_and_takes_no_line_older_than_it(
    spine_on: Make,
) -> None:
    now = time.time_ns()
    kept, gone = (now - 3 * DAY) // DAY * DAY, now - 7 * DAY
    with throwaway_broker("mosquitto") as broker, spine_on(broker, POLICY) as spine:
        lines = [f"water,site=s,device=d level={n} {kept + n * 10**9}" for n in range(60)]
        lines.append(f"water,site=s,device=d level=9 {gone}")
        told = spine.call("write_lp", body="\n".join(lines))
        assert told["written"] == 60
        assert told["rejected"] == [{"line": 61, "reason": "older than 'water' is kept"}]

        def sampled() -> bool:
            with contextlib.suppress(QueryError):
                return bool(spine.column("SELECT level_count FROM water_1m") == [60])
            return False

        wait_until_sync(sampled, 30.0, "bins")
        assert spine.column("SELECT level_mean FROM water_1m") == [29.5]
        assert spine.column("SELECT count(*) FROM water") == [60]
