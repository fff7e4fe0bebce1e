"""What the collector of cyclic garbage walks through in a running gateway, and what becomes of freed memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.garbage import leave_out_what_stands


class Knot:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_stands_is_not_walked_through_again_and_what_was_garbage_is_freed() -> None:
    stays, goes = Knot(), Knot()
    gone = weakref.ref(goes)
    del goes
    leave_out_what_stands()
    assert gone() is None
    assert not any(found is stays for found in gc.get_objects())
    assert len(gc.get_objects()) < gc.get_freeze_count() // 10


def test_what_became_garbage_between_two_configurations_is_freed_by_the_second() -> None:
    before = Knot()
    gone = weakref.ref(before)
    leave_out_what_stands()
    del before
    gc.collect()
    assert gone() is not None
    leave_out_what_stands()
    assert gone() is None


_BETWEEN_WHAT_STANDS = """
import os
from pathlib import Path
from edge.garbage import leave_out_what_stands

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

blocks = [bytearray(60_000) for _ in range(4_000)]
kept = blocks[::100]
del blocks
before = resident_mb()
leave_out_what_stands()
print(before - resident_mb())
"""


def test_memory_that_is_freed_between_what_stands_goes_back_to_the_machine() -> None:
    """In a process of its own: what others allocated says nothing."""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _BETWEEN_WHAT_STANDS], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True)  # fmt: skip
    assert float(done.stdout) > 150
