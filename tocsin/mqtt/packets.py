"""MQTT control packets as a client sends and gets them, 3.1.1 and 5, QoS 0 and 1. Pure: bytes <-> values."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from tocsin.errors import CodecError, CodecReason

Level = Literal[4, 5]  # of the protocol: 3.1.1, 5
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _MAXIMUM_PACKET = 0x11, 0x21, 0x27
_SERVER_KEEP_ALIVE, _SHARED = 0x13, 0x2A
# Bytes of a property's value by its identifier (MQTT 5, 2.2.2.2); "s" one string or its like, "p" a pair of strings.
_SIZES: dict[int, int | str] = {
    0x01: 1, 0x02: 4, 0x03: "s", 0x08: "s", 0x09: "s", 0x11: 4, 0x12: "s", 0x13: 2, 0x15: "s", 0x16: "s", 0x17: 1,
    0x18: 4, 0x19: 1, 0x1A: "s", 0x1C: "s", 0x1F: "s", 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: "p",
    0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
_U16 = struct.Struct("!H")
_HEAD_BYTES = 70_000  # what a PUBLISH may have before its payload: topic, number, properties


class Publish(msgspec.Struct, frozen=True, gc=False):
    """One message. `mid` 0: QoS 0. `again`: the sender says that it may have come before.

    Of a payload longer than the reader's limit only the first bytes are here, one more than the limit at least.
    """

    topic: str
    payload: bytes
    mid: int = 0
    retained: bool = False
    again: bool = False


class Connack(msgspec.Struct, frozen=True):
    """The answer to CONNECT; `code` 0 is yes. The rest is told by MQTT 5, but for `resumed`.

    `keepalive_s`: what the server wants instead. `receive_maximum`: messages that it takes unacknowledged.
    `shares`: whether it has shared subscriptions.
    """

    code: int
    keepalive_s: int | None = None
    resumed: bool = False
    receive_maximum: int = 65_535
    shares: bool = True


class Suback(msgspec.Struct, frozen=True):
    """The answer to SUBSCRIBE: a granted QoS, or 0x80 and above for no, per filter."""

    codes: bytes
    mid: int


class Puback(msgspec.Struct, frozen=True):
    """The server has a message of ours."""

    mid: int


class Disconnect(msgspec.Struct, frozen=True):
    """The server ends the connection (MQTT 5)."""

    code: int


class Other(msgspec.Struct, frozen=True):
    """PINGRESP and what else a client need not look at."""

    type: int


Packet = Publish | Connack | Suback | Puback | Disconnect | Other


def connect(
    level: Level,
    client_id: str,
    keepalive_s: int,
    *,
    username: str | None = None,
    password: str | None = None,
    session_expiry_s: int = 0,
    receive_maximum: int = 65_535,
    max_packet_bytes: int = 0,
    clean: bool = False,
) -> bytes:
    """CONNECT that takes up an earlier session unless it is `clean`. Expiry, receive maximum and packet size (0: any) are
    told by MQTT 5 alone."""
    flags = (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    flags |= 0x02 if clean else 0
    body = text("MQTT") + bytes((level, flags)) + _U16.pack(keepalive_s)
    if level == 5:
        told = struct.pack(
            "!BIBH", _SESSION_EXPIRY, session_expiry_s, _RECEIVE_MAXIMUM, receive_maximum
        )
        if max_packet_bytes:
            told += struct.pack("!BI", _MAXIMUM_PACKET, max_packet_bytes)
        body += length(len(told)) + told
    body += text(client_id)
    for word in (username, password):
        body += b"" if word is None else text(word)
    return packet(0x10, body)


def subscribe(level: Level, mid: int, filters: Sequence[tuple[str, int]]) -> bytes:
    """SUBSCRIBE to (filter, QoS)."""
    body = _U16.pack(mid) + (b"\0" if level == 5 else b"")
    return packet(0x82, body + b"".join(text(flt) + bytes((qos,)) for flt, qos in filters))


def unsubscribe(level: Level, mid: int, filters: Sequence[str]) -> bytes:
    """UNSUBSCRIBE from these filters."""
    body = _U16.pack(mid) + (b"\0" if level == 5 else b"")
    return packet(0xA2, body + b"".join(map(text, filters)))


def publish(level: Level, topic: str, payload: bytes, mid: int = 0) -> bytes:
    """PUBLISH; with a number QoS 1."""
    head = text(topic) + (_U16.pack(mid) if mid else b"") + (b"\0" if level == 5 else b"")
    return packet(0x32 if mid else 0x30, head + payload)


def pubacks(mids: Iterable[int]) -> bytes:
    """A PUBACK for each."""
    return b"".join([b"\x40\x02" + _U16.pack(mid) for mid in mids])


def packet(first: int, body: bytes) -> bytes:
    """A packet with its fixed header."""
    return bytes((first,)) + length(len(body)) + body


def length(n: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        n, low = divmod(n, 128)
        out.append(low | (128 if n else 0))
        if not n:
            return bytes(out)


def text(word: str) -> bytes:
    """A string with its length.

    Raises:
        ValueError: longer than 65,535 bytes.
    """
    data = word.encode()
    if len(data) > 0xFFFF:
        raise ValueError("longer than an MQTT string can be")
    return _U16.pack(len(data)) + data


class Reader:
    """Packets out of a stream of bytes. Holds at most one packet's head and `max_payload_bytes` and one of its payload."""

    def __init__(self, level: Level, max_payload_bytes: int) -> None:
        self._v5 = level == 5
        self._longest = _HEAD_BYTES + max_payload_bytes + 1
        self._rest = b""
        self._skip = 0  # bytes of a packet that was too long and is already out

    def feed(self, data: bytes) -> list[Packet]:
        """What has become whole.

        Raises:
            CodecError: not MQTT, or not from a server to such a client; nothing more can be read.
        """
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        if self._rest:
            data = self._rest + data
        found: list[Packet] = []
        at, end = 0, len(data)
        while end - at >= 2:
            size, body = data[at + 1], at + 2
            if size >= 128:
                size, body = _number(data, at + 1)
                if body < 0:
                    break
            after = body + size
            if after > end:
                if end - body < self._longest:
                    break
                self._skip, after = after - end, end
            if data[at] >> 4 == 3:
                found.append(self._publish(data, at, body, after))
            else:
                found.append(self._read(data, at, body, after))
            at = after
        self._rest = data[at:]
        return found

    def _read(self, data: bytes, at: int, body: int, end: int) -> Packet:
        first = data[at]
        try:
            match first >> 4:
                case 2:
                    return self._connack(data[body:end])
                case 9:
                    mid = data[body] << 8 | data[body + 1]
                    return Suback(self._after_properties(data[body + 2 : end]), mid)
                case 4:
                    return Puback(data[body] << 8 | data[body + 1])
                case 14:
                    return Disconnect(data[body] if end > body else 0)
                case 11 | 13:
                    return Other(first >> 4)
        except (IndexError, UnicodeDecodeError, struct.error) as exc:
            raise CodecError(CodecReason.LENGTH, f"a broken MQTT packet: {exc}") from exc
        raise CodecError(CodecReason.UNSUPPORTED, f"an MQTT packet of type {first >> 4}")

    def _publish(self, data: bytes, at: int, body: int, end: int) -> Publish:
        first = data[at]
        try:
            start = body + 2 + (data[body] << 8 | data[body + 1])
            topic = data[body + 2 : start].decode()
            qos, mid = first >> 1 & 3, 0
            if qos:
                mid = data[start] << 8 | data[start + 1]
                start += 2
                if qos != 1 or not mid:
                    raise CodecError(
                        CodecReason.UNSUPPORTED, f"a message of QoS {qos}, number {mid}"
                    )
            if self._v5:
                if size := data[start]:
                    if size >= 128:
                        size, start = _number(data, start)
                        start -= 1
                    start += size
                start += 1
        except (IndexError, UnicodeDecodeError) as exc:
            raise CodecError(CodecReason.LENGTH, f"a broken MQTT message: {exc}") from exc
        if start > end or not topic:
            raise CodecError(CodecReason.LENGTH, "an MQTT message shorter than its head")
        return Publish(topic, data[start:end], mid, first & 1 == 1, first & 8 == 8)

    def _connack(self, body: bytes) -> Connack:
        code, resumed = body[1], body[0] & 1 == 1
        if not self._v5 or len(body) == 2:
            return Connack(code, resumed=resumed)
        told = {kind: int.from_bytes(value) for kind, value in _properties(body, 2).items()}
        return Connack(
            code,
            told.get(_SERVER_KEEP_ALIVE) or None,
            resumed,
            told.get(_RECEIVE_MAXIMUM, 65_535),
            told.get(_SHARED, 1) != 0,
        )

    def _after_properties(self, body: bytes) -> bytes:
        if not self._v5:
            return body
        size, start = _number(body, 0)
        if start < 0:
            raise IndexError("no properties")
        return body[start + size :]


def _number(data: bytes, at: int) -> tuple[int, int]:
    """(a variable byte integer, where it ends; -1 if it does not yet)."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 21:
            raise CodecError(CodecReason.LENGTH, "an MQTT length of more than four bytes")
    return 0, -1


def _properties(body: bytes, at: int) -> dict[int, bytes]:
    size, at = _number(body, at)
    end, found = at + size, dict[int, bytes]()
    if at < 0 or end > len(body):
        raise IndexError("properties beyond the packet")
    while at < end:
        kind, start = body[at], at + 1
        width = _SIZES.get(kind)
        if width is None:
            raise CodecError(CodecReason.UNSUPPORTED, f"an MQTT property {kind:#x}")
        at = start + width if isinstance(width, int) else start
        for _ in range({"s": 1, "p": 2}.get(str(width), 0)):
            at += 2 + int.from_bytes(body[at : at + 2])
        found[kind] = body[start:at]
    return found
