"""A batch with cells that are no values at all (a list, an object): those cells are taken out, the rest is kept."""

from __future__ import annotations

import zlib

import msgspec

from cloud.ingest.decoded import Letter
from tocsin.contract.codec import HEADER_BYTES, MAX_BODY_BYTES, Header
from tocsin.contract.messages import Batch
from tocsin.errors import WireReason

_SCALARS = (float, int, bool, str, type(None))


def salvage(header: Header, data: bytes) -> tuple[Batch, list[Letter]] | None:
    """The batch without its impossible cells and a letter for each; None when more than cells is wrong.

    Call it after `decode_body` said WRONG_TYPE: the checksum and the deflate stream are sound then.
    """
    loose = loose_body(header, data[HEADER_BYTES:])
    letters: list[Letter] = []
    groups = loose.get("b") if isinstance(loose, dict) else None
    if not isinstance(groups, list):
        return None
    seq = header.first_seq
    for group in groups:
        if not isinstance(group, dict) or not isinstance(group.get("x"), list):
            return None
        _clean(group, seq, header.stream, letters)
        times = group.get("t")
        seq += len(times) if isinstance(times, list) else 0
    try:
        batch = msgspec.convert(loose, Batch)
    except msgspec.ValidationError:
        return None
    if (batch.stream, batch.first_seq, batch.rows) != (
        header.stream,
        header.first_seq,
        header.rows,
    ):
        return None
    return batch, letters


def loose_body(header: Header, body: bytes) -> object:
    """What stands in a body, of whatever types; None where it is no JSON or MessagePack at all."""
    decode = msgspec.json.decode if header.codec[0] == "j" else msgspec.msgpack.decode
    try:
        if header.codec[1] == "d":
            body = zlib.decompressobj(-15).decompress(body, MAX_BODY_BYTES)
        return decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError, zlib.error):
        return None


def _clean(group: dict[str, object], first_seq: int, stream: str, letters: list[Letter]) -> None:
    names = group.get("k")
    columns = group["x"]
    assert isinstance(columns, list)  # noqa: S101 - the caller looked
    for i, cells in enumerate(columns):
        if not isinstance(cells, list):
            continue
        for row, cell in enumerate(cells):
            if isinstance(cell, _SCALARS):
                continue
            cells[row] = None
            quantity = str(names[i])[:64] if isinstance(names, list) and i < len(names) else ""
            letters.append(
                Letter(
                    WireReason.BAD_READING,
                    f"row {row}: {cell!r:.60} is no value",
                    stream,
                    first_seq + row,
                    first_seq + row + 1,
                    str(group.get("d"))[:64],
                    quantity,
                )
            )
