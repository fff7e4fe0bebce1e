"""One payload as plain values: the door of `tocsin decode lorawan-decentlab`."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from firmware_bridges.lorawan.decentlab import VERSION, decode
from firmware_bridges.lorawan.models import SensorModel, model_of, shipped
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput


def describe(given: FrameInput) -> dict[str, Any]:
    """The values under the maker's names; `device` says which model it is.

    Raises:
        CodecError: the payload is refused, or its model is not known.
    """
    payload = decode(given.data, _model(given.device))
    facts: dict[str, Any] = {
        "Device ID": payload.device_id,
        "Protocol version": VERSION,
        "header": {
            "version": VERSION,
            "device_id": payload.device_id,
            "sensor_flags": payload.flags,
        },
    }
    return facts | {r.name: {"value": r.value, "unit": r.unit} for r in payload.readings}


def _model(name: str | None) -> SensorModel:
    if not name:
        text = 'which model is it? give a line like {"device": "DL-TBRG", "hex": "0202f8..."}'
        raise CodecError(CodecReason.BAD_INPUT, text)
    found = _known(name)
    if found is None:
        near = get_close_matches(name[:64].upper(), shipped("decentlab").models, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CodecError(CodecReason.UNSUPPORTED, f"no model is called {name[:64]!r}{hint}")
    return found


@lru_cache(maxsize=128)
def _known(name: str) -> SensorModel | None:
    return model_of(shipped("decentlab"), name)
