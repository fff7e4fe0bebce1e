"""What the cloud tells a lock: read as written, bound to kind, lock and key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.grant_vectors import GATEWAY, KID, LOCK_ID, NOW, issuers, seed
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import MAX_CTR
from tocsin.grants.lock_keys import order_key, time_key
from tocsin.grants.lock_orders import (
    MAX_REVOKED,
    REVOKE,
    ROTATE,
    TIME,
    Order,
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    decode_order,
    kind_of,
    maced_order,
    read_maced,
    read_signed,
    signed_order,
)
from tocsin.grants.primitives import public_key

IDS = st.binary(min_size=8, max_size=8)
UINT32 = st.integers(0, 2**32 - 1)
TIMES = st.builds(TimeOrder, IDS, UINT32, st.binary(min_size=16, max_size=16), st.integers(0, 59))
REVOKES = st.builds(
    RevokeOrder,
    IDS,
    UINT32,
    UINT32,
    st.lists(st.tuples(IDS, st.integers(0, MAX_CTR)), max_size=MAX_REVOKED).map(tuple),
)
ROTATES = st.builds(
    RotateOrder,
    IDS,
    st.binary(min_size=2, max_size=2),
    st.binary(min_size=32, max_size=32),
)
SAMPLES: tuple[Order, ...] = (
    TimeOrder(LOCK_ID, NOW, bytes(16), 5),
    RevokeOrder(LOCK_ID, 18, 2, ((b"grant-05", 19),)),
    RotateOrder(LOCK_ID, b"\x00\x03", public_key(seed("issuer 3"))),
)


@given(TIMES | REVOKES | ROTATES)
def test_a_signed_order_reads_as_written_and_fits_one_frame(order: Order) -> None:
    raw = signed_order(order, kid=KID, seed=seed("issuer 1"))
    assert len(raw) <= 230
    assert read_signed(kind_of(order), raw, issuers()) == order


@given(TIMES | REVOKES)
def test_a_maced_order_reads_as_written(order: TimeOrder | RevokeOrder) -> None:
    key = order_key(seed("lock"))
    assert read_maced(kind_of(order), maced_order(order, key), key) == order


@pytest.mark.parametrize("order", SAMPLES, ids=lambda order: type(order).__name__)
def test_a_flipped_bit_anywhere_in_a_signed_order_is_refused(order: Order) -> None:
    good = signed_order(order, kid=KID, seed=seed("issuer 1"))
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        with pytest.raises(GrantRefusedError):
            read_signed(kind_of(order), bytes(bad), issuers())


def test_a_flipped_bit_anywhere_in_a_maced_order_is_a_bad_mac() -> None:
    key = order_key(seed("lock"))
    good = maced_order(RevokeOrder(LOCK_ID, 18, 2), key)
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        with pytest.raises(GrantRefusedError) as refused:
            read_maced(REVOKE, bytes(bad), key)
        assert refused.value.reason is LockRefusal.BAD_SIGNATURE


def test_one_kind_of_order_is_never_taken_for_another_nor_a_grant_for_an_order() -> None:
    for order in SAMPLES:
        raw = signed_order(order, kid=KID, seed=seed("issuer 1"))
        for kind in {TIME, REVOKE, ROTATE, b""} - {kind_of(order)}:
            with pytest.raises(GrantRefusedError) as refused:
                read_signed(kind, raw, issuers())
            assert refused.value.reason is LockRefusal.BAD_SIGNATURE


@given(st.sampled_from([TIME, REVOKE, ROTATE]), st.binary(max_size=120))
def test_any_payload_is_an_order_or_malformed(kind: bytes, payload: bytes) -> None:
    try:
        order = decode_order(kind, payload)
    except GrantRefusedError as refused:
        found = refused.reason
    else:
        assert kind_of(order) == kind
        return
    assert found is LockRefusal.MALFORMED


@pytest.mark.parametrize(
    "order",
    [
        TimeOrder(LOCK_ID, NOW, bytes(15), 5),
        TimeOrder(LOCK_ID, NOW, bytes(16), 60),
        RevokeOrder(LOCK_ID, -1, 0),
        RevokeOrder(LOCK_ID, 0, 0, ((b"grant-05", 1),) * 9),
        RotateOrder(LOCK_ID, b"1", bytes(32)),
    ],
    ids=str,
)
def test_orders_no_lock_would_take_are_not_signed(order: Order) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        signed_order(order, kid=KID, seed=seed("issuer 1"))
    assert refused.value.reason is LockRefusal.MALFORMED


def test_a_delegated_time_key_is_for_one_gateway_one_span_and_a_day_at_most() -> None:
    keys = {
        time_key(seed("lock"), GATEWAY, NOW, NOW + 60),
        time_key(seed("lock"), GATEWAY, NOW, NOW + 61),
        time_key(seed("lock"), b"gw-00008", NOW, NOW + 60),
        time_key(seed("other lock"), GATEWAY, NOW, NOW + 60),
    }
    assert len(keys) == 4
    with pytest.raises(ValueError, match="at most 86400"):
        time_key(seed("lock"), GATEWAY, NOW, NOW + 86_401)
