"""Which blocks of registers one scan of a device reads."""

from __future__ import annotations

import msgspec

from firmware_bridges.modbus.pdu import MAX_BITS, READ_BIT_FUNCTIONS
from firmware_bridges.modbus.profile import Profile


class Block(msgspec.Struct, frozen=True):
    """One read request."""

    function: int
    address: int
    count: int

    @property
    def answer_bytes(self) -> int:
        """Data bytes of its answer."""
        return (self.count + 7) // 8 if self.function in READ_BIT_FUNCTIONS else 2 * self.count

    @property
    def head(self) -> bytes:
        """How the PDU of its answer begins."""
        return bytes((self.function, self.answer_bytes))

    @property
    def size(self) -> int:
        """Bytes of that PDU."""
        return 2 + self.answer_bytes


class Written(msgspec.Struct, frozen=True):
    """What the device answers to a write: the whole PDU is known beforehand."""

    function: int
    head: bytes

    @property
    def size(self) -> int:
        """Bytes of that PDU."""
        return len(self.head)


Expected = Block | Written


def plan_blocks(profile: Profile) -> tuple[Block, ...]:
    """The fewest blocks that hold every point whole, reading across no wider gap than the profile allows."""
    blocks: list[Block] = []
    for function, start, end in _spans(profile):
        most = MAX_BITS if function in READ_BIT_FUNCTIONS else profile.profile.max_registers
        if blocks:
            last = blocks[-1]
            reach = max(end, last.address + last.count)
            near = start - (last.address + last.count) <= profile.profile.max_gap
            if last.function == function and near and reach - last.address <= most:
                blocks[-1] = Block(function, last.address, reach - last.address)
                continue
        blocks.append(Block(function, start, end - start))
    return tuple(blocks)


def split(profile: Profile, block: Block) -> tuple[Block, ...]:
    """A block that was refused in smaller ones: without its gaps, or, where it has none, point by point.

    Empty where it is one point.
    """
    near: list[Block] = []
    alone: list[Block] = []
    for function, start, end in _spans(profile):
        if function == block.function and block.address <= start < block.address + block.count:
            _add(near, Block(function, start, end - start), touching=True)
            _add(alone, Block(function, start, end - start), touching=False)
    found = near if len(near) > 1 else alone
    return tuple(found) if len(found) > 1 else ()


def _add(blocks: list[Block], block: Block, *, touching: bool) -> None:
    """Adds `block`, or widens the last one where they overlap (or touch)."""
    end = block.address + block.count
    if blocks:
        last = blocks[-1]
        last_end = last.address + last.count
        if block.address < last_end + touching:
            blocks[-1] = Block(last.function, last.address, max(end, last_end) - last.address)
            return
    blocks.append(block)


def _spans(profile: Profile) -> list[tuple[int, int, int]]:
    """(function, first, after the last) of all that the points read, in order."""
    spans: list[tuple[int, int, int]] = []
    for point in profile.points:
        spans.append((point.function, point.address, point.address + point.registers))
        if point.decimals_address is not None:
            spans.append((point.function, point.decimals_address, point.decimals_address + 1))
    return sorted(spans)


def sync_block(profile: Profile, blocks: tuple[Block, ...]) -> Block:
    """A small read whose answer cannot be taken for the answer of any block: its length is another.

    It begins inside a wide value where there is one, so that it reads no quantity whole.
    """
    wide = next((p for p in profile.points if p.registers > 1), None)
    function = wide.function if wide else blocks[0].function
    address = wide.address if wide else blocks[0].address
    lengths = {block.answer_bytes for block in blocks if block.function == function}
    count = 1
    while Block(function, address, count).answer_bytes in lengths:
        count += 1
    return Block(function, address, count)
