"""What devices, gateways and LoRaWAN servers publish as JSON: for fuzzing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from firmware_bridges.lorawan.uplinks import chirpstack, ttn
from firmware_bridges.mqtt import plain, thingsboard
from firmware_bridges.mqtt.report import Report
from firmware_bridges.senml import reports as senml
from tocsin.sdk.codec import Examples, FrameInput

_AT = "2026-11-24T12:30:05.250123Z"
_MESSAGES: tuple[object, ...] = (
    {"pump-1": [{"ts": 1_795_600_000_000, "values": {"level": 1.25, "on": True, "mode": "auto"}}]},
    [{"ts": 1_795_600_000_000, "values": {"level": 1.25}}, {"level": 2}],
    {
        "deviceInfo": {"devEui": "0102030405060708", "deviceName": "rain-3"}, "devAddr": "00112233", "fCnt": 7, "fPort": 1,
        "time": _AT, "data": "AhJnAAOAAIAA", "object": {"rain": 1.5, "deep": {"a": [1, 2, {"b": None}]}},
        "rxInfo": [{"rssi": -97, "snr": 7.5}, {"rssi": -110}],
    },
    {
        "end_device_ids": {"device_id": "rain-3", "dev_eui": "0102030405060708", "dev_addr": "00112233"},
        "uplink_message": {
            "f_port": 1, "f_cnt": 7, "frm_payload": "AhJnAAOAAIAA", "decoded_payload": {"rain": 1.5},
            "rx_metadata": [{"rssi": -97, "snr": 7.5}], "received_at": _AT,
        },
    },
    {"name": "gas-1", "at": 1_795_600_000_000, "h2s": 3.5, "status": {"battery": 88}},
    [{"bn": "urn:dev:mac:0024befffe804ff1:", "bt": 1.7e9, "n": "t", "u": "Cel", "v": 20.5}, {"n": "h", "u": "%RH", "v": 50}],
    21.5,
)  # fmt: skip
_READERS: tuple[Callable[[bytes], list[Report]], ...] = (
    thingsboard.reports,
    partial(thingsboard.reports, device="pump-1"),
    chirpstack,
    ttn,
    partial(plain.reports, device="gas-1"),
    partial(plain.reports, device="", device_path="name", time_path="at"),
    partial(senml.reports, received_ns=1_795_600_000_000_000_000),
)


def examples() -> Examples:
    """Messages of every form, for the reader of every form."""
    frames = tuple(FrameInput(json.dumps(message).encode()) for message in _MESSAGES)
    return Examples(frames, None, tuple(partial(_reader, read) for read in _READERS))


def _reader(read: Callable[[bytes], list[Report]]) -> Callable[[bytes], object]:
    return read
