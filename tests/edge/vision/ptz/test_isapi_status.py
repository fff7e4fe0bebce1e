"""What Hikvision cameras write when they are asked where they look."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.vision.ptz.isapi_status import MAX_BYTES, Status, read
from tocsin.errors import DriverReason, LinkError

HIK = "http://www.hikvision.com/ver20/XMLSchema"


def document(elevation: object = 121, azimuth: object = 1117, zoom: object = 209, space: str = HIK) -> bytes:  # fmt: skip
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PTZStatus version="2.0" xmlns="{space}">\n  <AbsoluteHigh>\n'
        f"    <elevation>{elevation}</elevation>\n    <azimuth>{azimuth}</azimuth>\n"
        f"    <absoluteZoom>{zoom}</absoluteZoom>\n  </AbsoluteHigh>\n</PTZStatus>\n"
    ).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(LinkError) as caught:
        read(data)
    assert caught.value.reason is DriverReason.GARBAGE
    return caught.value.message


@pytest.mark.parametrize("space", [HIK, "http://www.isapi.org/ver20/XMLSchema", "urn:other"])
def test_tenths_are_read_in_every_namespace(space: str) -> None:
    assert read(document(space=space)) == Status(111.7, 12.1, 20.9)


def test_parts_that_are_not_known_and_a_zoom_that_is_not_there_do_not_matter() -> None:
    bare = b"<PTZStatus><PTZUtcTime>now</PTZUtcTime><AbsoluteHigh><azimuth> 0 </azimuth><elevation>-900</elevation></AbsoluteHigh></PTZStatus>"
    assert read(bare) == Status(0.0, -90.0, None)


@given(st.integers(-900, 2700), st.integers(0, 3600), st.integers(10, 1000))
def test_every_position_in_range_is_read_as_it_was_written(elevation: int, azimuth: int, zoom: int) -> None:  # fmt: skip
    found = read(document(elevation, azimuth, zoom))
    assert found == Status(azimuth / 10, elevation / 10, zoom / 10)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not XML"),
        (b"<html><body>Login", "not XML"),
        (b"<ResponseStatus><statusCode>4</statusCode></ResponseStatus>", "'ResponseStatus' instead of 'PTZStatus'"),
        (b"<PTZStatus/>", "no AbsoluteHigh"),
        (b"<PTZStatus><AbsoluteHigh><azimuth>1</azimuth></AbsoluteHigh></PTZStatus>", "no elevation"),
        (document(azimuth="north"), "azimuth is 'north', not a whole number"),
        (document(azimuth=3601), "azimuth is 3601, not 0 to 3600"),
        (document(elevation=-901), "elevation is -901, not -900 to 2700"),
        (document(zoom=1001), "absoluteZoom is 1001, not 0 to 1000"),
        (document(azimuth="\U000e0001" * 30), "azimuth is '\\U000e0001\\U000e0001\\, not"),
        (document(zoom="9" * 5000), "absoluteZoom is '99999999999999999999', not"),
        (b'<!DOCTYPE a [<!ENTITY b "ccc">]><PTZStatus>&b;</PTZStatus>', "not XML"),
        (b"<PTZStatus>" + b" " * MAX_BYTES, "over 65536 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_is_said(data: bytes, said: str) -> None:
    assert said in refusal(data)


@example(document(azimuth="'" * 7 + "\x7f\x7f" + "\U000e0001" * 11))
@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(st.binary(max_size=20), st.integers(0, 250)).map(
            lambda cut: document()[: cut[1]] + cut[0] + document()[cut[1] + len(cut[0]) :]
        ),
        st.text(max_size=30).map(lambda text: document(azimuth=text)),
    )
)
def test_garbage_gives_a_position_in_range_or_a_clear_error(data: bytes) -> None:
    try:
        found = read(data)
    except LinkError:
        assert len(refusal(data)) < 120
        return
    assert 0 <= found.azimuth_deg <= 360
    assert -90 <= found.elevation_deg <= 270
