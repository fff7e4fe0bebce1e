"""Fields that a newer sender tells and this cloud does not know: ignored, but not in silence."""

from __future__ import annotations

import msgspec

from cloud.ingest.decoded import Decoded
from tocsin.contract import topics
from tocsin.contract.codec import Body, decode_header
from tocsin.contract.messages import Alarm, Batch, Event, Health, Resume
from tocsin.contract.unknown import unknown_fields, unknown_in_json
from tocsin.errors import WireError

EVERY_MESSAGES = 10_000  # of a stream; the generic decode that this needs is too dear for each
MAX_STREAMS = 50_000
MAX_NAMES = 100
MAX_NAME = 80
_BODIES: dict[str, type[Body]] = {
    topics.TELEMETRY: Batch,
    topics.ALARM: Alarm,
    topics.EVENT: Event,
}
_DIRECT: dict[str, type[Health | Resume]] = {topics.HEALTH: Health, topics.RESUME: Resume}


class UnknownFields:
    """Looks at the first message of each stream, and at one in `EVERY_MESSAGES` after it. One thread writes."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}  # "telemetry: b.note" -> times seen, the first `MAX_NAMES`
        self._left: dict[tuple[str, str], int] = {}

    def passes(self, gateway: str, stream: str) -> bool:
        """Whether a message of a stream need not be looked at; otherwise it is the turn of `look`."""
        key = gateway, stream
        left = self._left.get(key, 0)
        if left:
            self._left[key] = left - 1
        return left > 0

    def look(self, got: Decoded, payload: bytes) -> int:
        """How many unknown fields were found in a message that was understood; 0 when it was not its turn."""
        key = got.gateway, got.stream or got.kind
        left = self._left.get(key, 0)
        if left:
            self._left[key] = left - 1
            return 0
        if got.letters or not (got.rows or got.health or got.resume):
            return 0
        if len(self._left) >= MAX_STREAMS:
            self._left.clear()
        self._left[key] = EVERY_MESSAGES - 1
        found = _found(got, payload)
        for field, n in found.items():
            name = f"{got.kind}: {field[:MAX_NAME]}"
            if name in self.names or len(self.names) < MAX_NAMES:
                self.names[name] = self.names.get(name, 0) + n
        return sum(found.values())


def _found(got: Decoded, payload: bytes) -> dict[str, int]:
    try:
        if got.kind in _BODIES:
            return unknown_fields(decode_header(payload), payload, _BODIES[got.kind])
        return unknown_in_json(payload, _DIRECT[got.kind])
    except (WireError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return {}  # what was skipped need not be well formed
