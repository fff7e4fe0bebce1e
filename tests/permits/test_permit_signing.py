"""A gateway believes of a permit what the cloud signed for it, and nothing else."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.permits.journals import Writer, moved
from tocsin.permits.messages import PermitDown, Person, SealedGrant
from tocsin.permits.names import State
from tocsin.permits.rule_rows import Rules
from tocsin.permits.signing import is_signed_down, sign_down
from tocsin.permits.space import Space, Template

KEY = b"a command key"


def down() -> PermitDown:
    writer = Writer()
    writer.write(moved(State.DRAFT, State.SUBMITTED), 1)
    return PermitDown(
        1, "P1", "gw", Space("s", "north", "gw", "S", "t", "r"), Template("t", "甲", "A"),
        Rules("r", "v", 20.0, ()), tuple(writer.entries), 3,
        (Person("ann", "Ann", ("attendant",), key=b"\1" * 32),), (SealedGrant(b"\2" * 150),), ("ab",),
    )  # fmt: skip


def test_it_survives_the_way_and_no_other_key_signs_it() -> None:
    told = msgspec.json.decode(msgspec.json.encode(sign_down(down(), KEY)), type=PermitDown)
    assert is_signed_down(told, KEY)
    assert not is_signed_down(told, b"another")
    assert not is_signed_down(told, b"")
    assert not is_signed_down(down(), KEY)


@given(st.data())
def test_no_changed_byte_is_believed(data: st.DataObject) -> None:
    body = bytearray(msgspec.json.encode(sign_down(down(), KEY)))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        told = msgspec.json.decode(bytes(body), type=PermitDown)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    assert not is_signed_down(told, KEY) or told == sign_down(down(), KEY)
