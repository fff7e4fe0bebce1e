"""`tocsin decode` on every frame with a known answer: good ones say what is expected, bad ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.cli.decode import answer
from tocsin.sdk.codec import load_codec

FILES = {
    "dlt645": "dlt645.json",
    "gb26875": "gb26875.json",
    "hj212": "hj212.json",
    "jt808": "jt808.json",
    "modbus": "modbus.json",
    "sl651": "sl651.json",
    "nmea": "nmea0183_sentences.json",
    "lorawan-decentlab": "lorawan_decentlab.json",
}


def differences(expected: Any, told: Any, at: str = "") -> list[str]:
    """Where `told` lacks or contradicts what is expected; more facts than expected are welcome."""
    if isinstance(expected, dict) and isinstance(told, dict):
        return [
            line for k, v in expected.items() for line in differences(v, told.get(k), f"{at}/{k}")
        ]
    if isinstance(expected, list) and isinstance(told, list) and len(expected) == len(told):
        pairs = zip(expected, told, strict=True)
        return [line for i, (e, t) in enumerate(pairs) for line in differences(e, t, f"{at}/{i}")]
    if isinstance(expected, float) and isinstance(told, int | float):
        return [] if told == pytest.approx(expected, rel=1e-9) else [f"{at}: {expected} {told}"]
    return [] if expected == told else [f"{at}: {expected!r} is {told!r}"]


@pytest.mark.parametrize("protocol", FILES)
def test_every_known_frame_gives_its_answer(protocol: str, shared_data: Path) -> None:
    rows = json.loads((shared_data / "protocols" / FILES[protocol]).read_text("utf-8"))["vectors"]
    describe, wrong, judged = load_codec(protocol), [], 0
    for row in rows:
        if row.get("kind") == "value":
            continue
        judged += 1
        told = answer(describe, json.dumps(row).encode())
        if told["ok"] != row["frame_ok"]:
            wrong.append(f"{row['id']}: {told}")
        elif told["ok"]:
            wrong += [f"{row['id']}{line}" for line in differences(row["expected"], told["frame"])]
    assert judged > 5
    assert not wrong
