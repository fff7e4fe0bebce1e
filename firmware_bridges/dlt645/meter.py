"""The virtual meter's mind: what it measures, and how it answers a request. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from firmware_bridges.dlt645.frames import Frame, Function
from firmware_bridges.dlt645.identifiers import meaning, members
from firmware_bridges.dlt645.values import number, write
from tocsin.errors import CodecError

ANY = "a" * 12
_NO_SUCH_DATA = b"\x02"
_ANSWER, _MORE, _REFUSED = 0x80, 0x20, 0x40


class Answered(msgspec.Struct, frozen=True):
    """The answer to one request, and the values it told by data identifier, in the standard's units."""

    frame: Frame
    values: dict[str, float | None]


class Meter:
    """One three-phase meter whose load rises and falls. `part_bytes`: longer data goes in several frames."""

    def __init__(self, address: str, *, seed: int = 0, part_bytes: int = 192) -> None:
        self.address = address.rjust(12, "0")
        self._seed, self._part_bytes = seed, part_bytes
        self._energy_kwh = 1000.0 + seed

    def answer(self, request: Frame, elapsed_s: float) -> Answered | None:
        """What it answers; None if it is not asked, or the request is no reading."""
        if request.from_slave or request.address not in (self.address, ANY):
            return None
        if request.function == Function.READ_ADDRESS:
            return Answered(self._frame(request, bytes.fromhex(self.address)[::-1]), {})
        if request.function in (Function.READ, Function.READ_1997):
            size = 4 if request.function == Function.READ else 2
            return self._read(request, size, 0, elapsed_s)
        if request.function == Function.READ_MORE and len(request.data) == 5:
            return self._read(request, 4, request.data[4], elapsed_s)
        if request.address == ANY:
            return None  # what is told to all is not answered
        return Answered(self._frame(request, _NO_SUCH_DATA, _REFUSED), {})

    def _read(self, request: Frame, size: int, part: int, elapsed_s: float) -> Answered | None:
        di = request.data[:size][::-1]
        if len(di) != size:
            return None
        values: dict[str, float | None] = {}
        data = b""
        for one in [di] if meaning(di) else members(di):
            raw = self._value(one, elapsed_s)
            told = meaning(one)
            if raw is not None and told is not None:
                data += raw
                values[one.hex()] = number(raw[::-1], told)
        if not data:
            return Answered(self._frame(request, _NO_SUCH_DATA, _REFUSED), {})
        piece = data[part * self._part_bytes : (part + 1) * self._part_bytes]
        more = _MORE if len(data) > (part + 1) * self._part_bytes else 0
        tail = bytes((part,)) if part else b""
        return Answered(self._frame(request, request.data[:size] + piece + tail, more), values)

    def _frame(self, request: Frame, data: bytes, flags: int = 0) -> Frame:
        return Frame(self.address, request.function | _ANSWER | flags, data, request.preamble)

    def _value(self, di: bytes, elapsed_s: float) -> bytes | None:
        told = meaning(di)
        if told is None or told.form != "number":
            return None
        base = told.name.removesuffix("_a").removesuffix("_b").removesuffix("_c")
        make = self._signals().get(base)
        if make is None or (di[0] == 0 and (di[2] > 4 or di[3])):
            return None
        phase = "abc".find(told.name[-1]) if base != told.name else -1
        try:
            return write(make(elapsed_s, phase), told)
        except CodecError:
            return None

    def _signals(self) -> dict[str, Callable[[float, int], float]]:
        def load_w(t: float, phase: int) -> float:
            share = 1.0 if phase < 0 else (0.5, 0.3, 0.2)[phase]
            return share * (
                3000.0 + 900.0 * math.sin(t / 11 + self._seed) - 4000.0 * (self._seed % 2)
            )

        def voltage(t: float, phase: int) -> float:
            return 228.0 + max(phase, 0) + 2.0 * math.sin(t / 5 + self._seed)

        return {
            "energy_active_forward": lambda t, _: self._energy_kwh + t / 100.0,
            "energy_active_reverse": lambda _, __: 12.34,
            "energy": lambda t, _: self._energy_kwh + t / 100.0,
            "voltage": voltage,
            "current": lambda t, phase: load_w(t, phase) / voltage(t, phase),
            "power": lambda t, phase: load_w(t, phase) / 1000.0,
            "power_factor": lambda _, __: 0.95,
            "frequency": lambda t, _: 50.0 + 0.02 * math.sin(t / 3),
            "temperature": lambda _, __: -5.5,
        }
