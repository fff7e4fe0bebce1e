"""A dead letter in words: what was found, what the message says as far as it can be read, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.ingest.salvage import loose_body
from cloud.query.formats import iso_time
from tocsin.contract import topics
from tocsin.contract.codec import HEADER_BYTES, Header, decode_header
from tocsin.contract.messages import NS_PER_UNIT
from tocsin.errors import WireError, WireReason

MAX_TEXT_CHARS = 200

_RESENT = "its gateway sends it again by itself, so drop the letter"
_SOFTWARE = "update the gateway's software; requeue only after the cloud was updated to one that reads it, else drop the letter"
MENDS: dict[WireReason, str] = {
    WireReason.TRUNCATED: f"It was cut on its way: {_RESENT}.",
    WireReason.OVERSIZED: "Make the gateway send smaller messages (outbox.commit_rows), and drop the letter.",
    WireReason.BAD_MAGIC: "No gateway of ours wrote this: find the client that publishes to this topic, and drop the letter.",
    WireReason.WRONG_VERSION: "Update the cloud to one that knows this version, then requeue.",
    WireReason.BAD_HEADER: f"Its header is no header: {_SOFTWARE}.",
    WireReason.BAD_CRC: f"It was damaged on its way: {_RESENT}; where it comes again and again the gateway's storage is damaged.",
    WireReason.BAD_DEFLATE: f"Its compressed part cannot be unpacked: {_SOFTWARE}.",
    WireReason.BAD_BODY: f"Its body is no JSON or MessagePack: {_SOFTWARE}.",
    WireReason.WRONG_TYPE: f"A part of it has another type than the schema says: {_SOFTWARE}.",
    WireReason.BAD_SHAPE: f"Its columns, rows or names do not fit together: {_SOFTWARE}.",
    WireReason.HEADER_MISMATCH: f"Header and body tell of different numbers: {_SOFTWARE}.",
    WireReason.WRONG_TOPIC: "Topic and body name different senders, or the topic is none of ours: look at the broker's access rules and the gateway's id, and drop the letter.",
    WireReason.UNKNOWN_GATEWAY: "Name the gateway with this site in cloud.toml and restart the cloud; the gateway then sends it again, or requeue.",
    WireReason.BAD_READING: "Correct the quantity's type in the gateway's driver or profile; the value here cannot be believed, so drop the letter, or requeue it if the catalogue was changed to fit.",
    WireReason.FUTURE_TIME: "Set the gateway's clock, and drop the letter.",
    WireReason.UNDIGESTIBLE: "It ended the ingester each time it was handed out: report it with its bytes (`show`); after an update of the cloud requeue it, else drop the letter.",
    WireReason.STORE_REJECTED: "Mend what the store says, then requeue.",
}  # fmt: skip
_STORE_MENDS = (  # a word of the store's own reason -> what helps
    ("type-conflict", "The store holds this quantity with another type: correct the driver or profile for new readings, or drop the field in the store and requeue."),
    ("too-many-columns", "Raise max_columns in [store] and restart the cloud, then requeue."),
    ("too-many-measurements", "Raise max_measurements in [store] and restart the cloud, then requeue."),
    ("retention policy", "The rows are older than the bucket keeps: lengthen its retention and requeue, or drop the letter."),
    ("not-finite", "NaN and infinity are no readings: nothing can be mended, drop the letter."),
    ("archived already", "The row lies in a cold file and cannot change: drop the letter."),
    ("influxdb-413", "One row alone is too large for InfluxDB: raise its limit for a request, then requeue."),
)  # fmt: skip


class Explanation(msgspec.Struct, frozen=True):
    """As `tocsin deadletters explain --json` prints it."""

    id: int
    found: str
    mend: str
    message: dict[str, object] | None  # what its header says
    line: dict[str, object] | None  # the first row that the letter is about
    cell: dict[str, object] | None  # the value that the letter is about


def explain(letter: Mapping[str, Any]) -> Explanation:
    """Of a letter as the spine tells it, with its payload."""
    reason = WireReason(letter["reason"])
    header, body = _read(letter["payload"])
    row = _row(body, header, letter) if header is not None and isinstance(body, dict) else None
    quantity = letter["quantity"]
    cell = None
    if row is not None and quantity in row["values"]:
        cell = {"quantity": quantity, "value": row["values"][quantity]}
    return Explanation(
        letter["id"],
        _found(letter, cell),
        _mend(reason, letter),
        _message(letter, header),
        row,
        cell,
    )


def _found(letter: Mapping[str, Any], cell: dict[str, object] | None) -> str:
    what = f"{letter['device']} {letter['quantity']}".strip()
    if cell is not None:
        what += f" = {cell['value']!r:.60}"
    span = letter["hi"] - letter["lo"]
    numbers = (
        f"number {letter['lo']}" if span == 1 else f"numbers {letter['lo']} to {letter['hi'] - 1}"
    )
    where = ", ".join(part for part in (what, numbers if span else "") if part)
    return f"{letter['reason']}{f' ({where})' if where else ''}: {letter['detail']}"


def _mend(reason: WireReason, letter: Mapping[str, Any]) -> str:
    if len(letter["payload"]) != letter["payload_bytes"]:
        return f"{MENDS[reason]} (It was too large to be kept whole and cannot be requeued.)"
    if reason is WireReason.STORE_REJECTED:
        return next(
            (help_ for word, help_ in _STORE_MENDS if word in letter["detail"]), MENDS[reason]
        )
    return MENDS[reason]


def _message(letter: Mapping[str, Any], header: Header | None) -> dict[str, object] | None:
    if header is None:
        return None
    parsed = topics.parse_up(letter["topic"])
    return {
        "class": parsed.kind if parsed else "",
        "codec": header.codec,
        "stream": header.stream,
        "first": header.first_seq,
        "rows": header.rows,
    }


def _read(payload: bytes) -> tuple[Header | None, object]:
    try:
        header = decode_header(payload)
    except WireError:
        return None, None
    return header, loose_body(header, payload[HEADER_BYTES:])


def _row(body: dict[Any, Any], header: Header, letter: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row with the letter's first number, whatever stands in it."""
    at = header.first_seq
    groups = body.get("b")
    for group in groups if isinstance(groups, list) else ():
        if not isinstance(group, dict):
            return None
        times, names, columns = (group.get(key) for key in ("t", "k", "x"))
        if (
            not isinstance(times, list)
            or not isinstance(names, list)
            or not isinstance(columns, list)
        ):
            return None
        index = letter["lo"] - at
        at += len(times)
        if 0 <= index < len(times):
            cells = [c[index] if isinstance(c, list) and index < len(c) else None for c in columns]
            return {
                "number": letter["lo"],
                "time": _time(body, times[index]),
                "device": _short(group.get("d")),
                "measurement": _short(group.get("m")),
                "values": {str(n): _short(c) for n, c in zip(names, cells, strict=False)},
            }
    return None


def _time(body: dict[Any, Any], offset: object) -> str | None:
    t0, unit = body.get("t0"), NS_PER_UNIT.get(body.get("tu", "ns"))
    if not isinstance(t0, int) or not isinstance(offset, int) or unit is None:
        return None
    time_ns = t0 + offset * unit
    return f"{iso_time(time_ns)}Z" if 0 <= time_ns < 2**63 else None


def _short(value: object) -> object:
    plain = value is None or isinstance(value, bool | int | float)
    return value if plain else str(value)[:MAX_TEXT_CHARS]
