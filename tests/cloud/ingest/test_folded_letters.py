"""Of a message with very many findings every number is in a letter, and letters stay few."""

from __future__ import annotations

import random

import pytest

from cloud.ingest.decoded import Letter
from cloud.ingest.letters import MAX_PER_MESSAGE, folded
from tocsin.errors import WireReason


def findings(dice: random.Random) -> list[Letter]:
    out = []
    for _ in range(dice.randint(90, 400)):
        lo = dice.randint(0, 999)
        reason = dice.choice([WireReason.BAD_SHAPE, WireReason.BAD_READING])
        device, quantity = dice.choice(["gas-01", "gas-02"]), dice.choice(["", "h2s", "co"])
        out.append(Letter(reason, "why", "stream", lo, lo + dice.randint(1, 5), device, quantity))
    return out


@pytest.mark.parametrize("seed", range(20))
def test_every_finding_lies_in_a_letter_about_the_same(seed: int) -> None:
    found = findings(random.Random(seed))
    letters, cut = folded(found)
    assert not cut
    assert letters[:MAX_PER_MESSAGE] == found[:MAX_PER_MESSAGE]
    assert len(letters) <= MAX_PER_MESSAGE + 10
    for one in found:
        assert any(
            (one.reason, one.quantity) == (kept.reason, kept.quantity)
            and kept.lo <= one.lo
            and one.hi <= kept.hi
            and (kept.device == one.device or not (kept.device or kept.quantity))
            for kept in letters
        )


def test_whole_rows_come_before_values_where_not_even_the_kinds_of_findings_find_room() -> None:
    values = [
        Letter(WireReason.BAD_READING, "why", "s", i, i + 1, "gas-01", f"q{i}") for i in range(300)
    ]
    row = Letter(WireReason.BAD_SHAPE, "why", "s", 999, 1000, "gas-01")
    letters, cut = folded([*values, row])
    assert row in letters
    assert (len(letters), cut) == (2 * MAX_PER_MESSAGE, 101)
