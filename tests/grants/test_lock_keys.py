"""Derived keys differ in every input; a sealed secret opens at one gateway, for one context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.grant_vectors import GATEWAY, seed
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.lock_keys import (
    SEALED_KEY_BYTES,
    advert_key,
    gateway_key,
    open_sealed,
    order_key,
    seal_for_gateway,
)
from tocsin.grants.primitives import exchange_public

PRIVATE = seed("gateway exchange")


def test_keys_of_one_lock_all_differ_and_none_is_the_locks_own() -> None:
    lock = seed("lock")
    keys = [
        lock,
        gateway_key(lock, GATEWAY, 0),
        gateway_key(lock, GATEWAY, 1),
        gateway_key(lock, b"gw-00008", 1),
        gateway_key(seed("other lock"), GATEWAY, 1),
        order_key(lock),
        advert_key(lock),
    ]
    assert len(set(keys)) == len(keys)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_sealed_key_opens_at_its_gateway(secret: bytes, once: bytes) -> None:
    sealed = seal_for_gateway(secret, exchange_public(PRIVATE), context=b"grant", once=once)
    assert len(sealed) == SEALED_KEY_BYTES
    assert secret not in sealed
    assert open_sealed(sealed, PRIVATE, context=b"grant") == secret


def test_a_sealed_key_opens_nowhere_else_and_not_when_changed() -> None:
    sealed = seal_for_gateway(
        bytes(32), exchange_public(PRIVATE), context=b"grant", once=seed("once")
    )
    tries = [(sealed, seed("other gateway"), b"grant"), (sealed, PRIVATE, b"time")]
    for at in range(len(sealed)):
        bad = bytearray(sealed)
        bad[at] ^= 0x10
        tries.append((bytes(bad), PRIVATE, b"grant"))
    for data, private, context in tries:
        with pytest.raises(GrantRefusedError) as refused:
            open_sealed(data, private, context=context)
        assert refused.value.reason is LockRefusal.BAD_SIGNATURE


def test_a_sealed_key_that_is_cut_short_is_malformed() -> None:
    with pytest.raises(GrantRefusedError) as refused:
        open_sealed(bytes(48), PRIVATE, context=b"grant")
    assert refused.value.reason is LockRefusal.MALFORMED


def test_nothing_is_sealed_for_a_key_of_small_order() -> None:
    with pytest.raises(ValueError, match="small order"):
        seal_for_gateway(bytes(32), bytes(32), context=b"grant", once=seed("once"))
    with pytest.raises(GrantRefusedError):
        open_sealed(bytes(80), PRIVATE, context=b"grant")
