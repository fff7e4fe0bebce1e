"""What nodes beside the cloud tell it: last values that were stored (for screens), and what the log holds (for the audit)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from cloud.ingest.last import Last
from tocsin.errors import WireError, WireReason

ROWS_PER_MESSAGE = 500


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """Numbers [lo, hi) of a stream that the log holds or held."""

    gateway: str
    stream: str
    lo: int
    hi: int


_logged = msgspec.json.Decoder(list[Logged])
_decoder = msgspec.json.Decoder(list[Last])


def encode_told(values: Iterable[Last]) -> Iterator[bytes]:
    """Messages that hold `values`."""
    left = iter(values)
    while part := list(islice(left, ROWS_PER_MESSAGE)):
        yield msgspec.json.encode(part)


def decode_told(payload: bytes) -> list[Last]:
    """The values of one message.

    Raises:
        WireError: it is none.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(WireReason.BAD_BODY, str(exc)) from exc


def encode_logged(ranges: Iterable[Logged]) -> Iterator[bytes]:
    """Messages that hold `ranges`."""
    left = iter(ranges)
    while part := list(islice(left, ROWS_PER_MESSAGE)):
        yield msgspec.json.encode(part)


def decode_logged(payload: bytes) -> list[Logged]:
    """The ranges of one message.

    Raises:
        WireError: it is none.
    """
    try:
        return _logged.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(WireReason.BAD_BODY, str(exc)) from exc
