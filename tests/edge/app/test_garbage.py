"""What the collector of cyclic garbage walks through in a running gateway."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

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
