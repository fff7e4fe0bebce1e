"""Against the vectors that RFC 4226 and RFC 6238 print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.identity.totp import STEP_NS, base32_of, code_at, matching_step, step_of, uri

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    assert code_at(SECRET, step_of(seconds * 10**9), digits=8) == code


def test_rfc_4226_appendix_d() -> None:
    wanted = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]  # fmt: skip
    assert [code_at(SECRET, step) for step in range(10)] == wanted


@given(st.integers(0, 2**40), st.integers(-5, 5))
def test_a_code_is_good_for_its_step_and_one_to_either_side(step: int, away: int) -> None:
    code = code_at(SECRET, step)
    found = matching_step(SECRET, code, (step + away) * STEP_NS) if step + away >= 0 else step
    if abs(away) <= 1:
        assert found is not None
        assert code_at(SECRET, found) == code
    else:
        assert found is None or code_at(SECRET, found) == code


@pytest.mark.parametrize("code", ["", "75522", "7552244", "٧٥٥٢٢٤", "abcdef"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert matching_step(SECRET, code, 0) is None


def test_an_app_reads_the_address() -> None:
    told = uri(SECRET, "ann", "Tocsin")
    assert told == f"otpauth://totp/Tocsin:ann?secret={base32_of(SECRET)}&issuer=Tocsin"
