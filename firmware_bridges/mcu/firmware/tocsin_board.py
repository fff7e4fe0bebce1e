"""Reference firmware of a sensor board, one file for MicroPython and CPython alike. All I/O is injected.

A frame is COBS(CBOR map + CRC-16/CCITT-FALSE, big-endian) + 0x00. Keys of the map are small integers:
0 type, 1 sequence number, 2 uptime in ms, 3.. what the type needs (docs/reference/drivers/mcu.md).

On a board:

    uart = machine.UART(1, 115200)
    board = Board("gas-7", "1.0", boot, [("h2s", "[ppm]", 0, 100)], uart.write, time.ticks_ms)
    while True:
        board.feed(uart.read() or b"")
        board.tick()
        ...every second: board.sample([adc_to_ppm()])
"""

import struct

HELLO, DATA, EVENT, LOG, ACK, TIME, WHO = 0, 1, 2, 3, 4, 5, 6
MAX_FRAME = 512  # bytes before COBS, check included


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, start FFFF, check value of "123456789" is 29B1."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def cobs_encode(data: bytes) -> bytes:
    """`data` without a zero byte (Cheshire and Baker 1999), the delimiter not included."""
    out = bytearray(b"\x01")
    code = 0
    for i, byte in enumerate(data):
        if byte:
            out.append(byte)
            out[code] += 1
        if not byte or (out[code] == 0xFF and i + 1 < len(data)):
            code = len(out)
            out.append(1)
    return bytes(out)


def cobs_decode(block: bytes) -> bytes:
    """The reverse of `cobs_encode`.

    Raises:
        ValueError: a length byte points beyond the end, or is zero.
    """
    out = bytearray()
    i = 0
    while i < len(block):
        code = block[i]
        if code == 0 or i + code > len(block):
            raise ValueError(i)
        out += block[i + 1 : i + code]
        i += code
        if code < 0xFF and i < len(block):
            out.append(0)
    return bytes(out)


def frame(message: dict) -> bytes:  # type: ignore[type-arg]
    """The bytes of one message on the line, delimiter included."""
    body = _cbor(message)
    return cobs_encode(body + struct.pack(">H", crc16(body))) + b"\x00"


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    if n < 0x100:
        return struct.pack(">BB", major << 5 | 24, n)
    if n < 0x10000:
        return struct.pack(">BH", major << 5 | 25, n)
    if n < 0x100000000:
        return struct.pack(">BI", major << 5 | 26, n)
    return struct.pack(">BQ", major << 5 | 27, n)


def _cbor(value: object) -> bytes:
    if value is None:
        return b"\xf6"
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xFB, value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(_cbor(k) + _cbor(value[k]) for k in sorted(value))
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(_cbor(v) for v in value)
    raise ValueError(value)


def _parse(data: bytes, i: int, depth: int) -> tuple:  # type: ignore[type-arg]
    """(value, next index) of what a host sends: whole numbers, lists of them and maps."""
    if depth == 0:
        raise ValueError(i)
    major, n = data[i] >> 5, data[i] & 31
    i += 1
    if n >= 24:
        size = {24: 1, 25: 2, 26: 4, 27: 8}[n]
        if i + size > len(data):
            raise ValueError(i)
        n = int.from_bytes(data[i : i + size], "big")
        i += size
    if major == 0:
        return n, i
    items = []
    for _ in range(n * 2 if major == 5 else n if major == 4 else -1):
        value, i = _parse(data, i, depth - 1)
        items.append(value)
    if major == 4:
        return items, i
    if major == 5:
        return dict(zip(items[::2], items[1::2])), i  # noqa: B905 - MicroPython has no strict
    raise ValueError(i)


class Board:
    """One board: says hello, sends samples, and keeps each until the host has said that it is durable.

    `sensors` are (name, UCUM unit, lowest, highest). At most `keep` unacknowledged frames are held; the oldest goes
    first, and `lost` counts them.
    """

    def __init__(self, name, firmware, boot, sensors, write, uptime_ms, keep=64, resend_ms=2000):  # type: ignore[no-untyped-def]
        self.name, self.firmware, self.boot, self.sensors = name, firmware, boot, sensors
        self.lost = self.garbled = 0
        self.host_unix_ms = None  # the host's time when uptime was 0
        self._write, self._uptime_ms = write, uptime_ms
        self._keep, self._resend_ms = keep, resend_ms
        self._seq = 0
        self._held = []  # [sequence number, frame, when it was sent last]
        self._line = bytearray()

    def hello(self) -> None:
        """Tell what this board is and measures."""
        told = [list(sensor) for sensor in self.sensors]
        message = {0: HELLO, 1: self._seq, 2: self._uptime_ms(), 3: self.name, 4: self.firmware}
        message[5], message[6] = self.boot, told
        self._write(frame(message))

    def sample(self, values: list) -> None:  # type: ignore[type-arg]
        """Send one value per sensor; None where there is none."""
        self._send({0: DATA, 1: self._seq, 2: self._uptime_ms(), 3: values})

    def event(self, kind: str, text: str) -> None:
        """Send something that happened once."""
        self._send({0: EVENT, 1: self._seq, 2: self._uptime_ms(), 3: kind, 4: text})

    def log(self, text: str) -> None:
        """Send a line for the technician; it is not kept."""
        self._write(frame({0: LOG, 2: self._uptime_ms(), 3: text}))

    def tick(self) -> None:
        """Send again what the host has not acknowledged in time, oldest first, few at a time."""
        now = self._uptime_ms()
        due = [held for held in self._held if now - held[2] >= self._resend_ms]
        for held in due[:4]:
            held[2] = now
            self._write(held[1])

    def feed(self, data: bytes) -> None:
        """Take what the line brought."""
        for byte in data:
            if byte:
                self._line.append(byte)
                if len(self._line) > MAX_FRAME:
                    self._line = bytearray()
                    self.garbled += 1
            elif self._line:
                block, self._line = bytes(self._line), bytearray()
                self._take(block)

    def _take(self, block: bytes) -> None:
        try:
            body = cobs_decode(block)
            if len(body) < 3 or crc16(body[:-2]) != struct.unpack(">H", body[-2:])[0]:
                raise ValueError(body)
            message, _ = _parse(body[:-2], 0, 4)
            kind = message[0]
        except (ValueError, IndexError, KeyError, TypeError):
            self.garbled += 1
            return
        if kind == WHO:
            self.hello()
        elif kind == ACK:
            done = message.get(3, [])
            self._held = [held for held in self._held if held[0] not in done]
        elif kind == TIME:
            self.host_unix_ms = message.get(3, 0) - self._uptime_ms()

    def _send(self, message: dict) -> None:  # type: ignore[type-arg]
        line = frame(message)
        self._held.append([self._seq, line, self._uptime_ms()])
        self._seq += 1
        if len(self._held) > self._keep:
            self._held.pop(0)
            self.lost += 1
        self._write(line)
