"""Frames with known answers from other projects' suites, whole and through the splitter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_bridges.jt808.describe import describe, describe_frame
from firmware_bridges.jt808.frames import Frame, decode_frame, encode_frame
from firmware_bridges.jt808.splitter import Splitter
from tocsin.errors import CodecError
from tocsin.sdk.codec import FrameInput, load_codec


def _vectors(shared_data: Path) -> list[dict[str, Any]]:
    file = json.loads((shared_data / "protocols" / "jt808.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    assert len(found) == file["count"]
    return found


def _differences(expected: object, ours: object, path: str = "") -> list[str]:
    """Where `ours` lacks or contradicts what is expected; more keys than expected are no difference."""
    if isinstance(expected, dict) and isinstance(ours, dict):
        return [
            line
            for key, value in expected.items()
            for line in (
                _differences(value, ours[key], f"{path}.{key}")
                if key in ours
                else [f"{path}.{key} missing"]
            )
        ]
    if isinstance(expected, list) and isinstance(ours, list) and len(expected) == len(ours):
        pairs = enumerate(zip(expected, ours, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, f"{path}[{i}]")]
    same = expected == ours and type(expected) is type(ours)
    return [] if same else [f"{path}: {ours!r}, expected {expected!r}"]


def test_every_known_frame_has_its_known_answer(shared_data: Path) -> None:
    wrong = [
        (vector["id"], lines)
        for vector in _vectors(shared_data)
        if vector["frame_ok"]
        and (
            lines := _differences(
                vector["expected"], describe(FrameInput(bytes.fromhex(vector["hex"])))
            )
        )
    ]
    assert wrong == []


def test_every_known_body_is_read_to_its_end(shared_data: Path) -> None:
    good = [v for v in _vectors(shared_data) if v["frame_ok"]]
    facts = [describe(FrameInput(bytes.fromhex(v["hex"]))) for v in good]
    assert [f["body_error"] for f in facts if "body_error" in f] == []
    (attributes,) = [f["attributes"] for f in facts if "attributes" in f]
    assert attributes["model"] == "CK100C"
    assert (attributes["hardware"], attributes["firmware"]) == ("HW-V2.5", "CK100C-JT-V024")


def test_every_bad_frame_is_refused_for_the_right_reason(shared_data: Path) -> None:
    for vector in _vectors(shared_data):
        if not vector["frame_ok"]:
            with pytest.raises(CodecError) as refused:
                describe(FrameInput(bytes.fromhex(vector["hex"])))
            right = "length" if vector["expected"]["checksum_ok"] else "checksum"
            assert refused.value.reason == right, vector["id"]


def test_every_good_frame_is_written_as_it_was_read(shared_data: Path) -> None:
    for vector in _vectors(shared_data):
        if vector["frame_ok"] and vector["id"] != "jt808-091":  # holds a 7E that was not escaped
            data = bytes.fromhex(vector["hex"])
            frame = decode_frame(data)
            assert encode_frame(frame.header, frame.body) == data


@pytest.mark.parametrize("between", [b"", b"$$", b"(013612345678BP05)", b"\x7e\x7e"])
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_the_good_frames_are_found_in_a_stream_whatever_lies_between(
    shared_data: Path, between: bytes, piece: int
) -> None:
    vectors = _vectors(shared_data)
    stream = between + b"".join(bytes.fromhex(v["hex"]) + between for v in vectors)
    splitter = Splitter()
    found = [
        item
        for at in range(0, len(stream), piece)
        for item in splitter.feed(stream[at : at + piece])
    ]
    frames = [item for item in found if isinstance(item, Frame)]
    good = [v for v in vectors if v["frame_ok"]]
    assert len(frames) == len(good)
    for frame, vector in zip(frames, good, strict=True):
        assert _differences(vector["expected"], describe_frame(frame)) == []
    assert len(found) - len(frames) == len(vectors) - len(good)


def test_the_codec_is_found_under_its_name() -> None:
    assert load_codec("jt808") is describe
