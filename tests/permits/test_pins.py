"""A PIN is known again, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from tocsin.permits.pins import SALT_BYTES, hash_pin, is_pin

KEPT = hash_pin("482913", b"s" * SALT_BYTES)


def test_a_pin_is_known_again_and_not_to_be_read_from_what_is_kept() -> None:
    assert is_pin(KEPT, "482913")
    assert "482913" not in KEPT
    assert hash_pin("482913", b"t" * SALT_BYTES) != KEPT


@pytest.mark.parametrize("pin", ["", "482914", "4829130", " 482913"])
def test_another_pin_is_refused(pin: str) -> None:
    assert not is_pin(KEPT, pin)


@pytest.mark.parametrize(
    "kept", ["", "x", "scrypt$14$8$1$", "scrypt$14$8$1$zz$00", KEPT[:-1], "x" + KEPT, "scrypt$4$8$1$00$00"]
)  # fmt: skip
def test_what_is_no_kept_pin_matches_nothing(kept: str) -> None:
    assert not is_pin(kept, "482913")
    assert not is_pin(kept, "")
