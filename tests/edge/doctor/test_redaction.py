"""What looks like a secret leaves an archive as `***`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.doctor.bundle import redact

SECRET = "Xy7-hidden"


@pytest.mark.parametrize(
    "text",
    [
        f'password = "{SECRET}"',
        f"mqtt://gw-1:{SECRET}@broker.example:8883",
        f'{{"token": "{SECRET}"}}',
        f"API_TOKEN={SECRET}",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)


@given(st.text(), st.text(min_size=4), st.text())
def test_a_known_secret_is_hidden_wherever_it_stands(before: str, secret: str, after: str) -> None:
    assert secret not in redact(before + secret + after, frozenset({secret})).replace("***", "")
