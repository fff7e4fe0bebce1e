"""Recorded files as they come: cut short, of 16 bits, stopped half-way, with nowhere to keep what was learned."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edge.vision.sources.video_file import lacks_index
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.scenes import numbered, scene, write_clip
from tocsin.cli.root import dispatch
from tocsin.testing import wait_until_sync


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = dispatch(["vision", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def with_index_first(data: bytes) -> bytes:
    """ftyp, moov, mdat in place of ftyp, (free,) mdat, moov; chunk offsets moved."""
    boxes, at = dict[bytes, bytes](), 0
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        boxes[kind], at = data[at : at + length], at + length
    moov, by = bytearray(boxes[b"moov"]), len(boxes[b"moov"])
    at = moov.index(b"stco") + 8
    for place in range(at + 4, at + 4 + 4 * int.from_bytes(moov[at : at + 4], "big"), 4):
        moved = int.from_bytes(moov[place : place + 4], "big") + by
        moov[place : place + 4] = moved.to_bytes(4, "big")
    rest = b"".join(b for k, b in boxes.items() if k not in (b"ftyp", b"moov"))
    return boxes[b"ftyp"] + bytes(moov) + rest


@pytest.mark.parametrize("command", ["detect", "watch"])
def test_a_cut_mp4_says_that_its_index_is_missing_and_one_with_it_first_is_read(
    tmp_path: Path, model: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 30)
    whole = clip.read_bytes()
    assert not lacks_index(clip)
    clip.write_bytes(whole[: len(whole) * 2 // 3])
    code, out, _ = run(capsys, command, str(clip), "--model", model, "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (9, "vision.picture")
    assert "MP4 without its index" in error["message"]
    assert "faststart" in error["hint"]
    first = with_index_first(whole)
    clip.write_bytes(first[: len(first) * 2 // 3])
    code, out, err = run(capsys, command, str(clip), "--model", model)
    assert code == 0, err
    read = re.search(r"^(\d+) frames", out + err)
    assert read is not None
    assert 5 < int(read[1]) < 30
    clip.write_text("not a video")
    code, _, err = run(capsys, command, str(clip), "--model", model)
    assert (code, "index" in err) == (9, False)


def test_a_cut_mkv_is_read_up_to_its_end(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(clip, 30)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    code, out, _ = run(capsys, "detect", str(clip), "--model", model, "--json")
    assert code == 0
    assert 5 < len(out.splitlines()) < 30


def test_16_bits_without_what_a_count_is_are_named(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = scene(160, 120)[:, :, 0].astype(np.uint16) + 29_000
    folder = tmp_path / "heat"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), counts + i)
    code, out, err = run(capsys, "watch", str(folder), "--model", model, "--json")
    assert code == 9
    assert "3 16-bit" in err
    assert "--kelvin" in json.loads(out)["error"]["hint"]
    code, out, _ = run(capsys, "detect", str(folder / "0.png"), "--model", model, "--json")
    assert code == 9
    assert "16-bit" in json.loads(out)["error"]["message"]
    assert "--kelvin" in json.loads(out)["error"]["hint"]
    cv2.imwrite(str(folder / "3.png"), scene(160, 120))
    code, _, err = run(capsys, "watch", str(folder), "--model", model)
    assert (code, "--kelvin" in err) == (0, True)
    code, _, err = run(capsys, "watch", str(folder), "--kelvin", "0.01")
    assert (code, "16-bit" in err) == (0, False)


def test_a_state_that_cannot_be_written_is_refused_before_the_first_frame(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lapse"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), scene())
    state = tmp_path / "none" / "state.json"
    code, _, err = run(capsys, "watch", str(folder), "--model", model, "--state", str(state))
    assert code == 3
    assert f"no folder {state.parent}" in err
    assert "1 frames" not in err


def test_a_stopped_watch_says_what_became_of_the_frames(tmp_path: Path, model: str) -> None:
    folder, state = tmp_path / "lapse", tmp_path / "state.json"
    folder.mkdir()
    frame = tmp_path / "frame.png"
    cv2.imwrite(str(frame), numbered(1))
    os.truncate(frame, 8 << 20)
    for i in range(20_000):  # minutes of them
        (folder / f"{i}.png").symlink_to(frame)
    argv = ["watch", str(folder), "--model", model, "--state", str(state)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli", "vision", *argv], stderr=subprocess.PIPE, text=True
    )
    watched = psutil.Process(process.pid)
    # more than a start reads: frames were
    wait_until_sync(lambda: watched.io_counters().read_chars > 1 << 30, 60.0, "frames")
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"stopped after \d+ frames?, \d+ judged.*; 0 alarms; .*state.json is as it was", told), told  # fmt: skip
    assert not state.exists()
