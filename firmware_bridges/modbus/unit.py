"""One virtual unit: its signals, its registers, and the answers to requests. Pure but for its ledger."""

from __future__ import annotations

from firmware_bridges.ledger import Ledger
from firmware_bridges.modbus.image import RegisterImage
from firmware_bridges.modbus.pdu import (
    READ_BIT_FUNCTIONS,
    Answer,
    Bits,
    ExceptionCode,
    ReadRequest,
    Refused,
    Registers,
    Request,
    Written,
    decode_request,
)
from firmware_bridges.modbus.signals import Signals
from tocsin.errors import FrameError


class VirtualUnit:
    """A device on a line, known by its unit number."""

    def __init__(
        self,
        device: str,
        image: RegisterImage,
        signals: Signals,
        ledger: Ledger,
        limits: dict[str, float] | None = None,
    ) -> None:
        self.device = device
        self.image = image
        self.answered = 0
        self._signals = signals
        self._ledger = ledger
        self._limits = limits or {}
        self._beyond: set[str] = set()
        self.held: dict[str, float] = {}  # what somebody set by hand, instead of what is measured

    def refresh(self, t: float, now_ns: int) -> None:
        """Measures: sets the registers for `t` seconds after start and marks each limit that a register crosses."""
        self.image.update(self._signals(t) | self.held)
        for quantity, limit in self._limits.items():
            value = self.image.value(quantity)
            beyond = isinstance(value, int | float) and value >= limit
            if beyond and quantity not in self._beyond:
                self._beyond.add(quantity)
                self._ledger.mark(
                    "limit-crossed",
                    self.device,
                    now_ns,
                    quantity=quantity,
                    limit=limit,
                    value=value,
                )
            elif not beyond:
                self._beyond.discard(quantity)

    def decode(self, pdu: bytes) -> Request | Refused:
        """The request, or the refusal that an unknown or malformed one gets."""
        try:
            return decode_request(pdu)
        except FrameError:
            known = pdu[0] in (1, 2, 3, 4, 5, 6, 15, 16)
            code = ExceptionCode.ILLEGAL_VALUE if known else ExceptionCode.ILLEGAL_FUNCTION
            return Refused(pdu[0] & 0x7F, code)

    def answer(self, request: Request) -> Answer:
        """What the registers hold now, or why not."""
        function, address = request.function, request.address
        if isinstance(request, ReadRequest):
            found = self.image.read(function, address, request.count)
            if found is None:
                return Refused(function, ExceptionCode.ILLEGAL_ADDRESS)
            if function in READ_BIT_FUNCTIONS:
                return Bits(function, tuple(map(bool, found)))
            return Registers(function, found)
        if not self.image.write(function, address, request.values):
            return Refused(function, ExceptionCode.ILLEGAL_ADDRESS)
        if function == 5:
            return Written(5, address, 0xFF00 if request.values[0] else 0)
        return Written(
            function, address, request.values[0] if function == 6 else len(request.values)
        )

    def record_write(self, request: Request, now_ns: int) -> None:
        """Writes down what was written, whether its answer arrives or not."""
        if not isinstance(request, ReadRequest):
            self._ledger.mark(
                "write",
                self.device,
                now_ns,
                function=request.function,
                address=request.address,
                values=",".join(map(str, request.values)),
            )

    def record(self, request: Request, now_ns: int) -> None:
        """Writes the values that the answer to `request` encodes; call it before the answer leaves."""
        if isinstance(request, ReadRequest):
            values = self.image.values_in(request.function, request.address, request.count)
            if values:
                self._ledger.values(self.device, now_ns, values)
                self.answered += 1

    def mark_fault(self, kind: str, now_ns: int) -> None:
        """Writes that this request gets no sound answer in time."""
        self._ledger.mark("fault", self.device, now_ns, kind=kind)
