"""SenML packs: for benches and fuzzing."""

from __future__ import annotations

from firmware_bridges.senml.packs import write_cbor, write_json
from firmware_bridges.senml.records import Record, to_pack
from tocsin.sdk.codec import Examples, FrameInput

_DEVICE = "urn:dev:mac:0024befffe804ff1:"
_PACKS = (
    [
        Record(f"{_DEVICE}voltage", 3.1, "V", 1.7e9),
        Record(f"{_DEVICE}t", -5.25, "Cel", 1.7e9 + 1),
        Record(f"{_DEVICE}open", True, None, 1.7e9 + 2),
        Record(f"{_DEVICE}label", "door", None, 1.7e9 + 3),
    ],
    [Record(f"{_DEVICE}rain", None, "mm", 1.7e9, sum=12.4), Record(f"{_DEVICE}raw", b"\x01\xff")],
    [Record("t", 20 + n / 10, "Cel", float(n - 5)) for n in range(6)],
)


def examples() -> Examples:
    """Each pack in JSON and in CBOR."""
    packs = [to_pack(records) for records in _PACKS]
    return Examples(
        tuple(FrameInput(write(pack)) for pack in packs for write in (write_json, write_cbor))
    )
