"""One message (topic, bytes, time of arrival) to what must be stored, told and acknowledged. No I/O, no clock."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from cloud.ingest.decoded import Decoded, Letter
from cloud.ingest.groups import Place, convert
from cloud.ingest.salvage import salvage
from cloud.stores import LedgerEntry
from tocsin.contract import topics
from tocsin.contract.codec import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    Header,
    decode_body,
    decode_header,
)
from tocsin.contract.evidence import EvidencePart, decode_part
from tocsin.contract.messages import NS_PER_UNIT, VERSION, Alarm, Batch, Event, Health, Resume
from tocsin.contract.ranges import RangeSet
from tocsin.errors import WireError, WireReason

_parse_up = lru_cache(maxsize=8192)(topics.parse_up)
_health = msgspec.json.Decoder(Health)
_resume = msgspec.json.Decoder(Resume)
_Told = TypeVar("_Told", Health, Resume)


class View(Protocol):
    """What the decoder may know of the world."""

    def site_of(self, gateway: str) -> str | None:
        """The registered site; None for a gateway nobody registered."""
        ...

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """The sequence numbers of [lo, hi) that are neither stored nor on their way to the store."""
        ...


def decode(topic: str, payload: bytes, received_ns: int, view: View, max_future_ns: int) -> Decoded:
    """Never raises for what a message holds: what cannot be used is a letter."""
    out = Decoded()
    parsed = _parse_up(topic)
    if parsed is None:
        out.letters.append(Letter(WireReason.WRONG_TOPIC, f"topic {topic!r:.200}"))
        return out
    out.kind, out.site, out.gateway = parsed.kind, parsed.site, parsed.gateway
    site = view.site_of(parsed.gateway)
    if site is None:
        out.letters.append(
            Letter(WireReason.UNKNOWN_GATEWAY, f"gateway {parsed.gateway!r} is not registered")
        )
        return out
    if site != parsed.site:
        out.letters.append(
            Letter(
                WireReason.UNKNOWN_GATEWAY,
                f"gateway {parsed.gateway!r} belongs to site {site!r}, not {parsed.site!r}",
            )
        )
        return out
    try:
        if parsed.kind == "state":
            out.online = payload == b"online"
        elif parsed.kind in topics.JOURNALLED:
            _journalled(payload, received_ns, view, max_future_ns, out)
        elif parsed.kind == topics.HEALTH:
            out.health = _direct(payload, _health, out)
        elif parsed.kind == topics.RESUME:
            out.resume = _direct(payload, _resume, out)
        elif parsed.kind == topics.EVIDENCE:
            out.part = _part(payload, out)
        else:
            raise WireError(WireReason.WRONG_TOPIC, f"class {parsed.kind!r:.60}")
    except WireError as exc:
        out.letters.append(Letter(exc.reason, exc.detail))
    return out


def _direct(payload: bytes, decoder: msgspec.json.Decoder[_Told], out: Decoded) -> _Told:
    try:
        told = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(WireReason.BAD_BODY, str(exc)) from exc
    if told.v != VERSION:
        raise WireError(WireReason.WRONG_VERSION, f"version {told.v}, this is {VERSION}")
    _same_sender(told.site, told.gateway, out)
    return told


def _part(payload: bytes, out: Decoded) -> EvidencePart:
    try:
        part = decode_part(payload)
    except (ValueError, RecursionError) as exc:
        raise WireError(WireReason.BAD_BODY, str(exc)) from exc
    _same_sender(part.site, part.gateway, out)
    return part


def _same_sender(site: str, gateway: str, out: Decoded) -> None:
    if (site, gateway) != (out.site, out.gateway):
        raise WireError(
            WireReason.WRONG_TOPIC,
            f"the body says {site}/{gateway}, the topic {out.site}/{out.gateway}",
        )


def _journalled(
    payload: bytes, received_ns: int, view: View, max_future_ns: int, out: Decoded
) -> None:
    header = _header(payload)
    lo, hi = header.first_seq, header.first_seq + header.rows
    out.stream = header.stream
    if header.rows == 0:
        out.count("empty")
        return
    missing = view.missing(out.gateway, header.stream, lo, hi)
    new = sum(b - a for a, b in missing)
    if new < header.rows:
        out.count("duplicates", header.rows - new)
        out.again.append(LedgerEntry(out.gateway, header.stream, lo, hi))
    if not new:
        return
    try:
        if len(payload) > MAX_MESSAGE_BYTES:
            raise WireError(
                WireReason.OVERSIZED, f"{len(payload)} bytes, {MAX_MESSAGE_BYTES} allowed"
            )
        if out.kind == topics.TELEMETRY:
            _telemetry(header, payload, received_ns, missing, max_future_ns, out)
        else:
            _single(header, payload, out)
    except WireError as exc:
        out.letters.append(Letter(exc.reason, exc.detail, header.stream, lo, hi))
        if exc.reason is WireReason.BAD_CRC:
            return  # the header itself may lie: settle nothing
        out.ledger += [
            LedgerEntry(out.gateway, header.stream, a, b, rejected=True) for a, b in missing
        ]
        return
    out.rows = new
    _settle(header.stream, missing, out)


def _header(payload: bytes) -> Header:
    """An oversized message is still told by its header which numbers it had."""
    return decode_header(payload if len(payload) <= MAX_MESSAGE_BYTES else payload[:HEADER_BYTES])


def _telemetry(
    header: Header,
    payload: bytes,
    received_ns: int,
    missing: list[tuple[int, int]],
    max_future_ns: int,
    out: Decoded,
) -> None:
    try:
        batch = decode_body(header, payload, Batch)
    except WireError as exc:
        saved = salvage(header, payload) if exc.reason is WireReason.WRONG_TYPE else None
        if saved is None:
            raise
        batch, letters = saved
        out.letters += letters
    _same_sender(batch.site, batch.gateway, out)
    seq = header.first_seq
    whole = missing == [(seq, seq + header.rows)]
    for group in batch.groups:
        n = len(group.times)
        if not n:
            continue
        keep = None if whole else _rows_in(missing, seq, n)
        if keep is None or len(keep):
            place = Place(
                out.site,
                out.gateway,
                header.stream,
                seq,
                batch.t0,
                NS_PER_UNIT[batch.tu],
                received_ns,
                max_future_ns,
            )
            convert(group, place, keep, out)
        seq += n


def _rows_in(
    missing: list[tuple[int, int]], first: int, n: int
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    wanted = np.zeros(n, np.bool_)
    for lo, hi in missing:
        wanted[max(lo - first, 0) : max(hi - first, 0)] = True
    return np.flatnonzero(wanted)


def _single(header: Header, payload: bytes, out: Decoded) -> None:
    if out.kind == topics.ALARM:
        out.alarm = decode_body(header, payload, Alarm)
        _same_sender(out.alarm.site, out.alarm.gateway, out)
        if not topics.is_name(out.alarm.device):
            alarm, out.alarm = out.alarm, None
            raise WireError(WireReason.BAD_SHAPE, f"device {alarm.device!r:.80} is no name")
    else:
        out.event = decode_body(header, payload, Event)
        _same_sender(out.event.site, out.event.gateway, out)


def _settle(stream: str, missing: list[tuple[int, int]], out: Decoded) -> None:
    """What is new is settled; whole rows that became letters are settled as rejected."""
    refused = RangeSet(
        (letter.lo, letter.hi)
        for letter in out.letters
        if letter.reason is WireReason.BAD_SHAPE and letter.stream == stream
    )
    for lo, hi in missing:
        at = lo
        for a, b in refused.missing(lo, hi):
            if a > at:
                out.ledger.append(LedgerEntry(out.gateway, stream, at, a, rejected=True))
            out.ledger.append(LedgerEntry(out.gateway, stream, a, b))
            at = b
        if at < hi:
            out.ledger.append(LedgerEntry(out.gateway, stream, at, hi, rejected=True))
