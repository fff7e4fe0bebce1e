"""Deterministic CBOR: one form for every value, and nothing but that form is read."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants import cbor

NUMBERS = st.integers(-(2**64), 2**64 - 1)
LEAVES = NUMBERS | st.binary(max_size=40)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple) | st.dictionaries(NUMBERS, inner, max_size=4)
    ),
    max_leaves=8,
).filter(lambda item: _depth(item) <= cbor.MAX_DEPTH)


def _depth(item: cbor.Item) -> int:
    if isinstance(item, dict):
        return 1 + max(map(_depth, item.values()), default=1)
    return 1 + max(map(_depth, item), default=1) if isinstance(item, tuple) else 1


def _plain(item: object) -> object:
    """cbor2's lists, as the tuples ours gives."""
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}
    return tuple(map(_plain, item)) if isinstance(item, list | tuple) else item


@given(ITEMS)
def test_what_is_encoded_reads_back_and_another_reader_agrees(item: cbor.Item) -> None:
    data = cbor.encode(item)
    assert cbor.decode(data) == item
    assert _plain(cbor2.loads(data)) == item


@given(st.binary(max_size=60))
def test_whatever_is_accepted_has_exactly_this_encoding(data: bytes) -> None:
    try:
        item = cbor.decode(data)
    except GrantRefusedError as refused:
        found = refused.reason
    else:
        assert cbor.encode(item) == data
        return
    assert found is LockRefusal.MALFORMED


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("1800", "shorter form"),
        ("1817", "shorter form"),
        ("1900ff", "shorter form"),
        ("1a0000ffff", "shorter form"),
        ("1b00000000ffffffff", "shorter form"),
        ("5800", "shorter form"),
        ("a201000100", "out of order or doubled"),
        ("a202000100", "out of order or doubled"),
        ("a2200001 00", "out of order or doubled"),
        ("a1410100", "no integer"),
        ("9fff", "no place"),
        ("5f40ff", "no place"),
        ("f6", "no place"),
        ("f5", "no place"),
        ("fa00000000", "no place"),
        ("6161", "no place"),
        ("1c", "no place"),
        ("0000", "follow the end"),
        ("43aabb", "cut short"),
        ("19aa", "cut short"),
        ("", "cut short"),
        ("9b0fffffffffffffff", "too many"),
        ("bb0fffffffffffffff", "too many"),
        ("8181818180", "more than 4 levels"),
        ("d2d2d2d2d200", "more than 4 levels"),
    ],
)
def test_what_is_not_in_the_one_form_is_refused_and_says_why(data: str, why: str) -> None:
    with pytest.raises(GrantRefusedError, match=why):
        cbor.decode(bytes.fromhex(data))


def test_more_than_512_bytes_are_not_looked_at() -> None:
    with pytest.raises(GrantRefusedError, match="at most 512"):
        cbor.decode(cbor.encode(bytes(600)))


@pytest.mark.parametrize("item", [True, None, 2**64, -(2**64) - 1])
def test_what_grants_have_no_place_for_is_not_written(item: int) -> None:
    with pytest.raises(ValueError, match=r"grant|64 bits"):
        cbor.encode(item)
