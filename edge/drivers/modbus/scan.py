"""The bytes of a scan's blocks into values and qualities. Pure, and the hot path of the driver."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

import msgspec

from edge.drivers.modbus.plan import Block, plan_blocks
from firmware_bridges.modbus.loop import loop_quality
from firmware_bridges.modbus.pdu import READ_BIT_FUNCTIONS
from firmware_bridges.modbus.profile import Point, Profile
from firmware_bridges.modbus.values import FORMATS, Order, RegisterType, decode_bytes
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel

Number = int | float
Reader = Callable[[Sequence[bytes | None]], Number]


class _Rule(msgspec.Struct, frozen=True):
    """How one point's number becomes a value."""

    block: int
    read: Reader
    type: TypeCode
    missing: frozenset[float]
    fault_mask: int
    warm_up_mask: int
    loop: bool
    scale: float
    offset: float
    decimals: Reader | None


_RECENT = 64
_scans: dict[int, Scan] = {}


def scan_of(profile: Profile) -> Scan:
    """The scan of a profile with the blocks of the plan; one object for all devices that share it."""
    scan = _scans.get(id(profile))
    if scan is None or scan.profile is not profile:
        if len(_scans) >= _RECENT:
            del _scans[next(iter(_scans))]
        scan = _scans[id(profile)] = Scan(profile)
    return scan


class Scan:
    """The blocks of one device and how to decode them. Never changes."""

    def __init__(self, profile: Profile, blocks: tuple[Block, ...] | None = None) -> None:
        self.profile = profile
        self.blocks = blocks or plan_blocks(profile)
        self.channels = tuple(_channel(profile, point) for point in profile.points)
        self._rules = tuple(self._rule(point) for point in profile.points)
        self._fast = self._fast_layout()
        self._has_masks = any(rule.fault_mask | rule.warm_up_mask for rule in self._rules)

    def decode(
        self, bodies: Sequence[bytes | None]
    ) -> tuple[tuple[Value, ...], tuple[int, ...] | None]:
        """Values in the order of the points, and their qualities unless all are good.

        A block that the device refused is None; its points are COMMS.
        """
        fast = self._fast
        if fast is not None and (body := bodies[0]) is not None:
            values = tuple(map(float, fast.unpack(body)))
            if math.isfinite(sum(values)):
                return values, None
        return self._decode_each(bodies)

    def _decode_each(
        self, bodies: Sequence[bytes | None]
    ) -> tuple[tuple[Value, ...], tuple[int, ...] | None]:
        values: list[Value] = []
        quality: list[int] = []
        whole = int(Quality.GOOD)
        for rule in self._rules:
            if bodies[rule.block] is None:
                values.append(None)
                quality.append(int(Quality.COMMS))
                continue
            raw = rule.read(bodies)
            value, code = _judge(rule, raw, bodies)
            values.append(value)
            quality.append(code)
            if self._has_masks and isinstance(raw, int):
                if raw & rule.fault_mask:
                    whole = int(Quality.DEVICE_FAULT)
                elif raw & rule.warm_up_mask and not whole:
                    whole = int(Quality.WARM_UP)
        if whole:
            for i, rule in enumerate(self._rules):
                if not quality[i] and not rule.fault_mask and not rule.warm_up_mask:
                    quality[i] = whole
        return tuple(values), tuple(quality) if any(quality) else None

    def _rule(self, point: Point) -> _Rule:
        block, reader = self._reader(point, point.address)
        decimals = None
        if point.decimals_address is not None:
            plain = Point(
                quantity=point.quantity,
                address=point.decimals_address,
                function=point.function,
                byte_order=point.byte_order,
            )
            _, decimals = self._reader(plain, point.decimals_address)
        return _Rule(
            block=block,
            read=reader,
            type=self.profile.type_code(point),
            missing=frozenset(point.missing),
            fault_mask=point.fault_mask,
            warm_up_mask=point.warm_up_mask,
            loop=point.loop is not None,
            scale=point.scale,
            offset=point.offset,
            decimals=decimals,
        )

    def _reader(self, point: Point, address: int) -> tuple[int, Reader]:
        """(block, function from the blocks' bytes to the number of one point)."""
        index = next(
            i
            for i, block in enumerate(self.blocks)
            if block.function == point.function
            and block.address <= address
            and address + point.registers <= block.address + block.count
        )
        offset = address - self.blocks[index].address
        if point.function in READ_BIT_FUNCTIONS:
            return index, lambda bodies: (bodies[index] or b"")[offset // 8] >> offset % 8 & 1
        start, end = 2 * offset, 2 * (offset + point.registers)
        kind, order = point.type, self.profile.order(point)
        if kind is RegisterType.BIT:
            bit = point.bit or 0
            return (
                index,
                lambda bodies: (
                    int(decode_bytes((bodies[index] or b"")[start:end], RegisterType.U16, order))
                    >> bit
                    & 1
                ),
            )
        if order is Order.ABCD:
            unpack = struct.Struct(">" + FORMATS[kind]).unpack_from
            return index, lambda bodies: unpack(bodies[index] or b"", start)[0]
        return index, lambda bodies: decode_bytes((bodies[index] or b"")[start:end], kind, order)

    def _fast_layout(self) -> struct.Struct | None:
        """One format for the whole scan, where points need nothing but unpacking in their order."""
        if len(self.blocks) != 1 or self.blocks[0].function in READ_BIT_FUNCTIONS:
            return None
        layout, position = ">", self.blocks[0].address
        for point, rule in zip(self.profile.points, self._rules, strict=True):
            plain = not (
                rule.missing or rule.fault_mask or rule.warm_up_mask or rule.loop or rule.decimals
            )
            ordered = self.profile.order(point) is Order.ABCD and point.address >= position
            if not plain or not ordered or rule.type != "f" or point.type is RegisterType.BIT:
                return None
            layout += f"{2 * (point.address - position)}x" + FORMATS[point.type]
            position = point.address + point.registers
        tail = self.blocks[0].address + self.blocks[0].count - position
        return struct.Struct(layout + f"{2 * tail}x")


def _judge(rule: _Rule, raw: Number, bodies: Sequence[bytes | None]) -> tuple[Value, int]:
    """(value, quality) of one number."""
    if raw in rule.missing:
        return None, int(Quality.MISSING)
    if not math.isfinite(raw):
        return None, int(Quality.NOT_FINITE)
    code = Quality.GOOD
    if rule.loop:
        code = loop_quality(raw * rule.scale + rule.offset)
        if code is Quality.SENSOR_FAULT:
            return None, int(code)
    if rule.type == "b":
        return bool(raw), int(code)
    if rule.type == "i":
        return int(raw), int(code)
    if rule.decimals is not None:
        places = int(rule.decimals(bodies))
        if places > 9:
            return None, int(Quality.DEVICE_FAULT)
        return raw / 10**places, int(code)
    return float(raw), int(code)


def _channel(profile: Profile, point: Point) -> Channel:
    kind = profile.type_code(point)
    scale, offset = point.scaling
    if kind == "b":
        scale, offset = 1.0, 0.0
    return Channel(
        quantity=point.quantity, unit=point.value_unit, type=kind, scale=scale, offset=offset
    )
