"""What becomes of the pictures that cameras give: read, refused, judged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.frame import Frame, Picture
from edge.vision.observation import Quality
from edge.vision.pipeline import checks
from edge.vision.pipeline.develop import Developer, Radiometry, as_bgr
from edge.vision.pipeline.watching import COLOURED, GREY, Light, Movement
from edge.vision.sources.picture_file import decode, size_of
from edge.vision.sources.source import Raw, Reject
from tests.edge.vision.scenes import scene

S = 1_000_000_000


def encoded(picture: Raw, suffix: str) -> bytes:
    ok, data = cv2.imencode(suffix, picture)
    assert ok
    return data.tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp"])
def test_each_kind_of_file_tells_its_size_before_it_is_unpacked_and_is_read(suffix: str) -> None:
    data = encoded(scene(), suffix)
    assert size_of(data) == (320, 180)
    got = decode(data)
    assert not isinstance(got, Reject)
    assert got.shape == (180, 320, 3)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_of_a_thermal_picture_are_kept(suffix: str) -> None:
    counts = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) + 29_000
    got = decode(encoded(counts, suffix))
    assert not isinstance(got, Reject)
    assert np.array_equal(got, counts)


def test_a_picture_of_200_megapixels_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # fmt: skip

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
    assert decode(png) is Reject.TOO_LARGE


def tiff(sizes: list[tuple[int, int, int, int]], width: int, height: int) -> bytes:
    """One grey strip of `width` x `height` px, its directory telling the size by these (tag, type, count, value)."""
    strip = zlib.compress(bytes(width * height), 9)
    entries = [
        *sizes, (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
        (278, 4, 1, height), (279, 4, 1, len(strip)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries)) + directory + bytes(4)  # fmt: skip


def test_a_tiff_that_tells_its_size_twice_or_in_an_odd_way_is_not_unpacked() -> None:
    honest = [(256, 4, 1, 640), (257, 4, 1, 480)]
    got = decode(tiff(honest, 640, 480))
    assert not isinstance(got, Reject)
    assert got.shape[:2] == (480, 640)
    for twice in (
        [(256, 4, 1, 640), (256, 4, 1, 64), (257, 4, 1, 480), (257, 4, 1, 64)],
        [(256, 4, 1, 64), (256, 4, 1, 640), (257, 4, 1, 480)],
        [(256, 16, 1, 64), (257, 4, 1, 480)],  # LONG8: the value is where 64 points to
        [(256, 3, 2, 64), (257, 4, 1, 480)],
    ):
        assert size_of(tiff(twice, 640, 480)) is None
        assert decode(tiff(twice, 640, 480), max_pixels=10_000) is Reject.UNREADABLE


def test_what_was_unpacked_is_measured_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(), ".png")
    monkeypatch.setattr("edge.vision.sources.picture_file.size_of", lambda _data: (64, 64))
    assert decode(data) is Reject.UNREADABLE
    assert decode(data, max_pixels=10_000) is Reject.TOO_LARGE


def test_a_picture_cut_short_is_told_from_one_that_is_none() -> None:
    jpeg = encoded(scene(), ".jpg")
    assert decode(jpeg[: len(jpeg) // 2]) is Reject.TRUNCATED
    assert decode(encoded(scene(), ".png")[:-20]) is Reject.TRUNCATED
    assert decode(b"<html>401</html>") is Reject.UNREADABLE
    assert decode(b"") is Reject.UNREADABLE


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b""]))  # fmt: skip
def test_no_bytes_break_the_reading_of_a_header(body: bytes, start: bytes) -> None:
    size = size_of(start + body)
    assert size is None or min(size) > 0


def _frames(developer: Developer, *raws: Raw, every_s: float = 1.0) -> list[Frame | Reject]:
    return [developer.develop(raw, i, i, int(i * every_s * S)) for i, raw in enumerate(raws)]


def _qualities(*raws: Raw) -> list[str]:
    found = _frames(Developer("cam"), *raws)
    return [f.value if isinstance(f, Reject) else f.quality.value for f in found]


def test_half_grey_dark_and_tiny_pictures_are_named() -> None:
    half, tail = scene(), scene()
    half[90:] = 128
    tail[170:] = 128  # less than a tenth: a strip a camera may have
    sky = cv2.GaussianBlur(scene(), (0, 0), 20)
    dark = np.random.default_rng(1).integers(0, 9, (180, 320, 3), dtype=np.uint8)
    bar = scene()
    bar[140:] = 0  # a black bar is no missing part
    assert _qualities(half, tail, sky, dark, bar) == ["half-grey", "good", "good", "dark", "good"]
    nothing, meadow, blue = scene(), scene(), scene()
    nothing[100:] = (0, 135, 0)  # an H.265 decoder's where nothing arrived
    meadow[100:] = (40, 135, 60)
    blue[100:] = (135, 0, 0)
    assert _qualities(nothing, meadow, blue) == ["half-grey", "good", "good"]
    assert _qualities(np.zeros((1, 1, 3), np.uint8)) == ["too-small"]
    assert _qualities(np.zeros((64, 64), np.float64)) == ["unreadable"]
    assert _qualities(np.zeros((8000, 8000), np.uint8)) == ["too-large"]


def smeared(seed: int = 7, top: int = 96, bottom: int = 180, noise: int = 0) -> Picture:
    """The scene with a hole of which a decoder knew only what is above, in blocks of 8 px."""
    picture = scene(seed=seed) // 4 + 90
    above = picture[top - 8 : top].reshape(8, 40, 8, 3).mean(axis=(0, 2)).repeat(8, axis=0)
    rng = np.random.default_rng(seed + noise)
    grain = rng.integers(-noise, noise + 1, (bottom - top, 320, 3))
    picture[top:bottom] = np.clip(above[None] + grain, 0, 255).astype(np.uint8)
    return picture


def test_a_hole_that_the_decoder_smeared_over_is_told_until_the_picture_is_whole() -> None:
    later = [smeared(noise=noise) for noise in (1, 10, 30)]  # what the pictures after it add
    found = _qualities(scene(), smeared(), *later, scene() // 4 + 90, scene(seed=3))
    assert found == ["good"] + ["half-grey"] * 4 + ["good"] * 2
    assert _qualities(later[-1]) == ["good"]  # alone it is not told from a scene
    assert _qualities(smeared(top=32, bottom=96)) == ["half-grey"]  # a slice of several
    assert _qualities(smeared(top=144, bottom=176)) == ["good"]  # two rows of blocks


def test_what_repeats_for_a_minute_is_the_scene_and_is_judged() -> None:
    shutter = smeared(top=16)
    pictures = [smeared(top=16, noise=1 + i % 2) for i in range(70)]
    pictures[0] = shutter
    found = _qualities(*pictures)
    assert found[:60] == ["half-grey"] * 60
    assert found[60:] == ["good"] * 10


def test_no_real_picture_has_a_hole(shared_data: Path) -> None:
    files = sorted((shared_data / "fire-smoke" / "images").glob("*.jpg"))[::20]
    if not files:
        pytest.skip("no recordings; set TOCSIN_SHARED_DATA to their place")
    for file in files:
        picture = decode(file.read_bytes())
        assert not isinstance(picture, Reject)
        assert not checks.smeared(checks.cells(as_bgr(picture))).any(), file.name
    bars = scene()
    bars[:, ::16] = 250  # a fence before it
    assert _qualities(bars) == ["good"]


@given(st.integers(0, 2**32 - 1), st.integers(32, 200), st.integers(32, 300), st.integers(1, 256))
def test_checks_take_short_ways_to_what_their_words_say(seed: int, high: int, wide: int, levels: int) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 257 - levels, 3)
    picture = np.asarray(low + rng.integers(0, levels, (high, wide, 3)), np.uint8)
    down, across = high // 16, wide // 8
    half = cv2.resize(picture[: down * 16, : across * 8], (across * 4, down * 8), interpolation=cv2.INTER_AREA)  # fmt: skip
    cells = half[:, :, 1].reshape(down, 8, across, 4).mean(axis=(1, 3))
    assert np.array_equal(checks.cells(picture), cells)
    step = max(1, wide // 64)
    places = picture[::step, ::step].astype(int)
    assert checks.chroma(picture) == np.minimum(np.ptp(places, axis=2), 8).mean()
    rows = picture[high - round(high * 0.1) :, ::step].reshape(-1, 3).astype(int)
    grey = np.ptp(rows) <= 2 and 112 <= rows.min() <= rows.max() <= 144
    highs, green = rows.max(axis=0), rows[:, 1]
    empty = np.ptp(rows, axis=0).max() <= 2 and max(highs[0], highs[2]) <= 2 and 70 <= green.min() <= green.max() <= 142  # fmt: skip
    assert checks.is_half_grey(picture) == (grey or empty)


@pytest.mark.parametrize("level", [0, 2, 3, 69, 70, 111, 112, 142, 143, 144, 145])
@pytest.mark.parametrize("blue", [0, 2, 3])
def test_green_of_nothing_is_told_up_to_its_bounds(level: int, blue: int) -> None:
    picture = scene()
    picture[150:] = (blue, level, 0)
    is_green = blue <= 2 and 70 <= level <= 142
    assert checks.is_half_grey(picture) == is_green


def test_a_jpeg_that_lost_its_second_half_is_half_grey_even_with_an_end_sewn_on() -> None:
    jpeg = encoded(scene(), ".jpg")
    got = decode(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    assert not isinstance(got, Reject)
    assert checks.is_half_grey(got)


def test_the_same_picture_again_and_again_is_frozen_until_another_comes() -> None:
    same = scene()
    found = _qualities(*[same] * 12, scene(seed=7)[:, ::-1].copy(), same)
    assert found == ["good"] * 10 + ["frozen"] * 2 + ["good"] * 2


def night_sky(seed: int) -> Picture:
    """A black 1080p picture with the noise of its sensor."""
    noise = np.random.default_rng(seed).normal(3, 3, (1080, 1920, 3))
    return np.asarray(np.clip(noise, 0, 255), np.uint8)


def test_a_flame_of_20_px_in_a_black_night_is_looked_at_wherever_it_is() -> None:
    assert checks.is_dark(night_sky(1))
    for x, y in ((0, 0), (907, 703), (1900, 1060), (1234, 555)):
        night = night_sky(2)
        night[y : y + 20, x : x + 20] = (40, 150, 255)
        assert not checks.is_dark(night), (x, y)
    line = night_sky(3)  # a fire along a far ridge
    line[700:704, 300:420] = (40, 150, 255)
    assert not checks.is_dark(line)
    single = night_sky(4)
    single[500, 500] = 255  # a broken pixel is none
    assert checks.is_dark(single)


def test_a_picture_without_noise_in_which_only_a_small_flame_flickers_is_not_frozen() -> None:
    wide = scene(1920, 1080)
    pictures = []
    for i in range(15):
        picture = wide.copy()
        picture[605:628, 1205:1228] = (10 + i % 5 * 20, 120, 255)
        pictures.append(picture)
    assert _qualities(*pictures) == ["good"] * 15
    assert _qualities(*[wide] * 15)[-1] == "frozen"


def test_grey_night_mode_is_infrared_and_grey_or_four_channel_pictures_become_bgr() -> None:
    grey = scene()[:, :, 0].copy()
    rgba = cv2.cvtColor(scene(), cv2.COLOR_BGR2BGRA)
    night, colour = _frames(Developer("cam"), grey, np.asarray(rgba, np.uint8))
    assert isinstance(night, Frame)
    assert isinstance(colour, Frame)
    assert (night.spectrum, colour.spectrum) == ("infrared", "visible")
    assert night.picture is not None
    assert colour.picture is not None
    assert night.picture.shape == colour.picture.shape == (180, 320, 3)


def _moved(*raws: Raw, every_s: float = 1.0) -> list[bool]:
    found = _frames(Developer("cam"), *raws, every_s=every_s)
    return [f.moved for f in found if isinstance(f, Frame)]


def test_a_camera_that_turns_is_noticed_and_one_that_trembles_or_dims_is_not() -> None:
    wide = scene(480, 180)

    def at(x: int) -> Picture:
        noise = np.random.default_rng(x).integers(0, 3, (180, 320, 3), dtype=np.uint8)
        return wide[:, x : x + 320] // 2 + 40 + noise

    assert _moved(at(0), at(1), at(0), at(30), at(30), at(31)) == [False, False, False, True, False, False]  # fmt: skip
    dimmer = (at(0) * 0.7).astype(np.uint8)
    assert _moved(at(0), dimmer, at(1)) == [False] * 3
    assert _moved(scene(seed=1), scene(seed=2)) == [False, True]
    slow = _moved(*(at(x) for x in range(12)))
    assert any(slow)  # half a pixel of 160 a second
    assert _moved(at(0), at(60), every_s=0.1) == [False, False]  # looked at once a second


def test_clouds_and_a_vehicle_over_ground_that_stays_are_no_movement() -> None:
    ground, clouds = scene(seed=4), scene(640, 180, seed=5)
    frames = []
    for i in range(20):
        picture = ground.copy()
        picture[:90] = clouds[:90, 6 * i : 6 * i + 320]
        picture[130:146, 12 * i : 12 * i + 30] = 250
        frames.append(picture)
    assert not any(_moved(*frames))


def test_a_picture_is_as_it_was_after_it_was_compared() -> None:
    movement, first = Movement(), checks.thumbnail(scene())
    movement.moved(first, 0)
    seen = first.copy()
    assert not movement.moved(seen, 1_000_000_000)
    assert np.array_equal(first, checks.thumbnail(scene()))
    assert np.array_equal(seen, first)


def test_another_resolution_voids_references_and_is_counted() -> None:
    developer = Developer("cam")
    found = _frames(developer, scene(), scene(640, 360), scene(640, 360), scene())
    assert [f.moved for f in found if isinstance(f, Frame)] == [False, True, False, True]
    assert developer.resolution_changes == 2


def test_a_change_that_came_with_a_bad_picture_is_told_again_with_the_next_good_one() -> None:
    half = scene(640, 360)
    half[180:] = 128
    found = _frames(Developer("cam"), scene(), half, scene(640, 360), scene(640, 360))
    told = [(f.quality, f.moved) for f in found if isinstance(f, Frame)]
    good = Quality.GOOD
    assert told == [(good, False), (Quality.HALF_GREY, True), (good, True), (good, False)]


def test_counts_become_degrees_with_what_cannot_be_known_marked() -> None:
    counts = np.random.default_rng(3).integers(29_315, 29_515, (120, 160)).astype(np.uint16)
    counts[0, 0], counts[0, 1] = 0, 65_535
    frame, shutter = _frames(Developer("th", radiometry=Radiometry(0.01)), counts, np.full((120, 160), 29_815, np.uint16))  # fmt: skip
    assert isinstance(frame, Frame)
    assert isinstance(shutter, Frame)
    assert frame.celsius is not None
    assert frame.valid is not None
    assert (frame.spectrum, frame.quality, frame.size) == ("thermal", Quality.GOOD, (160, 120))
    assert (~frame.valid).sum() == 2
    assert frame.celsius[frame.valid] == pytest.approx(counts[frame.valid] * 0.01 - 273.15, abs=0.01)  # fmt: skip
    assert shutter.quality is Quality.SHUTTER


def test_a_real_radiometric_picture_reads_as_degrees(shared_data: Path) -> None:
    file = shared_data / "fire-smoke" / "extras" / "thermal_tlinear_640x512.tiff"
    if not file.is_file():
        pytest.skip(f"no recordings in {file.parent}; set TOCSIN_SHARED_DATA to their place")
    raw = decode(file.read_bytes())
    assert not isinstance(raw, Reject)
    (frame,) = _frames(Developer("th", radiometry=Radiometry(0.04)), raw)
    assert isinstance(frame, Frame)
    assert frame.celsius is not None
    assert frame.quality is Quality.GOOD
    assert -40 < frame.celsius.min() < frame.celsius.max() < 60


def night_of(picture: Picture, seed: int) -> Picture:
    """The same hill in the light of the camera's own lamp, and a clock in yellow burnt in."""
    grey = 255.0 - picture.mean(axis=2, keepdims=True)
    lamp = np.exp(-(((np.arange(320) - 160) / 90.0) ** 2))[None, :, None]
    noise = np.random.default_rng(seed).normal(0, 3, grey.shape)
    out = np.clip(grey * lamp * 0.7 + noise, 0, 255).repeat(3, axis=2).astype(np.uint8)
    out[4:12, 10:100] = (0, 220, 230)
    return np.asarray(out, np.uint8)


def test_a_camera_that_goes_to_its_night_mode_and_back_did_not_move() -> None:
    developer, told = Developer("cam"), list[tuple[str, bool]]()
    for i in range(40):
        day = scene(seed=3)
        picture = day if i % 20 < 10 else night_of(day, i)
        frame = developer.develop(picture, i, i * 10**9, i * 10**9)
        assert isinstance(frame, Frame)
        told.append((frame.spectrum, frame.moved))
    assert [s for s, _ in told] == (["visible"] * 10 + ["infrared"] * 10) * 2
    assert not any(moved for _, moved in told)
    turned = developer.develop(night_of(scene(seed=5), 41), 41, 41 * 10**9, 41 * 10**9)
    assert isinstance(turned, Frame)
    assert turned.moved


@given(st.lists(st.floats(0, 8), min_size=1, max_size=40))
def test_a_picture_that_is_neither_grey_nor_coloured_changes_no_mode(seen: list[float]) -> None:
    light, before = Light(), ""
    for chroma in seen:
        now = light.saw(chroma)
        if chroma < GREY or chroma > COLOURED:
            assert now == ("infrared" if chroma < GREY else "visible")
        else:
            assert now == (before or now)
        before = now
