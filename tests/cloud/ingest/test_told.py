"""What an ingester tells of its values arrives as it was, the newest wins, and rubbish is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloud.ingest.last import Last, LastValues
from cloud.ingest.told import ROWS_PER_MESSAGE, decode_told, encode_told
from tocsin.contract.catalogue import Value
from tocsin.errors import WireError

KEY = ("plant", "gas-01", "gas")
LAST = Last("plant", "gw-1", "gas-01", "gas", "h2s", "[ppm]", 1.0, 0, 10, 10)
values = st.none() | st.booleans() | st.text(max_size=8) | st.integers(-(2**53), 2**53)


@given(st.lists(values, min_size=1, max_size=20))
def test_values_arrive_as_they_were(told: list[Value]) -> None:
    ours, theirs = LastValues(), LastValues()
    for n, value in enumerate(told):
        ours.put(replace(LAST, quantity=f"v{n}", value=value, q=n % 3))
    for payload in encode_told(ours.all()):
        assert theirs.take(decode_told(payload)) == {KEY}
    assert theirs.all() == ours.all()


def test_a_message_is_bounded() -> None:
    ours = LastValues()
    for n in range(2 * ROWS_PER_MESSAGE + 1):
        ours.put(replace(LAST, device=f"gas-{n}"))
    told = [len(decode_told(payload)) for payload in encode_told(ours.all())]
    assert told == [ROWS_PER_MESSAGE, ROWS_PER_MESSAGE, 1]


def test_an_older_value_changes_nothing() -> None:
    ours, theirs = LastValues(), LastValues()
    ours.put(LAST)
    theirs.put(replace(LAST, value=2.0, time_ns=11))
    (payload,) = encode_told(ours.all())
    assert theirs.take(decode_told(payload)) == set()
    assert theirs.all()[0].value == 2.0


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'[{"site":"a"}]', b"\xff", b"[" * 5000])
def test_rubbish_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        decode_told(payload)
