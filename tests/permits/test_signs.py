"""Signs of attendants on the way between two sides whose clocks have nothing in common."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tocsin.contract.messages import AttendantSigns
from tocsin.permits.intervals import NS
from tocsin.permits.messages import SignsDown
from tocsin.permits.signing import is_signed_down, sign_down
from tocsin.permits.signs import MAX_PERMITS, seen_ns

LEG = st.floats(0.0, 3600.0)


@given(offset_s=st.floats(1e3, 1e9), out_s=LEG, held_s=LEG, back_s=LEG, age_s=LEG)
def test_no_delay_and_no_clock_makes_a_sign_younger_than_it_is(
    offset_s: float, out_s: float, held_s: float, back_s: float, age_s: float
) -> None:
    began_ns, asked_ns = 10**15, 10**15 + NS
    wrote_ns = asked_ns + int((out_s + held_s) * NS)
    now_ns = wrote_ns + int(back_s * NS)
    told = AttendantSigns(wrote_ns + int(offset_s * NS), asked_ns, held_s, {"P1": age_s})
    true_ns = wrote_ns - int(age_s * NS)
    seen = seen_ns(told, began_ns, now_ns)["P1"]
    assert seen <= true_ns + 1000
    assert true_ns - seen <= out_s * NS + 1000, "older by the way out at most"


def test_what_answers_nothing_of_this_run_or_makes_no_sense_is_no_sign() -> None:
    good = AttendantSigns(1, 100, 0.0, {"P1": 0.0})
    assert seen_ns(good, 50, 200) == {"P1": 100}
    assert seen_ns(good, 101, 200) == {}, "of an earlier run, or played again"
    assert seen_ns(good, 50, 99) == {}, "an echo of what was never said"
    for wrong in (-1.0, float("nan"), float("inf")):
        assert seen_ns(msgspec.structs.replace(good, held_s=wrong), 50, 200) == {}
        assert seen_ns(msgspec.structs.replace(good, ages_s={"P1": wrong}), 50, 200) == {}
    flood = {str(n): 0.0 for n in range(MAX_PERMITS + 9)}
    assert len(seen_ns(msgspec.structs.replace(good, ages_s=flood), 50, 200)) == MAX_PERMITS


def test_what_the_cloud_says_of_signs_is_signed() -> None:
    down = sign_down(SignsDown(1, "gw", AttendantSigns(1, 2, 3.0, {"P1": 4.0})), b"key")
    told = msgspec.json.decode(msgspec.json.encode(down), type=SignsDown)
    assert is_signed_down(told, b"key")
    assert not is_signed_down(told, b"another")
    younger = msgspec.structs.replace(told.signs, ages_s={"P1": 0.0})
    assert not is_signed_down(msgspec.structs.replace(told, signs=younger), b"key")
