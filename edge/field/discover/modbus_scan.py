"""Looks for the units of a Modbus line: which answer, to what, as whom, and which profile may be theirs."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence

import msgspec

from edge.drivers.modbus.plan import Block, plan_blocks
from edge.field.discover.modbus_fit import Fit, fit, rank
from edge.field.discover.modbus_wire import Setting, Wire
from firmware_bridges.modbus.profiles import load_profile, profile_names
from tocsin.errors import LinkError

Say = Callable[[str], None]
_GATEWAY_SAYS_NO = (10, 11)  # exceptions of a gateway whose unit does not answer (V1.1b3, 7)
_IDENTITY = ("vendor", "product", "revision")
_NO_DEVICE = ("bench-40",)  # profiles that describe no instrument
_LONGEST_IDENTITY = 60


class Unit(msgspec.Struct, frozen=True):
    """A unit that answers. `functions`: what it said to a read of one register with function 3 and 4."""

    unit: int
    baudrate: int
    parity: str
    functions: dict[str, str]
    identity: dict[str, str]
    fits: list[Fit]


class Found(msgspec.Struct, frozen=True):
    """What a search came to. `noise`: settings at which something was heard that is no Modbus."""

    target: str
    complete: bool
    seconds: float
    units: list[Unit]
    noise: list[str]


class Search(msgspec.Struct, frozen=True):
    """Where and how long to look. On a network `settings` is one without a baud rate."""

    target: str
    units: Sequence[int]
    settings: Sequence[Setting]
    rtu: bool
    timeout_s: float
    limit_s: float
    every_setting: bool

    @property
    def longest_s(self) -> float:
        """The most it may take before the limit ends it: two silent questions to each unit."""
        return len(self.settings) * len(self.units) * 2 * self.timeout_s


async def search(plan: Search, say: Say) -> Found:
    """Ask every unit at every setting until one setting has brought any.

    Raises:
        LinkError: the port cannot be opened, or is gone.
    """
    began = time.monotonic()
    units: list[Unit] = []
    noise: list[str] = []
    complete = True
    for setting in plan.settings:
        say(f"{plan.target}: {setting.text}")
        try:
            wire = await Wire.open(plan.target, setting, rtu=plan.rtu, timeout_s=plan.timeout_s)
        except LinkError as exc:
            if setting is plan.settings[0]:
                raise
            say(f"  left out: {exc.message}")
            continue
        try:
            for number in plan.units:
                if time.monotonic() - began > plan.limit_s:
                    complete = False
                    break
                unit = await _look_at(wire, number, setting)
                if unit is not None:
                    say(
                        f"  unit {number} answers"
                        + (f": {unit.fits[0].profile}?" if unit.fits else "")
                    )
                    units.append(unit)
        finally:
            wire.close()
        if wire.noise:
            noise.append(f"{setting.text}: {wire.noise} bytes that are no answer")
        if not complete or (units and not plan.every_setting):
            break
    return Found(plan.target, complete, round(time.monotonic() - began, 1), units, noise)


async def _look_at(wire: Wire, number: int, setting: Setting) -> Unit | None:
    functions: dict[str, str] = {}
    for function in (3, 4):
        answer = await wire.ask(number, struct.pack(">BHH", function, 0, 1))
        if answer is None or (answer[0] & 0x80 and answer[1] in _GATEWAY_SAYS_NO):
            continue
        functions[str(function)] = f"exception {answer[1]}" if answer[0] & 0x80 else "answers"
    if not functions:
        return None
    return Unit(
        number,
        setting.baudrate,
        setting.parity,
        functions,
        await _identity(wire, number),
        await _fits(wire, number),
    )


async def _identity(wire: Wire, number: int) -> dict[str, str]:
    """Device identification, basic objects (function 43, MEI type 14; V1.1b3, 6.21)."""
    answer = await wire.ask(number, b"\x2b\x0e\x01\x00")
    if answer is None or len(answer) < 7 or answer[:2] != b"\x2b\x0e":
        return {}
    found: dict[str, str] = {}
    at = 7
    for _ in range(answer[6]):
        if at + 2 > len(answer):
            break
        name, size = answer[at], answer[at + 1]
        text = answer[at + 2 : at + 2 + size].decode("utf-8", "replace")
        if name < len(_IDENTITY):
            found[_IDENTITY[name]] = "".join(c for c in text if c.isprintable())[
                :_LONGEST_IDENTITY
            ].strip()
        at += 2 + size
    return found


async def _fits(wire: Wire, number: int) -> list[Fit]:
    profiles = [load_profile(name) for name in profile_names() if name not in _NO_DEVICE]
    asked: dict[Block, bytes | None] = {}
    for profile in profiles:
        for block in plan_blocks(profile):
            if block not in asked:
                pdu = struct.pack(">BHH", block.function, block.address, block.count)
                answer = await wire.ask_twice(number, pdu)
                asked[block] = answer[2:] if answer and not answer[0] & 0x80 else None
    fits = (fit(profile, asked) for profile in profiles)
    return rank([one for one in fits if one is not None])
