"""Topics: what is built is parsed back, and nothing else is accepted."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.broker.accounts import covers
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


def matches(flt: str, topic: str) -> bool:
    """MQTT 3.1.1, 4.7."""
    return covers(flt.removeprefix("$share/tocsin/"), topic)


@given(names, names, st.sampled_from(["telemetry", "alarm", "event", "health", "resume"]))
def test_of_two_that_share_buckets_one_gets_the_telemetry_and_the_cloud_all_else(
    site: str, gateway: str, cls: str
) -> None:
    number, others = topics.bucket(gateway), [b for b in range(64) if b != topics.bucket(gateway)]
    for hist in (False, True) if cls in topics.JOURNALLED else (False,):
        topic = topics.up(site, gateway, cls, hist=hist)
        assert any(matches(f, topic) for f in topics.cloud_filters())
        is_telemetry = cls == topics.TELEMETRY
        assert any(matches(f, topic) for f in topics.cloud_filters(others)) is not is_telemetry
        assert any(matches(f, topic) for f in topics.telemetry_filters([number])) is is_telemetry
        assert not any(matches(f, topic) for f in topics.telemetry_filters(others))
        assert any(matches(f, topic) for f in topics.telemetry_filters(shared=True)) is is_telemetry
        assert any(matches(f, topic) for f in topics.resume_filters([number])) is (cls == "resume")


def test_every_filter_of_every_role_is_among_those_that_a_session_is_cleared_of() -> None:
    each = topics.every_filter()
    for filters in (
        topics.cloud_filters(), topics.cloud_filters([0, 63]), topics.telemetry_filters(),
        topics.telemetry_filters([7]), topics.telemetry_filters(shared=True), topics.resume_filters([7]),
    ):  # fmt: skip
        assert set(filters) <= each


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("0-3", [0, 1, 2, 3]), ("63, 5-6,5", [5, 6, 63]), ("0-63", list(range(64)))],
)
def test_buckets_are_written_as_ranges(text: str, numbers: list[int]) -> None:
    assert topics.bucket_numbers(text) == numbers


@pytest.mark.parametrize("text", ["64", "3-1", "a", "1-", "-1", "0-64", "1 2", "1;2"])
def test_what_is_no_range_of_buckets_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bucket|within"):
        topics.bucket_numbers(text)


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
