"""`tocsin decode` as a program: one line in, one object out, and it never dies on input."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import reduce
from operator import xor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cli.decode import MAX_LINE, answer, bounded_lines
from tocsin.sdk.codec import codec_names, load_codec

READ = "0103000000018 40a".replace(" ", "")
RMC = "$GPRMC,,V,,,,,,,,,,N*53"


def decode(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-c", "from tocsin.cli import main; main()", "decode", *arguments]
    return subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)


def objects(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert done.stderr == b""
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_hex_text_and_json_are_answered_in_the_order_of_the_lines() -> None:
    lines = [
        READ,
        "01 03 00:00-00 01 84 0A",
        json.dumps({"hex": READ, "kind": "rtu", "id": "ignored", "expected": {"unit": 9}}),
        READ[:-2] + "0b",
    ]
    told = objects(decode("modbus", data="\n".join(lines).encode()))
    good = {"unit": 1, "function": 3, "exception": False, "kind": "read request", "address": 0}
    assert told[:3] == [{"ok": True, "frame": good | {"count": 1, "crc_ok": True}}] * 3
    error = {"code": "checksum", "message": "CRC is 0B84, counted 0A84", "offset": 6}
    assert told[3] == {"ok": False, "error": error}
    (sentence,) = objects(decode("nmea", RMC))
    assert sentence["frame"]["status"] == "V"


def test_a_tag_block_is_told_and_a_position_off_the_globe_is_none() -> None:
    tag = "s:station,c:1609459200"
    tagged = f"\\{tag}*{_xor(tag):02X}\\{RMC}"
    north = "GPGLL,9959.000,N,12118.000,W,171925.00,A,A"
    lines = [tagged, tagged.replace("station", "Station"), "\\s:x", f"${north}*{_xor(north):02X}"]
    good, *bad = objects(decode("nmea", data="\n".join(lines).encode()))
    assert good["frame"]["tag"] == {"s": "station", "c": "1609459200"}
    assert good["frame"]["type"] == "RMC"
    assert [b["error"]["code"] for b in bad] == ["checksum", "framing", "bad-field"]
    assert bad[0]["error"]["offset"] == tagged.index("*") + 1


def _xor(text: str) -> int:
    return reduce(xor, text.encode(), 0)


def test_it_lives_through_every_line() -> None:
    bad = [
        b"",
        b"   ",
        b"\xff\xfe\x00\x80",
        b"{",
        b"{}",
        b'{"hex": 5}',
        b'{"hex": "0"}',
        b'{"hex": "zz"}',
        b'{"hex": "00", "kind": "morse"}',
        b'{"a":' * 5000,
        b"[1, 2]",
        b"0",
        b"f" * (MAX_LINE + 10),
        b"\x00" * 100,
    ]
    told = objects(decode("modbus", data=b"\n".join([*bad, READ.encode()])))
    assert [t["ok"] for t in told] == [False] * len(bad) + [True]
    assert {t["error"]["code"] for t in told[:-1]} <= {
        "bad-input",
        "truncated",
        "checksum",
        "oversized",
        "framing",
    }


def test_an_unknown_protocol_names_the_nearest_and_none_lists_them() -> None:
    done = decode("modbas", "00")
    assert done.returncode == 2
    assert b"did you mean 'modbus'?" in done.stderr
    assert objects(decode("--json"))[0]["protocols"] == sorted(codec_names())


@pytest.mark.parametrize("protocol", sorted(codec_names()))
@given(line=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_line_breaks_any_codec(protocol: str, line: bytes) -> None:
    told = answer(load_codec(protocol), line)
    assert json.loads(json.dumps(told)) == told


def test_of_an_overlong_line_only_the_beginning_is_judged() -> None:
    assert list(bounded_lines([b"aaa", b"aaa", b"a\n", b"b\n", b"cc"])) == [b"aaa", b"b\n", b"cc"]
