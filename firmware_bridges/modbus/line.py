"""Answers of a whole line or port: which unit answers a request, and how its faults spoil the bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random

import msgspec

from firmware_bridges.modbus.faults import HARMLESS, Fault, FaultKind, fault_at, measured_at
from firmware_bridges.modbus.pdu import Refused, encode_answer
from firmware_bridges.modbus.unit import VirtualUnit

SPLIT_PAUSE_S = 0.02


class Piece(msgspec.Struct, frozen=True):
    """Bytes to write, and how long to wait before."""

    data: bytes
    wait_s: float = 0.0


class Line:
    """The units that share one port."""

    def __init__(self, units: Mapping[int, VirtualUnit], faults: tuple[Fault, ...] = ()) -> None:
        self.units = units
        self._faults = faults
        self._start = time.monotonic()
        self._random = Random(7)
        self._asked = dict.fromkeys(units, 0)

    @property
    def elapsed_s(self) -> float:
        """Seconds since start."""
        return time.monotonic() - self._start

    def refresh(self) -> None:
        """Lets every unit measure."""
        t = self.elapsed_s
        for number, unit in self.units.items():
            unit.refresh(measured_at(self._faults, number, t), time.time_ns())

    def respond(
        self, number: int, pdu: bytes, asked: bytes, frame: Callable[[int, bytes], bytes]
    ) -> list[Piece]:
        """What to write for one request; `frame` wraps (unit, PDU), `asked` are the request's own bytes."""
        unit = self.units.get(number)
        if unit is None:
            return []
        t = self.elapsed_s
        now_ns = time.time_ns()
        unit.refresh(measured_at(self._faults, number, t), now_ns)
        fault = fault_at(self._faults, number, t, self._asked[number])
        self._asked[number] += 1
        if fault is not None and fault.kind not in HARMLESS:
            unit.mark_fault(fault.kind.value, now_ns)
        if fault is not None and fault.kind is FaultKind.EXCEPTION:
            return [Piece(frame(number, encode_answer(Refused(pdu[0] & 0x7F, fault.code))))]
        request = unit.decode(pdu)
        if isinstance(request, Refused):
            return [Piece(frame(number, encode_answer(request)))]
        answer = unit.answer(request)
        if not isinstance(answer, Refused):
            unit.record_write(request, now_ns)
        if (fault is None or fault.kind in HARMLESS) and not isinstance(answer, Refused):
            unit.record(request, now_ns)
        whole = frame(number, encode_answer(answer))
        if fault is None:
            return [Piece(whole)]
        return self._spoil(fault, number, whole, asked, frame)

    def _spoil(
        self,
        fault: Fault,
        number: int,
        whole: bytes,
        asked: bytes,
        frame: Callable[[int, bytes], bytes],
    ) -> list[Piece]:
        middle = len(whole) // 2
        match fault.kind:
            case FaultKind.GARBAGE:
                return [Piece(self._random.randbytes(len(whole)))]
            case FaultKind.HALF:
                return [Piece(whole[:middle])]
            case FaultKind.CRC:
                return [Piece(whole[:-1] + bytes((whole[-1] ^ 0x40,)))]
            case FaultKind.LATE:
                return [Piece(whole, fault.delay_s)]
            case FaultKind.WRONG_UNIT:
                return [Piece(frame(number % 247 + 1, b"\x03\x02\x12\x34"))]
            case FaultKind.SPLIT:
                return [Piece(whole[:middle]), Piece(whole[middle:], SPLIT_PAUSE_S)]
            case FaultKind.ECHO_ONLY:
                return [Piece(asked)]
            case FaultKind.STUCK:
                return [Piece(whole)]
            case FaultKind.ECHO:
                return [Piece(asked), Piece(whole)]
            case _:
                return []
