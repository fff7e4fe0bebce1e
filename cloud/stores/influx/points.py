"""Line protocol of others, checked and handed on to InfluxDB."""

from __future__ import annotations

import threading

from cloud.query.line_protocol import BadLine, FieldType, FieldValue, Point
from cloud.stores.influx.lines import escape_key, escape_measurement, escape_tag, text_field
from cloud.stores.influx.store import MAX_LINES, REFUSALS, unavailable
from cloud.stores.influx.transport import InfluxOptions, Transport


class PointWriter:
    """On a connection of its own, beside the ingester's; from any thread, one write at a time."""

    def __init__(self, options: InfluxOptions) -> None:
        self._transport = Transport(options)
        self._lock = threading.Lock()

    def write(self, points: list[Point], now_ns: int) -> tuple[int, list[BadLine]]:
        """(points that were stored, lines InfluxDB refused).

        Raises:
            StoreUnavailableError: not all is stored; sending the same again changes nothing.
        """
        bad: list[BadLine] = []
        with self._lock:
            for start in range(0, len(points), MAX_LINES):
                bad += self._send(points[start : start + MAX_LINES], now_ns)
        return len(points) - len(bad), bad

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _send(self, points: list[Point], now_ns: int) -> list[BadLine]:
        answer = self._transport.post("\n".join(line_of(p, now_ns) for p in points).encode())
        if 200 <= answer.status < 300:
            return []
        if answer.status not in REFUSALS or answer.foreign:
            raise unavailable(answer)
        if len(points) == 1:
            return [BadLine(points[0].line, answer.message or f"refused with {answer.status}")]
        middle = len(points) // 2
        return self._send(points[:middle], now_ns) + self._send(points[middle:], now_ns)


def line_of(point: Point, now_ns: int) -> str:
    """The point as one line, its time in nanoseconds."""
    tags = "".join(f",{escape_key(key)}={escape_tag(value)}" for key, value in point.tags)
    fields = ",".join(
        f"{escape_key(key)}={_value(kind, value)}" for key, (kind, value) in point.fields.items()
    )
    time_ns = now_ns if point.time_ns is None else point.time_ns
    return f"{escape_measurement(point.measurement)}{tags} {fields} {time_ns}"


def _value(kind: FieldType, value: FieldValue) -> str:
    if isinstance(value, str):
        return text_field(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if kind == "f" else f"{value}{kind}"
