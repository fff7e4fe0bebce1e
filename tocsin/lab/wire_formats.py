"""Readings in the formats of `tocsin bench wire`, each written and read by the library that people use for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

import msgspec

from tocsin.contract.codec import HEADER_BYTES, Codec, decode_body, decode_header, encode
from tocsin.contract.columns import Row, group_rows
from tocsin.contract.ids import ulid
from tocsin.contract.messages import NS_PER_UNIT, VERSION, Batch
from tocsin.errors import MissingExtraError

SITE, GATEWAY, MEASUREMENT = "plant-7", "gw-1", "machine"
QUANTITIES = ("temperature", "humidity", "pressure", "voltage")
Value = tuple[str, int, str, float]  # device, time in ns, quantity, value


class Format(msgspec.Struct, frozen=True):
    """How rows become messages and readings again; `read` None: the library has no reader."""

    library: str
    write: Callable[[list[Row]], list[bytes]]
    read: Callable[[list[bytes]], list[Value]] | None
    resolution_ns: int
    carries: str = ""


def _library(name: str, module: str, extra: str) -> tuple[Any, str]:
    try:
        return import_module(module), f"{name} {metadata.version(name)}"
    except ImportError as exc:
        raise MissingExtraError(extra, module) from exc


def tocsin(codec: Codec) -> Format:
    """Our own batch."""
    stream = ulid(time.time_ns())

    def write(rows: list[Row]) -> list[bytes]:
        t0, unit, groups = group_rows(rows)
        return [encode(Batch(VERSION, SITE, GATEWAY, stream, 0, t0, groups, unit), codec)]

    def read(messages: list[bytes]) -> list[Value]:
        found: list[Value] = []
        for message in messages:
            batch = decode_body(decode_header(message[:HEADER_BYTES]), message, Batch)
            for group in batch.groups:
                stamps = [batch.t0 + t * NS_PER_UNIT[batch.tu] for t in group.times]
                for quantity, column in zip(group.quantities, group.columns, strict=True):
                    found += [
                        (group.device, t, quantity, v)  # type: ignore[misc]
                        for t, v in zip(stamps, column, strict=True)
                    ]
        return found

    library = f"msgspec {metadata.version('msgspec')}"
    return Format(library, write, read, 1, "quality, sequence, source time, checksum")


def _by_device(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.layout.device, []).append(row)
    return found


def _senml_records(rows: list[Row], labels: dict[str, Any]) -> list[dict[Any, Any]]:
    """RFC 8428: a base name and base time at each stamp, then one record a value."""
    records: list[dict[Any, Any]] = []
    bn, bt, n, v = (labels[name] for name in ("bn", "bt", "n", "v"))
    for row in rows:
        base = {bn: f"{row.layout.device}:", bt: row.time_ns / 1e9}
        for quantity, value in zip(row.layout.quantities, row.values, strict=True):
            records.append({**base, n: quantity, v: value})
            base = {}
    return records


def _senml_values(records: list[dict[Any, Any]], labels: dict[str, Any]) -> list[Value]:
    found: list[Value] = []
    bn, bt, n, v = (labels[name] for name in ("bn", "bt", "n", "v"))
    device, stamp = "", 0
    for record in records:
        if bn in record:
            device, stamp = record[bn][:-1], round(record[bt] * 1e3) * 1_000_000
        found.append((device, stamp, record[n], record[v]))
    return found


def senml_json() -> Format:
    """RFC 8428 as JSON text."""
    labels = {name: name for name in ("bn", "bt", "n", "v")}
    return Format(
        "json (standard library)",
        lambda rows: [json.dumps(_senml_records(rows, labels), separators=(",", ":")).encode()],
        lambda messages: [v for m in messages for v in _senml_values(json.loads(m), labels)],
        1_000_000,
        "unit, sum",
    )


def senml_cbor() -> Format:
    """RFC 8428 as CBOR."""
    cbor2, library = _library("cbor2", "cbor2", "edge")
    labels = {"bn": -2, "bt": -3, "n": 0, "v": 2}
    return Format(
        library,
        lambda rows: [cbor2.dumps(_senml_records(rows, labels))],
        lambda messages: [v for m in messages for v in _senml_values(cbor2.loads(m), labels)],
        1_000_000,
        "unit, sum",
    )


def sparkplug() -> Format:
    """A DDATA a device, metrics by their alias as births allow."""
    peer, library = _library("pysparkplug", "pysparkplug", "bench")
    payload = import_module("pysparkplug._protobuf").Payload
    alias = {name: i + 1 for i, name in enumerate(QUANTITIES)}
    names = {i: name for name, i in alias.items()}
    devices: list[str] = []  # in the order of the messages: the device stands in the topic

    def write(rows: list[Row]) -> list[bytes]:
        by_device = _by_device(rows)
        devices[:] = by_device
        return [
            peer.DData(
                timestamp=of[-1].time_ns // 1_000_000,
                seq=1,
                metrics=[
                    peer.Metric(
                        timestamp=row.time_ns // 1_000_000, name=None, datatype=peer.DataType.DOUBLE,
                        value=value, alias=alias[name],
                    )
                    for row in of
                    for name, value in zip(row.layout.quantities, row.values, strict=True)
                ],
            ).encode()
            for of in by_device.values()
        ]  # fmt: skip

    def read(messages: list[bytes]) -> list[Value]:
        found: list[Value] = []
        for device, message in zip(devices, messages, strict=True):
            for m in payload.FromString(message).metrics:
                found.append((device, m.timestamp * 1_000_000, names[m.alias], m.double_value))  # noqa: PERF401
        return found

    return Format(library, write, read, 1_000_000, "quality and history flag as properties")


def thingsboard() -> Format:
    """Its gateway API: device -> [{ts, values}]."""

    def write(rows: list[Row]) -> list[bytes]:
        body = {
            device: [
                {
                    "ts": row.time_ns // 1_000_000,
                    "values": dict(zip(row.layout.quantities, row.values, strict=True)),
                }
                for row in of
            ]
            for device, of in _by_device(rows).items()
        }
        return [json.dumps(body, separators=(",", ":")).encode()]

    def read(messages: list[bytes]) -> list[Value]:
        return [
            (device, item["ts"] * 1_000_000, name, value)
            for message in messages
            for device, of in json.loads(message).items()
            for item in of
            for name, value in item["values"].items()
        ]

    return Format("json (standard library)", write, read, 1_000_000)


def line_protocol() -> Format:
    """InfluxDB's, by its client's `Point`; the client has no reader."""
    client, library = _library("influxdb-client", "influxdb_client", "cloud")
    point, precision = client.Point, client.WritePrecision.NS

    def write(rows: list[Row]) -> list[bytes]:
        lines = []
        for row in rows:
            line = point(row.layout.measurement).tag("site", SITE).tag("device", row.layout.device)
            for name, value in zip(row.layout.quantities, row.values, strict=True):
                line = line.field(name, value)
            lines.append(line.time(row.time_ns, precision).to_line_protocol())
        return ["\n".join(lines).encode()]

    return Format(library, write, None, 1)
