"""pymodbus framers that take an answer only if it is the one asked for, and say what else the line carried.

pymodbus's own ones take any function code and any length from the right unit, so that a late answer to an earlier
request would pass for the answer to this one.
"""

from __future__ import annotations

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from edge.drivers.modbus.plan import Expected
from firmware_bridges.modbus.crc import crc16
from firmware_bridges.modbus.frames import MBAP_SIZE, tcp_size
from firmware_bridges.modbus.pdu import answer_size
from tocsin.errors import DriverReason, FrameError

MAX_HEARD = 512
RECENT = 64  # an answer to one of so many requests before this one is late; any other number is a mistake


class Rejected(ExceptionResponse):
    """Stands for an answer when waiting longer can bring none."""

    def __init__(self, unit: int, reason: DriverReason, text: str) -> None:
        super().__init__(1, device_id=unit)
        self.reason, self.text = reason, text


class Answer(ModbusPDU):
    """Stands for a checked answer, whose data bytes the listener holds: they are decoded once, by the scan."""

    def __init__(self, unit: int, function: int, transaction: int) -> None:
        super().__init__(dev_id=unit, transaction_id=transaction)
        self.function_code = function


class Listener:
    """What is expected, and what was heard instead."""

    def __init__(self) -> None:
        self.unit = 0
        self.block: Expected | None = None
        self.body = b""
        self.heard = b""
        self.stale = False
        self.late = 0
        self.late_from: set[int] = set()
        self.echoes: bool | None = (
            None  # whether the adapter repeats what we send; unknown at first
        )
        self.asked = b""
        self._lead = b""
        self._refusal = b""

    def expect(self, unit: int, block: Expected, asked: bytes = b"") -> None:
        """A request (`asked`, its frame on a serial line) goes out: its answer is one of two heads, data or refusal."""
        self.unit, self.block, self.asked = unit, block, asked
        self.heard, self.stale = b"", False
        self._lead = bytes((unit,)) + block.head
        self._refusal = bytes((unit, block.function | 0x80))

    def done(self) -> None:
        """No answer is awaited any more: what comes now is late."""
        self.block = None

    def note_late(self, unit: int) -> None:
        """An answer came after its request had been given up."""
        self.late += 1
        self.late_from.add(unit)

    def find_rtu(self, data: bytes) -> bytes | None:
        """The frame asked for, wherever in `data` it stands, its checksum right."""
        if self.block is None:
            return None
        # the answer to a write of one value looks like its request
        skip = len(self.asked) if self.echoes and data.startswith(self.asked) else 0
        for head, size in ((self._lead, 3 + self.block.size), (self._refusal, 5)):
            start = data.find(head, skip)
            while start >= 0:
                frame = data[start : start + size]
                if len(frame) == size and crc16(frame) == 0:
                    return frame
                start = data.find(head, start + 1)
        return None

    def verdict(self, asked: bytes = b"") -> tuple[DriverReason, str]:
        """Why there was no answer in time, from what was heard on a serial line."""
        heard = self.heard.removeprefix(asked) if asked else self.heard
        if not heard:
            return DriverReason.NO_ANSWER, "no answer"
        shown = heard[:16].hex(" ")
        other = valid_frame(heard)
        if other is not None and other[0] == self.unit:
            return DriverReason.LATE_ANSWER, f"an answer to another request came: {shown}"
        if other is not None:
            return DriverReason.GARBAGE, f"unit {other[0]} answered for unit {self.unit}"
        expected = 3 + (self.block.size if self.block else 2)
        if len(heard) < expected and heard[: len(self._lead)] == self._lead[: len(heard)]:
            return DriverReason.HALF_FRAME, f"{len(heard)} of {expected} bytes came: {shown}"
        return DriverReason.GARBAGE, f"not an answer: {shown}"


def valid_frame(data: bytes) -> bytes | None:
    """The first whole answer frame with a right checksum anywhere in `data`."""
    for start in range(max(0, len(data) - 4)):
        size = answer_size(data[start + 1 : start + 3])
        if size and len(data) >= start + size + 3 and crc16(data[start : start + size + 3]) == 0:
            return data[start : start + size + 3]
    return None


class StrictRtu(FramerRTU):
    """RTU, on a serial line or through a serial server."""

    def __init__(self, decoder: DecodePDU, listener: Listener) -> None:
        super().__init__(decoder)
        self._listener = listener

    def handleFrame(  # noqa: N802 - pymodbus's name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """(bytes used, the answer or None)."""
        listener = self._listener
        if listener.block is None:
            late = valid_frame(data)
            if late is not None:
                listener.note_late(late[0])
            return (0 if late is None and len(data) < MAX_HEARD // 4 else len(data)), None
        listener.heard = data[-MAX_HEARD:]
        found = listener.find_rtu(data)
        if found is None:
            return 0, None
        before = data[: data.rfind(found)]
        if found != listener.asked:
            listener.echoes = bool(listener.asked) and before.startswith(listener.asked)
        earlier = valid_frame(before)
        if earlier is not None and earlier[0] != listener.unit:
            listener.note_late(earlier[0])
        listener.done()
        if found[1] & 0x80:
            return len(data), ExceptionResponse(found[1] & 0x7F, found[2], device_id=found[0])
        listener.body = found[3:-2]
        return len(data), Answer(found[0], found[1], 0)


class StrictMbap(FramerSocket):
    """Modbus/TCP."""

    def __init__(self, decoder: DecodePDU, listener: Listener) -> None:
        super().__init__(decoder)
        self._listener = listener

    def handleFrame(  # noqa: N802 - pymodbus's name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """(bytes used, the answer or None)."""
        listener = self._listener
        used = 0
        while True:
            rest = data[used:] if used else data
            block = listener.block
            listener.heard = rest
            try:
                size = tcp_size(rest)
            except FrameError as exc:
                listener.done()
                return len(data), (
                    Rejected(listener.unit, exc.reason, exc.message) if block else None
                )
            if size is None or len(rest) < size:
                return used, None
            used += size
            behind = exp_tid - int.from_bytes(rest[:2], "big") & 0xFFFF
            if block is not None and behind > RECENT:
                listener.done()
                text = f"transaction {exp_tid - behind & 0xFFFF} answered for {exp_tid}"
                return len(data), Rejected(listener.unit, DriverReason.GARBAGE, text)
            if block is None or behind:
                listener.note_late(rest[6])
                listener.stale = True
                continue
            listener.done()
            return used, self._take(rest[MBAP_SIZE:size], rest[6], exp_tid, block)

    def _take(self, body: bytes, unit: int, transaction: int, block: Expected) -> ModbusPDU:
        listener = self._listener
        asked = listener.unit
        if unit != asked:
            text = f"unit {unit} answered for unit {asked}"
            return Rejected(asked, DriverReason.GARBAGE, text)
        if len(body) == block.size:
            if body.startswith(block.head):
                listener.body = body[2:]
                return Answer(unit, block.function, transaction)
        elif len(body) == 2 and body[0] == block.function | 0x80:
            return ExceptionResponse(block.function, body[1], device_id=unit)
        text = f"not an answer: {body[:16].hex(' ')}"
        return Rejected(asked, DriverReason.GARBAGE, text)
