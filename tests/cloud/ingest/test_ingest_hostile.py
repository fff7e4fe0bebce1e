"""Hostile bodies end as dead letters; the ingester never falls over one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.decode import decode
from tests.contract.examples import GATEWAY, SITE, T0
from tests.contract.hostile import HOSTILE, sealed
from tocsin.contract import topics

FUTURE_NS = 300 * 10**9


class World:
    """One registered gateway; nothing stored yet."""

    def site_of(self, gateway: str) -> str | None:
        return SITE if gateway == GATEWAY else None

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        return [(lo, hi)]


@pytest.mark.parametrize("cls", topics.JOURNALLED)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_is_a_dead_letter_and_its_numbers_are_settled(case: str, cls: str) -> None:
    body, code, reason = HOSTILE[case]
    topic = topics.up(SITE, GATEWAY, cls)
    out = decode(topic, sealed(body, code), T0, World(), FUTURE_NS)
    assert [(letter.reason, letter.lo, letter.hi) for letter in out.letters] == [(reason, 42, 48)]
    assert [(e.lo, e.hi, e.rejected) for e in out.ledger] == [(42, 48, True)]


@pytest.mark.parametrize("cls", [topics.HEALTH, topics.RESUME])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_direct_message_is_a_dead_letter(case: str, cls: str) -> None:
    out = decode(topics.up(SITE, GATEWAY, cls), HOSTILE[case][0], T0, World(), FUTURE_NS)
    assert len(out.letters) == 1
    assert (out.health, out.resume) == (None, None)


@given(st.binary(max_size=120), st.sampled_from(["jn", "jd", "mn", "md"]))
def test_random_bodies_under_a_right_checksum_never_raise(body: bytes, code: str) -> None:
    out = decode(topics.up(SITE, GATEWAY, "telemetry"), sealed(body, code), T0, World(), FUTURE_NS)
    assert out.letters
