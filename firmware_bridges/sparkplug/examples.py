"""Messages of a Sparkplug B node: for fuzzing."""

from __future__ import annotations

from functools import cache

from firmware_bridges.sparkplug.host import Host
from firmware_bridges.sparkplug.node import EdgeNode, Message, Point, Told
from firmware_bridges.sparkplug.topics import Topic
from tocsin.errors import CodecError
from tocsin.sdk.codec import Examples, Feed, FrameInput

_POINTS = (
    Point("level", "m", "f"),
    Point("strokes", "1", "i"),
    Point("running", "1", "b"),
    Point("recipe", "1", "s"),
)
_AT_MS = 1_795_600_000_000


@cache
def _messages() -> list[Message]:
    node = EdgeNode("plant", "gw-1", {"pump": _POINTS})
    row = Told("pump", _AT_MS, (1.25, -7, True, "A"), (False, True, False, False))
    empty = Told("pump", _AT_MS + 500, (None, 8, None, None))
    will = node.begin(_AT_MS)
    births = node.births(_AT_MS, [row])
    return [*births, node.data(row, _AT_MS), node.data(empty, _AT_MS, historical=True), will]


def examples() -> Examples:
    """Births, data, history and death of a node with one device."""
    frames = tuple(FrameInput(data) for _, data in _messages())
    return Examples(frames, None, (_stream,))


def _stream() -> Feed:
    """A host that has heard the births, to which the bytes come as each type of message."""
    host = Host()
    for topic, data in _messages()[:2]:
        host.receive(topic, data, _AT_MS * 1_000_000)
    topics = [Topic("plant", "NBIRTH", "gw-1")]
    topics += [Topic("plant", kind, "gw-1", "pump") for kind in ("DBIRTH", "DDATA")]

    def feed(data: bytes) -> object:
        found: list[object] = []
        for topic in topics:
            try:
                found.append(host.receive(str(topic), data, _AT_MS * 1_000_000))
            except CodecError as error:
                found.append(error)
        return found

    return feed
