"""Five minutes of the soak; `python -m tests.edge.vision.soak --hours 24` is all of it."""

from __future__ import annotations

import pytest

from tests.edge.vision.soak import run_soak


@pytest.mark.release
@pytest.mark.timeout(600)
async def test_five_minutes_of_failing_cameras_leave_memory_threads_and_files_as_they_were() -> None:  # fmt: skip
    verdict = await run_soak(300.0, every_s=5.0)
    assert verdict.good, verdict
    assert verdict.faults >= 50
    assert verdict.reconnects >= 20
