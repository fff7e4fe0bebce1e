"""Which lane of the log a message takes, and the name under which it is the same message again. Pure.

A lane is a run of neighbouring buckets, so that the rows of one gateway stay in order and with one ingester.
"""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.contract import topics
from tocsin.contract.codec import check_crc, decode_header
from tocsin.errors import WireError


def lane_of(topic: str, lanes: int) -> int:
    """0..lanes-1."""
    return topics.bucket(topics.gateway_of(topic)) * lanes // topics.BUCKETS


def lanes_of(buckets: Iterable[int] | None, lanes: int) -> list[int]:
    """The lanes that these buckets (None: all) make up.

    Raises:
        ValueError: a lane is cut in two.
    """
    owned = set(range(topics.BUCKETS) if buckets is None else buckets)
    width = topics.BUCKETS // lanes
    found = []
    for lane in range(lanes):
        mine = owned.intersection(range(lane * width, (lane + 1) * width))
        if mine and len(mine) < width:
            raise ValueError(
                f"buckets {lane * width}-{(lane + 1) * width - 1} are one lane of the log: all or none of them"
            )
        if mine:
            found.append(lane)
    return found


def message_id(topic: str, payload: bytes) -> str | None:
    """`gateway:stream:seq`; None for bytes that are not what their header says: nothing may pass for a repeat of them."""
    try:
        header = decode_header(payload)
        check_crc(header, payload)
    except WireError:
        return None
    return f"{topics.gateway_of(topic)}:{header.stream}:{header.first_seq}"
