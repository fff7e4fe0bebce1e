"""Which sentences make one fix, and when there is none."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.nmea.encode import Position, burst, frame
from firmware_bridges.nmea.epoch import EpochMerger, Fix
from firmware_bridges.nmea.route import Loop

HERE = Position(22.5431, 114.0503, 14.0, 10.0, 90.0)
POSITION = "4807.038,N,01131.000,E"


def _fixes(*bodies: str) -> list[Fix]:
    merger = EpochMerger()
    made = [merger.feed(frame(body).encode(), i) for i, body in enumerate(bodies)]
    return [fix for fix in (*made, merger.flush()) if fix is not None]


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) * 1_000_000


def test_the_sentences_of_one_stamp_make_one_fix() -> None:
    at = _ns("2026-11-23T12:00:00.250")
    made = burst(at, HERE)
    merger = EpochMerger()
    for sentence in made.sentences:
        assert merger.feed(sentence.encode(), 7) is None
    fix = merger.flush()
    assert fix is not None
    assert (fix.at_ns, fix.time_ns, fix.mode) == (7, at, 3)
    assert (fix.lat, fix.lon) == (made.values["lat"], made.values["lon"])
    assert (fix.alt, fix.satellites, fix.hdop) == (14.0, 11, 0.8)
    assert merger.flush() is None


@given(st.floats(0, 100_000), st.integers(10**18, 3 * 10**18))
def test_what_is_encoded_is_what_is_decoded(elapsed_s: float, at_ns: int) -> None:
    made = burst(at_ns, Loop().at(elapsed_s))
    merger = EpochMerger()
    for sentence in made.sentences:
        merger.feed(sentence.encode(), 0)
    fix = merger.flush()
    assert fix is not None
    assert fix.speed_kn is not None
    got = {
        "lat": fix.lat,
        "lon": fix.lon,
        "alt": fix.alt,
        "speed": fix.speed_kn * (1852.0 / 3600.0),
        "course": fix.course,
        "fix": fix.mode,
        "satellites": fix.satellites,
        "hdop": fix.hdop,
    }
    assert got == made.values
    assert fix.time_ns == made.time_ns


def test_without_a_fix_there_is_no_position_and_never_zero_zero() -> None:
    merger = EpochMerger()
    for sentence in burst(_ns("2026-11-23T12:00:00"), None).sentences:
        merger.feed(sentence.encode(), 0)
    fix = merger.flush()
    assert fix is not None
    assert fix.mode == 0
    assert (fix.lat, fix.lon, fix.alt, fix.speed_kn, fix.course) == (None,) * 5


def test_a_position_under_a_void_status_is_not_believed() -> None:
    (fix,) = _fixes(f"GPRMC,120000,V,{POSITION},5.0,90.0,231126,,")
    assert (fix.mode, fix.lat, fix.time_ns) == (0, None, None)


def test_no_date_is_believed_before_a_valid_rmc_or_zda() -> None:
    first, second, third = _fixes(
        f"GPGGA,115959,{POSITION},1,08,0.9,545.4,M,46.9,M,,",
        f"GPRMC,120000,A,{POSITION},5.0,90.0,231126,,",
        f"GPGLL,{POSITION},120001,A,A",
    )
    assert first.time_ns is None
    assert second.time_ns == _ns("2026-11-23T12:00:00")
    assert third.time_ns == _ns("2026-11-23T12:00:01")


def test_a_date_in_the_middle_of_an_epoch_counts_for_all_of_it() -> None:
    (fix,) = _fixes(
        f"GPGGA,120000.5,{POSITION},1,08,0.9,545.4,M,46.9,M,,", "GPZDA,120000.50,23,11,2026,00,00"
    )
    assert fix.time_ns == _ns("2026-11-23T12:00:00.500")


def test_a_position_after_midnight_belongs_to_the_next_day() -> None:
    fixes = _fixes(
        f"GPRMC,235959,A,{POSITION},5.0,90.0,311226,,",
        f"GPGLL,{POSITION},000000,A,A",
        f"GPGLL,{POSITION},000001,A,A",
    )
    assert [f.time_ns for f in fixes[1:]] == [
        _ns("2027-01-01T00:00:00"),
        _ns("2027-01-01T00:00:01"),
    ]


def test_two_digit_years_from_eighty_on_are_of_the_last_century() -> None:
    old, new = _fixes(
        f"GPRMC,120000,A,{POSITION},5,90,060180,,", f"GPRMC,120001,A,{POSITION},5,90,311279,,"
    )
    assert old.time_ns == _ns("1980-01-06T12:00:00")
    assert new.time_ns == _ns("2079-12-31T12:00:01")


def test_time_may_step_back_and_come_again() -> None:
    fixes = _fixes(*(f"GPRMC,12000{s},A,{POSITION},5,90,231126,," for s in (2, 1, 2)))
    start = _ns("2026-11-23T12:00:00")
    assert [(f.time_ns or 0) - start for f in fixes] == [2 * 10**9, 10**9, 2 * 10**9]


def test_a_line_that_a_multiplexer_doubled_makes_no_second_fix() -> None:
    assert len(_fixes(*[f"GPRMC,120002,A,{POSITION},5,90,231126,,"] * 2)) == 1


def test_a_gga_that_repeats_its_stamp_is_a_receiver_without_a_fix() -> None:
    gga = f"GPGGA,120000,{POSITION},1,08,0.9,545.4,M,46.9,M,,"
    gsa = "GPGSA,A,3,01,02,03,04,05,,,,,,,,1.0,0.9,0.8"
    assert [f.mode for f in _fixes(gga, gsa, gga, gsa)] == [3, 0]


def test_sentences_without_any_time_still_part_into_epochs() -> None:
    fixes = _fixes(*(["GPGGA,,,,,,0,,,,,,,,", "GPRMC,,V,,,,,,,,,,N", "GPVTG,,T,,M,,N,,K,N"] * 3))
    assert [(f.mode, f.time_ns) for f in fixes] == [(0, None)] * 3


def test_a_receiver_that_lost_its_clock_loses_its_date() -> None:
    fixes = _fixes(
        f"GPRMC,120000,A,{POSITION},5,90,231126,,",
        "GPRMC,,V,,,,,,,,,,N",
        "GNGNS,120005.00,,,,,NNN,,,,,,",
    )
    assert [f.time_ns is None for f in fixes] == [False, True]


def test_gsa_says_how_many_dimensions() -> None:
    rmc = f"GPRMC,120000,A,{POSITION},5,90,231126,,"
    for mode, expected in ((1, 0), (2, 2), (3, 3)):
        (fix,) = _fixes(rmc, f"GNGSA,A,{mode},01,02,03,,,,,,,,,,1.0,0.9,0.8")
        assert fix.mode == expected


def test_a_bare_rmc_is_two_dimensional_and_an_altitude_makes_it_three() -> None:
    rmc = f"GPRMC,120000,A,{POSITION},5,90,231126,,"
    assert [f.mode for f in _fixes(rmc)] == [2]
    gga = f"GPGGA,120000,{POSITION},1,08,0.9,545.4,M,46.9,M,,"
    assert [f.mode for f in _fixes(gga, rmc)] == [3]


def test_beidou_alone_is_a_fix() -> None:
    (fix,) = _fixes(f"BDGNS,120000,{POSITION},NNNA,08,0.9,545.4,46.9,,")
    assert fix.mode == 3


def test_speed_and_course_come_from_vtg_when_rmc_is_silent() -> None:
    (fix,) = _fixes(f"GPGLL,{POSITION},120000,A,A", "GPVTG,54.7,T,34.4,M,5.5,N,10.2,K,A")
    assert (fix.speed_kn, fix.course) == (5.5, 54.7)


def test_the_horizontal_error_comes_from_gst() -> None:
    (fix,) = _fixes(f"GPGLL,{POSITION},120000,A,A", "GPGST,120000,4.0,8.7,4.7,132.3,3.0,4.0,14")
    assert fix.accuracy == 5.0


def test_a_time_alone_is_no_fix() -> None:
    assert _fixes("GPZDA,120000,23,11,2026,00,00") == []
