"""Only the answer that was asked for is taken from a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU, ExceptionResponse

from edge.drivers.modbus.framers import Answer, Listener, Rejected, StrictMbap, StrictRtu
from edge.drivers.modbus.plan import Block
from firmware_bridges.modbus.frames import RtuFrame, TcpFrame, encode_rtu, encode_tcp
from firmware_bridges.modbus.pdu import Refused, Registers, encode_answer
from tocsin.errors import DriverReason

UNIT = 17
BLOCK = Block(3, 0, 4)
REGISTERS = st.lists(st.integers(0, 65535), min_size=4, max_size=4).map(tuple)


def _rtu() -> tuple[Listener, StrictRtu]:
    listener = Listener()
    listener.expect(UNIT, BLOCK)
    return listener, StrictRtu(DecodePDU(False), listener)


def _frame(unit: int, *registers: int, function: int = 3) -> bytes:
    return encode_rtu(RtuFrame(unit, encode_answer(Registers(function, registers))))


@given(REGISTERS, st.binary(max_size=20), st.binary(max_size=20))
def test_the_answer_is_found_among_noise(
    registers: tuple[int, ...], before: bytes, after: bytes
) -> None:
    listener, framer = _rtu()
    _, pdu = framer.handleFrame(before + _frame(UNIT, *registers) + after, UNIT, 0)
    assert isinstance(pdu, Answer)
    assert listener.body == b"".join(r.to_bytes(2, "big") for r in registers)


@given(REGISTERS, st.integers(0, 12), st.integers(1, 255))
def test_one_flipped_byte_is_never_accepted(registers: tuple[int, ...], at: int, flip: int) -> None:
    frame = bytearray(_frame(UNIT, *registers))
    frame[at] ^= flip
    _, framer = _rtu()
    assert framer.handleFrame(bytes(frame), UNIT, 0)[1] is None


@given(REGISTERS, st.integers(1, 12))
def test_an_answer_may_come_in_two_parts(registers: tuple[int, ...], cut: int) -> None:
    frame = _frame(UNIT, *registers)
    listener, framer = _rtu()
    assert framer.handleFrame(frame[:cut], UNIT, 0) == (0, None)
    assert listener.verdict()[0] is DriverReason.HALF_FRAME
    assert isinstance(framer.handleFrame(frame, UNIT, 0)[1], Answer)


def test_other_lengths_functions_and_units_are_not_taken_and_are_named() -> None:
    for frame, reason in (
        (_frame(UNIT, 1, 2, 3), DriverReason.LATE_ANSWER),
        (_frame(UNIT, 1, 2, 3, 4, function=4), DriverReason.LATE_ANSWER),
        (_frame(UNIT + 1, 1, 2, 3, 4), DriverReason.GARBAGE),
        (b"\x00\xff\x80", DriverReason.GARBAGE),
        (b"", DriverReason.NO_ANSWER),
    ):
        listener, framer = _rtu()
        assert framer.handleFrame(frame, UNIT, 0)[1] is None
        assert listener.verdict()[0] is reason


def test_a_refusal_is_an_answer() -> None:
    _, framer = _rtu()
    refusal = encode_rtu(RtuFrame(UNIT, encode_answer(Refused(3, 2))))
    pdu = framer.handleFrame(refusal, UNIT, 0)[1]
    assert isinstance(pdu, ExceptionResponse)
    assert pdu.exception_code == 2


def test_an_answer_after_its_time_is_counted_and_dropped() -> None:
    listener, framer = _rtu()
    listener.done()
    late = _frame(UNIT, 1, 2, 3, 4)
    assert framer.handleFrame(late[:5], UNIT, 0) == (0, None)
    assert framer.handleFrame(late, UNIT, 0) == (len(late), None)
    assert (listener.late, listener.late_from) == (1, {UNIT})


@given(st.binary(max_size=300))
def test_any_bytes_on_either_port_raise_nothing(data: bytes) -> None:
    _, framer = _rtu()
    framer.handleFrame(data, UNIT, 0)
    listener = Listener()
    StrictMbap(DecodePDU(False), listener).handleFrame(data, UNIT, 7)
    listener.expect(UNIT, BLOCK)
    StrictMbap(DecodePDU(False), listener).handleFrame(data, UNIT, 7)


def test_over_tcp_only_the_right_transaction_unit_and_length_are_taken() -> None:
    body = encode_answer(Registers(3, (1, 2, 3, 4)))

    def hear(*frames: TcpFrame) -> tuple[Listener, object]:
        listener = Listener()
        listener.expect(UNIT, BLOCK)
        framer = StrictMbap(DecodePDU(False), listener)
        data = b"".join(encode_tcp(frame) for frame in frames)
        return listener, framer.handleFrame(data, UNIT, 7)[1]

    good = TcpFrame(7, UNIT, body)
    assert isinstance(hear(good)[1], Answer)
    listener, pdu = hear(TcpFrame(6, UNIT, body), good)
    assert isinstance(pdu, Answer)
    assert listener.late == 1
    listener, pdu = hear(TcpFrame(6, UNIT, body))
    assert (pdu, listener.stale) == (None, True)
    for other in (8, 7 - 100 & 0xFFFF):
        assert isinstance(hear(TcpFrame(other, UNIT, body), good)[1], Rejected)
    assert isinstance(hear(TcpFrame(7, UNIT + 1, body))[1], Rejected)
    assert isinstance(hear(TcpFrame(7, UNIT, body[:-2]))[1], Rejected)
    assert isinstance(hear(TcpFrame(7, UNIT, encode_answer(Refused(3, 2))))[1], ExceptionResponse)
