"""Uplinks as LoRaWAN network servers publish them: ChirpStack v4 and The Things Stack v3 (TTN), JSON. Pure.

What a codec of the server decoded stands under its own names; `lorawan.rssi`, `lorawan.snr` (of the best gateway),
`lorawan.f_port` and `lorawan.f_cnt` are ours.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from firmware_bridges.mqtt.report import Report, flatten, inside, read_object, unix_ns
from tocsin.contract.catalogue import Value
from tocsin.errors import CodecError, CodecReason


def chirpstack(data: bytes) -> list[Report]:
    """The report of an `up` event (application/+/device/+/event/up).

    Raises:
        CodecError: not such an event.
    """
    event = read_object(data)
    info = inside(event, "deviceInfo")
    eui = _eui(info.get("devEui"))
    payload = _bytes(event.get("data"))
    decoded = event.get("object")
    radio = _radio(event.get("rxInfo"), event.get("fPort"), event.get("fCnt"))
    return [
        Report(
            source=eui,
            values=(flatten(decoded) if isinstance(decoded, dict) else {}) | radio,
            time_ns=unix_ns(event["time"]) if event.get("time") else None,
            aliases=_names(info.get("deviceName")),
            key=_key(eui, event.get("devAddr"), event.get("fCnt"), payload),
            payload=payload or None,
        )
    ]


def ttn(data: bytes) -> list[Report]:
    """The report of an uplink (v3/+/devices/+/up).

    Raises:
        CodecError: not such a message, or simulated in the console.
    """
    message = read_object(data)
    ids, uplink = inside(message, "end_device_ids"), inside(message, "uplink_message")
    if not uplink:
        raise CodecError(CodecReason.BAD_FIELD, "no uplink_message")
    if message.get("simulated") is True:
        raise CodecError(CodecReason.UNSUPPORTED, "a simulated uplink is no measurement")
    names = _names(ids.get("device_id"))
    eui = _eui(ids.get("dev_eui") or (names[0] if names else None))
    payload = _bytes(uplink.get("frm_payload"))
    decoded = uplink.get("decoded_payload")
    at = uplink.get("received_at") or message.get("received_at")
    radio = _radio(uplink.get("rx_metadata"), uplink.get("f_port"), uplink.get("f_cnt", 0))
    return [
        Report(
            source=eui,
            values=(flatten(decoded) if isinstance(decoded, dict) else {}) | radio,
            time_ns=unix_ns(at) if at else None,
            aliases=names,
            key=_key(eui, ids.get("dev_addr"), uplink.get("f_cnt", 0), payload),
            payload=payload or None,
        )
    ]


def _eui(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise CodecError(CodecReason.BAD_FIELD, "no device EUI")
    return value.lower()


def _names(name: object) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) and name else ()


def _bytes(text: object) -> bytes:
    if text is None:
        return b""
    try:
        return b64decode(text if isinstance(text, str) else "!", validate=True)
    except ValueError as exc:
        raise CodecError(CodecReason.BAD_FIELD, "the payload is not base64") from exc


def _key(eui: str, address: object, count: object, payload: bytes) -> str:
    return f"{eui}/{address}/{count}/{payload.hex()}"


def _radio(gateways: Any, port: object, count: object) -> dict[str, Value]:
    heard = [g for g in gateways if isinstance(g, dict)] if isinstance(gateways, list) else []
    told: dict[str, Value] = {}
    for name in ("rssi", "snr"):
        levels = [g[name] for g in heard if _is_number(g.get(name))]
        if levels:
            told[f"lorawan.{name}"] = max(levels)
    for name, value in (("f_port", port), ("f_cnt", count)):
        if _is_number(value):
            told[f"lorawan.{name}"] = value  # type: ignore[assignment]
    return told


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
