"""Every codec takes whatever comes; and the fuzzer finds a codec that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tocsin.sdk.codec import FrameInput, codec_names, load_codec, load_examples
from tocsin.testing.fuzz import names
from tocsin.testing.mutate import Mutator

IN_CI = 40_000


def _fuzz(*args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("protocol", names())
def test_a_codec_takes_spoilt_frames(protocol: str) -> None:
    report = _fuzz("-m", "tocsin.testing.fuzz", protocol, "--frames", str(IN_CI), "--seed", "20")
    assert report["fault"] is None, report
    assert report["frames"] == IN_CI == report["described"] + report["refused"]


@pytest.mark.release
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("protocol", names())
def test_a_codec_takes_a_million_spoilt_frames(protocol: str) -> None:
    report = _fuzz("-m", "tocsin.testing.fuzz", protocol, "--frames", "1000000", "--seed", "21")
    assert report["fault"] is None, report


FAULTY = """
import sys
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import Examples, FrameInput
from tocsin.testing import fuzz
held = []
def describe(given):
    if given.data != b"sound frame":
        {fault}
    return {{}}
def stream():
    return lambda data: {stream}
examples = Examples((FrameInput(b"sound frame"),), None, (stream,))
report = fuzz.fuzz("faulty", 20_000, 1, (describe, examples))
sys.stdout.write(fuzz.msgspec.json.encode(report).decode())
"""


@pytest.mark.parametrize(
    ("fault", "stream", "says"),
    [
        ("raise KeyError(given.data)", "None", "KeyError"),
        ("bytes(1 << 40)", "None", "MemoryError"),
        ("held.append(bytes(8192)); return {}", "None", "resident memory grew"),
        ("return {'a': 'x' * (2 << 20)}", "None", "megabyte"),
        ("return {'a': object()}", "None", "object"),
        ("raise CodecError(CodecReason.LENGTH, '')", "{}[data]", "KeyError"),
    ],
)
def test_a_codec_with_a_fault_is_found_with_the_frame_that_shows_it(
    fault: str, stream: str, says: str
) -> None:
    report = _fuzz("-c", FAULTY.format(fault=fault, stream=stream))
    assert says in report["fault"]
    assert report["hex"] is not None


def test_the_same_seed_spoils_the_same_frames_and_another_seed_others() -> None:
    def frames(seed: int) -> list[FrameInput]:
        mutator = Mutator(load_examples("modbus"), seed)
        return [mutator.frame() for _ in range(200)]

    assert frames(1) == frames(1) != frames(2)


@pytest.mark.parametrize("protocol", sorted(codec_names()))
def test_every_example_is_a_sound_frame_and_sealing_it_changes_nothing(protocol: str) -> None:
    examples, describe = load_examples(protocol), load_codec(protocol)
    assert examples.frames, "register some in the entry-point group tocsin.examples"
    for given in examples.frames:
        assert describe(given)
        if examples.seal is not None:
            sealed = FrameInput(examples.seal(given), given.kind, given.device)
            assert describe(sealed) == describe(given)
