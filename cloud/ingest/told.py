"""What an ingester tells the cloud of the values it stored: for screens and presence, never for the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from cloud.ingest.last import Last
from tocsin.errors import WireError, WireReason

ROWS_PER_MESSAGE = 500
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
