"""When pictures that are written wrong are taken: after three openings with nothing else, and never again after one that is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.pipeline.leniency import OPENINGS, Leniency
from edge.vision.sources.damage import Damage

HEADER, RESTARTS = Damage.MARKER, Damage.RESTARTS
REFUSED, WHOLE = "refused", "whole"


def after(openings: Sequence[Sequence[Damage | str]], known: Leniency | None = None) -> Leniency:
    """And a new opening."""
    known = Leniency() if known is None else known
    for pictures in openings:
        known = known.opened()
        for came in pictures:
            if isinstance(came, Damage):
                known = known.suspect(came)
            else:
                known = known.refused() if came == REFUSED else known.whole()
    return known.opened()


@pytest.mark.parametrize(
    ("openings", "taken"),
    [
        ([], None),
        ([[HEADER, HEADER]] * 2, None),
        ([[HEADER, HEADER]] * 3, HEADER),
        ([[HEADER], [], [HEADER], [], [HEADER]], HEADER),
        ([[HEADER], [HEADER], [RESTARTS], [HEADER]], None),
        ([[HEADER], [HEADER], [HEADER, RESTARTS], [HEADER], [HEADER]], None),
        ([[HEADER], [HEADER], [HEADER, REFUSED], [HEADER], [HEADER]], None),
        ([[HEADER], [HEADER], [REFUSED], [HEADER], [HEADER], [HEADER]], HEADER),
        ([[REFUSED]] * 9, None),
        ([[HEADER]] * 3 + [[HEADER, REFUSED], [REFUSED], [RESTARTS]], HEADER),
        ([[HEADER]] * 3 + [[RESTARTS]] * 3, RESTARTS),
        ([[WHOLE]] + [[HEADER]] * 9, None),
        ([[HEADER, WHOLE]] + [[HEADER]] * 9, None),
        ([[HEADER]] * 3 + [[HEADER, WHOLE]], None),
        ([[HEADER]] * 3 + [[WHOLE]] + [[HEADER]] * 9, None),
    ],
)
def test_pictures_written_wrong_are_taken_when_three_openings_gave_nothing_else(
    openings: list[list[Damage | str]], taken: Damage | None
) -> None:
    assert after(openings).taken is taken


def test_the_first_picture_as_it_should_be_ends_it_at_once_and_for_good() -> None:
    known = after([[HEADER]] * OPENINGS)
    assert known.taken is HEADER
    known = known.suspect(HEADER).whole()
    assert known.taken is None
    assert after([[HEADER]] * 20, known).taken is None


@given(st.lists(st.lists(st.sampled_from([HEADER, RESTARTS, REFUSED, WHOLE]), max_size=4), max_size=12))  # fmt: skip
def test_what_is_taken_was_all_that_three_openings_gave_and_nothing_before_was_as_it_should_be(
    openings: list[list[Damage | str]],
) -> None:
    taken = after(openings).taken
    if taken is not None:
        assert all(WHOLE not in pictures for pictures in openings)
        told = [set(pictures) for pictures in openings if pictures]
        runs = [told[i : i + OPENINGS] for i in range(len(told))]
        assert [{taken}] * OPENINGS in runs
