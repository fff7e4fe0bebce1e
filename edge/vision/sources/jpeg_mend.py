"""A JPEG that is written wrong although its picture may be whole: what is wrong with it, and the same as it should be written."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge.vision.sources.damage import Damage
from edge.vision.sources.jpeg_scan import BETWEEN, DRI, EOI, MARKER, RESTARTS, SOS

_SOF = frozenset({0xC0, 0xC1})  # sequential, Huffman: what cameras write
_ALONE = frozenset({0x01, *RESTARTS, 0xD8})  # have no length
_OTHER_SOF = frozenset(range(0xC2, 0xD0)) - BETWEEN - {0xC8}
_BLOCK_PX = 8
_MOST_PARTS = 1000  # beside the coded blocks


@dataclass(frozen=True, slots=True)
class Mended:
    """`damage` None: nothing is wrong with it up to its end; what follows there is not its own."""

    data: bytes
    damage: Damage | None


@dataclass(slots=True)
class _Head:
    parts: list[bytes]
    units: int = 0  # of blocks, coded together
    restart_every: int = 0  # of these
    odd: bool = False
    coded_at: int = 0

    @property
    def stretches(self) -> int:
        """Between restarts."""
        return -(-self.units // self.restart_every) if self.restart_every else 1


def mend(data: bytes, max_pixels: int) -> Mended | None:
    """None: not a sequential JPEG of one scan, not as many stretches of coded blocks as its picture has, no end marker behind them, or more pixels.

    Whether each of them has all its blocks is not looked at.
    """
    head = _head(data)
    if head is None or head.units > max_pixels // _BLOCK_PX**2:
        return None
    every = head.restart_every
    found = _stretches(data, head.coded_at, most=head.stretches)
    if found is None:
        return None
    stretches, numbers, rest = found
    if not _ends(rest):
        return None
    damage = Damage.MARKER if head.odd else None
    if numbers and (not every or any(n != i % len(RESTARTS) for i, n in enumerate(numbers))):
        damage = Damage.RESTARTS
    coded = [stretches[0]]
    for i, stretch in enumerate(stretches[1:]):
        coded += [_marker(RESTARTS[i % len(RESTARTS)]), stretch]
    return Mended(b"".join([*head.parts, *coded, _marker(EOI)]), damage)


def lacks_restarts(data: bytes) -> bool:
    """Whether a sequential JPEG of one scan has fewer stretches between restarts than its picture. A decoder that waits for the next restart takes no blocks meanwhile."""
    head = _head(data)
    if head is None or not head.restart_every:
        return False
    at, count = head.coded_at, 0
    for match in MARKER.finditer(data, at):
        if not data[at : match.start()].rstrip(b"\xff"):
            break  # two restarts with nothing between them: as good as missing
        count += 1
        at = match.end()
        if match[1][0] not in RESTARTS or count >= head.stretches:
            break
    return count < head.stretches


def _head(data: bytes) -> _Head | None:
    try:
        return _read_head(data)
    except (struct.error, IndexError):
        return None


def _read_head(data: bytes) -> _Head | None:
    """Up to the coded blocks, without what may not stand there: a decoder passes over it too."""
    head, at, colours = _Head([data[:2]]), 2, 0
    for _ in range(_MOST_PARTS):
        found = MARKER.search(data, at)
        if found is None:
            return None
        marker = found[1][0]
        head.odd |= bool(data[at : found.start()].strip(b"\xff")) or marker in _ALONE
        at = found.end()
        if marker in _ALONE:
            continue
        if marker == EOI or marker in _OTHER_SOF:
            return None
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if len(body) != length - 2:
            return None
        if marker in BETWEEN or marker in _SOF or marker == SOS:
            head.parts.append(data[found.start() : at + length])
        else:
            head.odd = True
        at += length
        if marker in _SOF:
            head.units, colours = _units(body), body[5]
        elif marker == DRI:
            (head.restart_every,) = struct.unpack_from(">H", body)
        elif marker == SOS:
            head.coded_at = at
            return head if head.units and body[0] == colours else None
    return None


def _units(frame: bytes) -> int:
    """ITU-T T.81 A.2: of one colour each block is one, of several as many as the coarsest has in one."""
    rows, columns, colours = (int(n) for n in struct.unpack_from(">HHB", frame, 1))
    factors = [frame[7 + 3 * i] for i in range(colours)]
    wide = high = 1
    if colours > 1:
        wide, high = max(f >> 4 for f in factors), max(f & 15 for f in factors)
    if not (wide and high):
        return 0
    return -(-rows // (_BLOCK_PX * high)) * -(-columns // (_BLOCK_PX * wide))


def _stretches(data: bytes, at: int, most: int) -> tuple[list[bytes], list[int], bytes] | None:
    """The stretches of coded blocks, the numbers of the restarts between them, and what follows; None: there are not `most`."""
    found, numbers, rest = list[bytes](), list[int](), b""
    for match in MARKER.finditer(data, at):
        found.append(data[at : match.start()].rstrip(b"\xff"))
        at, marker = match.end(), match[1][0]
        if marker not in RESTARTS:
            rest = data[match.start() :]
            break
        numbers.append(marker - RESTARTS.start)
        if len(numbers) > most:
            return None
    else:
        found.append(data[at:].rstrip(b"\xff"))
    if not found[-1]:
        del found[-1]  # a restart after the last block
    return (found, numbers, rest) if len(found) == most else None


def _ends(rest: bytes) -> bool:
    """Whether the end marker stands behind the coded blocks: without it, nothing tells them from what a camera filled its buffer up with."""
    at = 0
    for _ in range(_MOST_PARTS):
        found = MARKER.search(rest, at)
        if found is None or rest[at : found.start()].strip(b"\xff"):
            break
        if found[1][0] == EOI:
            return True
        if found[1][0] not in BETWEEN:
            break
        at = found.end() + int.from_bytes(rest[found.end() : found.end() + 2], "big")
    return False


def _marker(code: int) -> bytes:
    return bytes((0xFF, code))
