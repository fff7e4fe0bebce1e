"""Modbus frames of every function, RTU and TCP: for benches and fuzzing."""

from __future__ import annotations

from firmware_bridges.modbus.crc import with_crc
from firmware_bridges.modbus.frames import (
    RtuFrame,
    RtuRequests,
    TcpFrame,
    TcpRequests,
    encode_rtu,
    encode_tcp,
)
from firmware_bridges.modbus.pdu import (
    Bits,
    ReadRequest,
    Refused,
    Registers,
    WriteRequest,
    Written,
    encode_answer,
    encode_request,
)
from tocsin.sdk.codec import Examples, FrameInput

_PDUS = (
    *(encode_request(ReadRequest(function, 4, 40)) for function in (1, 2, 3, 4)),
    encode_answer(Registers(3, tuple(range(100, 140)))),
    encode_answer(Bits(2, (True, False, True) * 8)),
    encode_answer(Refused(3, 2)),
    encode_request(WriteRequest(5, 1, (1,))),
    encode_request(WriteRequest(6, 1, (513,))),
    encode_request(WriteRequest(15, 1, (1, 0, 1))),
    encode_request(WriteRequest(16, 1, (1, 2, 3))),
    encode_answer(Written(16, 1, 3)),
)


def examples() -> Examples:
    """Each request and answer in both framings."""
    rtu = tuple(FrameInput(encode_rtu(RtuFrame(17, pdu)), "rtu") for pdu in _PDUS)
    tcp = tuple(FrameInput(encode_tcp(TcpFrame(7, 17, pdu)), "tcp") for pdu in _PDUS)
    return Examples(rtu + tcp, _seal, (lambda: RtuRequests().feed, lambda: TcpRequests().feed))


def _seal(given: FrameInput) -> bytes:
    data = given.data
    if given.kind == "rtu":
        return with_crc(data[:-2])
    return data[:2] + b"\0\0" + (max(0, len(data) - 6) & 0xFFFF).to_bytes(2, "big") + data[6:]
