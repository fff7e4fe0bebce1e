"""What a host application knows of edge nodes (Sparkplug B 3.0, 5.2 to 5.9). Pure: message in, outcome out."""

from __future__ import annotations

import msgspec

from firmware_bridges.mqtt.report import Report
from firmware_bridges.sparkplug.payload import DataType, Metric, Payload, decode
from firmware_bridges.sparkplug.payload import encode as encode_payload
from firmware_bridges.sparkplug.topics import Topic, parse
from tocsin.contract.catalogue import Value
from tocsin.errors import CodecError, CodecReason

MAX_NODES = 10_000
ASK_AGAIN_NS = 10 * 10**9
BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"


class Outcome(msgspec.Struct, frozen=True):
    """What a message means. `ask` are nodes to ask for a rebirth; `dead` and `born` name sources; `unknown` counts
    metrics that nobody can name before that rebirth."""

    reports: tuple[Report, ...] = ()
    ask: Topic | None = None
    dead: tuple[str, ...] = ()
    born: tuple[str, ...] = ()
    unknown: int = 0


class _Node:
    def __init__(self) -> None:
        self.online = False
        self.seq = 0
        self.bd_seq: int | None = None
        self.aliases: dict[int, tuple[str, int | None]] = {}  # alias -> name, datatype
        self.types: dict[tuple[str, str], int | None] = {}  # (source, name) -> datatype
        self.devices: set[str] = set()
        self.asked_ns = -ASK_AGAIN_NS

    def follows(self, seq: int | None) -> bool:
        """Take the message's number; whether it is the one that was due."""
        due = (self.seq + 1) % 256
        if seq is not None:
            self.seq = seq
        return seq == due


class Host:
    """Births, aliases and sequence numbers of every node that was heard."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}

    def receive(self, topic: str, data: bytes, now_ns: int) -> Outcome:
        """What the message says; `now_ns` any clock that only goes on.

        Raises:
            CodecError: not a Sparkplug message.
        """
        place = parse(topic)
        if place is None or place.type in ("NCMD", "DCMD"):
            return Outcome()
        payload = decode(data)
        key = place.group, place.node
        node = self._nodes.get(key)
        if node is None:
            if len(self._nodes) >= MAX_NODES:
                raise CodecError(CodecReason.OVERSIZED, f"more than {MAX_NODES} nodes")
            node = self._nodes.setdefault(key, _Node())
        match place.type:
            case "NBIRTH":
                return self._node_born(node, place, payload)
            case "NDEATH":
                return self._node_dead(node, place, payload)
            case _:
                return self._heard(node, place, payload, now_ns)

    def _node_born(self, node: _Node, place: Topic, payload: Payload) -> Outcome:
        bd_seq = _bd_seq(payload)
        again = (
            node.online and bd_seq == node.bd_seq
        )  # a rebirth: the devices are born again at once
        dead = () if again else tuple(sorted(node.devices))
        node.online, node.seq = True, payload.seq or 0
        node.aliases, node.types, node.devices = {}, {}, set()
        node.bd_seq = bd_seq
        _learn(node, place.source, payload)
        return Outcome(_reports(node, place, payload)[0], None, dead, (place.source,))

    def _node_dead(self, node: _Node, place: Topic, payload: Payload) -> Outcome:
        told = _bd_seq(payload)
        if node.online and told is not None and node.bd_seq not in (None, told):
            return Outcome()  # the last will of a session before this one
        dead = place.source, *sorted(node.devices)
        node.online, node.devices = False, set()
        return Outcome(dead=dead)

    def _heard(self, node: _Node, place: Topic, payload: Payload, now_ns: int) -> Outcome:
        if not node.follows(payload.seq):
            node.online = False
        known = node.online
        if place.type == "DBIRTH":
            if known:
                node.devices.add(place.source)
                _learn(node, place.source, payload)
        elif place.type == "DDEATH":
            node.devices.discard(place.source)
        elif place.device and place.source not in node.devices:
            known = False
        reports, unknown = _reports(node, place, payload, by_alias=known)
        ask = None if known or place.type == "DDEATH" else self._asking(node, place, now_ns)
        return Outcome(
            reports,
            ask,
            (place.source,) if place.type == "DDEATH" else (),
            (place.source,) if place.type == "DBIRTH" else (),
            unknown,
        )

    def _asking(self, node: _Node, place: Topic, now_ns: int) -> Topic | None:
        if now_ns - node.asked_ns < ASK_AGAIN_NS:
            return None
        node.asked_ns = now_ns
        return Topic(place.group, "NCMD", place.node)


def rebirth_command(now_ms: int) -> bytes:
    """The payload that asks a node for its births (6.4.24)."""
    metric = Metric(REBIRTH, timestamp_ms=now_ms, datatype=DataType.BOOLEAN, raw=True)
    return encode_payload(Payload((metric,), now_ms))


def _bd_seq(payload: Payload) -> int | None:
    told = next((m.value() for m in payload.metrics if m.name == BD_SEQ), None)
    return told if isinstance(told, int) else None


def _learn(node: _Node, source: str, payload: Payload) -> None:
    for metric in payload.metrics:
        if metric.name is None:
            continue
        node.types[source, metric.name] = metric.datatype
        if metric.alias is not None:
            node.aliases[metric.alias] = metric.name, metric.datatype


def _reports(
    node: _Node, place: Topic, payload: Payload, *, by_alias: bool = True
) -> tuple[tuple[Report, ...], int]:
    """One report per time; how many metrics have no name that we know."""
    values: dict[int | None, dict[str, Value]] = {}
    unknown = 0
    for metric in payload.metrics:
        name, datatype = metric.name, metric.datatype
        if not name and metric.alias is not None and by_alias:
            name, datatype = node.aliases.get(metric.alias, (None, None))
        if not name:
            unknown += 1
            continue
        if name == BD_SEQ or name.startswith("Node Control/"):
            continue
        value = metric.value(datatype or node.types.get((place.source, name)))
        at_ms = metric.timestamp_ms or payload.timestamp_ms
        told = None if metric.bad else value.hex() if isinstance(value, bytes) else value
        values.setdefault(at_ms, {})[name] = told
    found = (
        Report(place.source, told, None if at_ms is None else at_ms * 10**6)
        for at_ms, told in values.items()
        if at_ms is None or at_ms < 2**63 // 10**6
    )
    return tuple(found), unknown
