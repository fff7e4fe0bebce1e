"""What a camera asks of those who sign in, however long it is."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from edge.vision.sources.http_auth import _PAIR, authorization

SLOW = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def test_a_challenge_with_a_word_of_a_million_letters_is_read_in_one_go() -> None:
    """Tried from each of them to the last it takes hours."""
    long = "a" * 1_000_000
    challenge = f'Digest {long} realm="r", nonce="n", {long}'
    answer = authorization([challenge], "GET", "/", "user", "secret")
    assert 'realm="r", nonce="n"' in answer


@given(st.text('ab=", \t\u00e9', max_size=60))
def test_pairs_are_those_that_are_found_from_every_letter(text: str) -> None:
    assert [m.groups() for m in _PAIR.finditer(text)] == [m.groups() for m in SLOW.finditer(text)]
