"""An event as rows: itself in `event`, and the gaps it tells of in `gap`, beside the series they are missing in."""

from __future__ import annotations

import msgspec
import numpy as np

from cloud.stores import Block, Column
from tocsin.contract import topics
from tocsin.contract.gaps import SALVAGED, Gap, gaps_of
from tocsin.contract.messages import Event

EVENT, GAP = "event", "gap"  # measurements


def event_block(event: Event, received_ns: int) -> Block:
    """One row. A clock that was never set knows no time: then it is when the event came, and the claim is kept."""
    unset = event.data.get("clock") == "unset"
    data = {**event.data, "claimed_ns": event.t} if unset else event.data
    return _block(
        EVENT,
        event,
        event.device,
        received_ns if unset else max(event.t, 0),
        {
            "kind": _text(event.kind),
            "text": _text(event.text),
            "data": _text(msgspec.json.encode(data).decode()),
        },
    )


def gap_blocks(event: Event, received_ns: int) -> list[Block]:
    """A row per gap and device, at the time of the first row that is missing (where that is not known, of the event)."""
    reason = "damaged" if event.kind == SALVAGED else "evicted"
    blocks = []
    for n, gap in enumerate(gaps_of(event)):
        first_ns = gap.first_ns if gap.first_ns is not None else min(event.t, received_ns)
        last_ns = gap.last_ns if gap.last_ns is not None else first_ns
        for device, rows in _by_device(gap).items():
            columns = {
                "class": _text(gap.cls),
                "lost_stream": _text(gap.stream),
                "first_seq": _whole(gap.lo),
                "end_seq": _whole(gap.hi),
                "rows": _whole(rows),
                "until_ns": _whole(last_ns),
                "reason": _text(reason),
            }
            # two gaps may begin at one time: rows of a series differ in theirs
            blocks.append(_block(GAP, event, device, max(first_ns, 0) + n, columns))
    return blocks


def _by_device(gap: Gap) -> dict[str, int]:
    """Rows by device; "" is nobody's in particular."""
    found = dict(gap.devices)
    rest = gap.rows - sum(found.values())
    return {**found, "": rest} if rest > 0 else found


def _block(
    measurement: str, event: Event, device: str, time_ns: int, columns: dict[str, Column]
) -> Block:
    return Block(
        measurement=measurement,
        site=event.site,
        device=device if topics.is_name(device) else event.gateway,
        gateway=event.gateway,
        stream=event.stream,
        seq=np.array([event.seq], np.int64),
        time_ns=np.array([time_ns], np.int64),
        columns=columns,
    )


def _text(value: str) -> Column:
    return Column("s", np.array([value], object))


def _whole(value: int) -> Column:
    return Column("i", np.array([value], np.int64))
