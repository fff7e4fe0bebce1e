"""Topics: what is built is parsed back, and nothing else is accepted."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.contract import topics

names = st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)
classes = st.sampled_from(["alarm", "event", "telemetry", "health", "resume"])


@given(names, names, classes, st.booleans())
def test_an_up_topic_parses_to_what_it_was_made_of(
    site: str, gateway: str, cls: str, hist: bool
) -> None:
    parsed = topics.parse_up(topics.up(site, gateway, cls, hist=hist))
    assert parsed == topics.UpTopic(topics.bucket(gateway), site, gateway, cls, hist)


@given(names, names)
def test_a_state_topic_parses_as_state(site: str, gateway: str) -> None:
    parsed = topics.parse_up(topics.state(site, gateway))
    assert parsed is not None
    assert (parsed.site, parsed.gateway, parsed.kind) == (site, gateway, "state")


@given(st.text(max_size=60) | st.lists(st.sampled_from(["tocsin", "1", "up", "state", "hist", "", "0"])).map("/".join))  # fmt: skip
def test_other_text_is_no_topic_of_ours(text: str) -> None:
    assert topics.parse_up(text) is None


@pytest.mark.parametrize(
    "topic",
    [
        "tocsin/1/{b}/site/gw/down/command",
        "tocsin/1/{b}/site/gw/up",
        "tocsin/1/{b}/site/gw/up/telemetry/old",
        "tocsin/1/{b}/site/gw/up/telemetry/hist/x",
        "tocsin/1/{b}/site/gw/state/x",
        "tocsin/2/{b}/site/gw/up/telemetry",
        "tocsin/1/0{b}/site/gw/up/telemetry",
        "tocsin/1/+{b}/site/gw/up/telemetry",
        "tocsin/1/" + "9" * 5000 + "/site/gw/up/telemetry",
        "tocsin/1/{other}/site/gw/up/telemetry",
        "tocsin/1/{b}/Site/gw/up/telemetry",
        "tocsin/1/{b}/si te/gw/up/telemetry",
        "/tocsin/1/{b}/site/gw/up/telemetry",
    ],
)
def test_a_topic_with_one_thing_wrong_is_refused(topic: str) -> None:
    b = topics.bucket("gw")
    assert topics.parse_up(topic.format(b=b, other=(b + 1) % topics.BUCKETS)) is None


def test_the_bucket_of_a_gateway_never_changes() -> None:
    # ingesters share buckets by these numbers: a change would need every gateway updated at once
    known = {"gw-01": 31, "gw-02": 37, "gw-07": 42, "plant-7.north": 47}
    assert {name: zlib.crc32(name.encode()) % 64 for name in known} == {
        name: topics.bucket(name) for name in known
    }
    assert {name: topics.bucket(name) for name in known} == known


@given(st.lists(names, min_size=1, max_size=5))
def test_every_gateway_has_a_bucket_that_the_filters_of_its_owner_name(gateways: list[str]) -> None:
    for gateway in gateways:
        number = topics.bucket(gateway)
        assert 0 <= number < topics.BUCKETS
        filters = topics.ingest_filters([number])
        assert filters == [f"tocsin/1/{number}/+/+/up/#", f"tocsin/1/{number}/+/+/state"]
    assert topics.ingest_filters() == ["tocsin/1/+/+/+/up/#", "tocsin/1/+/+/+/state"]


def test_down_topics_lie_under_the_filter_of_their_gateway() -> None:
    tree = topics.down_filter("site", "gw").removesuffix("#")
    assert topics.down("site", "gw", "command") == tree + "command"
    assert topics.down_ack("site", "gw", "cloud-0") == tree + "ack/cloud-0"


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".a", "a.", "A", "a b", "a/b", "a+", "#", "é", "a" * 65, "a\n"]
)
def test_names_that_would_break_a_topic_are_refused(name: str) -> None:
    assert not topics.is_name(name)


@pytest.mark.parametrize("name", ["a", "0", "gw-07", "plant_7.north", "a" * 64])
def test_plain_names_are_names(name: str) -> None:
    assert topics.is_name(name)
