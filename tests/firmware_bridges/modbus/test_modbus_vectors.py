"""Frames with known answers from other projects' suites and from real lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_bridges.modbus.frames import decode_rtu, decode_tcp, encode_rtu, encode_tcp
from firmware_bridges.modbus.pdu import (
    ReadRequest,
    Refused,
    Registers,
    WriteRequest,
    Written,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from firmware_bridges.modbus.values import Order, RegisterType, decode, encode
from tocsin.errors import FrameError

TYPES = {"FLOAT32": "f32", "FLOAT64": "f64", "UINT16": "u16", "INT16": "i16"} | {
    f"{sign}INT{bits}": f"{'u' if sign else 'i'}{bits}" for sign in ("U", "") for bits in (32, 64)
}


def _of(shared_data: Path, *kinds: str) -> list[dict[str, Any]]:
    vectors = json.loads((shared_data / "protocols" / "modbus.json").read_text("utf-8"))["vectors"]
    found = [vector for vector in vectors if vector["kind"] in kinds]
    assert found
    return found


def test_a_known_frame_decodes_to_the_known_values(shared_data: Path) -> None:
    for vector in _of(shared_data, "rtu", "tcp"):
        data, expected = bytes.fromhex(vector["hex"]), vector["expected"]
        frame = decode_rtu(data) if vector["kind"] == "rtu" else decode_tcp(data)
        assert (encode_rtu(frame) if vector["kind"] == "rtu" else encode_tcp(frame)) == data  # type: ignore[arg-type]
        assert frame.unit == expected["unit"]
        if vector["kind"] == "tcp":
            assert frame.transaction == expected["transaction"]  # type: ignore[union-attr]
        if expected["exception"]:
            refused = Refused(expected["function"], expected["exception_code"])
            assert decode_answer(frame.pdu) == refused
            assert encode_answer(refused) == frame.pdu
            continue
        match expected["kind"].split()[0]:
            case "read":
                asked = ReadRequest(expected["function"], expected["address"], expected["count"])
                assert decode_request(frame.pdu) == asked
                assert encode_request(asked) == frame.pdu
            case "response":
                answer = Registers(expected["function"], tuple(expected["registers"]))
                assert decode_answer(frame.pdu) == answer
                assert encode_answer(answer) == frame.pdu
            case "write":
                function, address, value = (expected[k] for k in ("function", "address", "value"))
                assert decode_request(frame.pdu) == WriteRequest(function, address, (value,))
                assert decode_answer(frame.pdu) == Written(function, address, value)
            case other:
                pytest.fail(f"a kind of frame this test does not know: {other}")


def test_no_single_flipped_byte_of_a_known_frame_is_accepted(shared_data: Path) -> None:
    for vector in _of(shared_data, "rtu"):
        data = bytes.fromhex(vector["hex"])
        for at in range(len(data)):
            for flip in range(1, 256):
                damaged = bytearray(data)
                damaged[at] ^= flip
                with pytest.raises(FrameError):
                    decode_rtu(bytes(damaged))


def test_a_known_number_is_found_in_all_four_orders(shared_data: Path) -> None:
    for vector in _of(shared_data, "value"):
        kind = RegisterType(TYPES[vector["type"]])
        for label, registers in vector["registers"].items():
            order = Order(label[:4])
            if kind is RegisterType.F32:
                assert decode(registers, kind, order) == pytest.approx(vector["value"], rel=1e-7)
            else:
                assert decode(registers, kind, order) == vector["value"]
            assert encode(vector["value"], kind, order) == tuple(registers)
