"""Planning of blocks and decoding of scans."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.drivers.modbus.plan import Block, plan_blocks, split, sync_block
from edge.drivers.modbus.scan import Scan
from edge.pipeline.convert import Converter
from firmware_bridges.modbus.image import RegisterImage
from firmware_bridges.modbus.pdu import READ_BIT_FUNCTIONS, Bits, encode_answer
from firmware_bridges.modbus.profile import Profile
from firmware_bridges.modbus.profiles import load_profile, profile_names
from tocsin.contract.quality import Quality
from tocsin.sdk import DeviceSpec


def _profile(*points: dict[str, Any], measurement: str = "thing", **header: object) -> Profile:
    named = [{"quantity": f"q{i}", **point} for i, point in enumerate(points)]
    head = {"name": "x", "measurement": measurement, **header}
    return Profile.model_validate({"profile": head, "points": named})


POINTS = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from(["u16", "i32", "f32", "f64"]), st.sampled_from([3, 4])
    ),
    min_size=1,
    max_size=30,
)


@given(POINTS, st.integers(4, 125), st.integers(0, 8))
def test_every_point_lies_whole_in_one_block_of_legal_size(
    drawn: list[tuple[int, str, int]], most: int, gap: int
) -> None:
    raw = [{"address": a, "type": kind, "function": f} for a, kind, f in drawn]
    profile = _profile(*raw, max_registers=most, max_gap=gap)
    blocks = plan_blocks(profile)
    used = {
        (p.function, a) for p in profile.points for a in range(p.address, p.address + p.registers)
    }
    for point in profile.points:
        assert any(
            b.function == point.function
            and b.address <= point.address
            and point.address + point.registers <= b.address + b.count
            for b in blocks
        )
    for block in blocks:
        assert 1 <= block.count <= most
        unused = 0
        for address in range(block.address, block.address + block.count):
            unused = 0 if (block.function, address) in used else unused + 1
            assert unused <= gap
    sync = sync_block(profile, blocks)
    same = [b for b in blocks if b.function == sync.function]
    assert sync.answer_bytes not in {b.answer_bytes for b in same}


@given(POINTS, st.integers(0, 8))
def test_a_refused_block_is_split_at_its_gaps_then_between_its_points_and_no_point_is_torn(
    drawn: list[tuple[int, str, int]], gap: int
) -> None:
    raw = [{"address": a, "type": kind, "function": f} for a, kind, f in drawn]
    profile = _profile(*raw, max_gap=gap)
    used = {(p.function, p.address + i) for p in profile.points for i in range(p.registers)}

    def leaves(block: Block) -> list[Block]:
        parts = split(profile, block)
        assert sum(part.count for part in parts) < block.count or all(
            (block.function, a) in used for a in range(block.address, block.address + block.count)
        )
        return [leaf for part in parts for leaf in leaves(part)] or [block]

    found = [leaf for block in plan_blocks(profile) for leaf in leaves(block)]
    assert {(b.function, b.address + i) for b in found for i in range(b.count)} == used
    assert sum(b.count for b in found) == len(used)
    assert Scan(profile, tuple(found)).blocks == tuple(found)


@pytest.mark.parametrize("name", profile_names())
@settings(max_examples=30)
@given(data=st.data())
def test_the_driver_decodes_what_a_device_of_the_same_profile_encodes(
    name: str, data: st.DataObject
) -> None:
    profile = load_profile(name)
    image = RegisterImage(profile)
    image.update({q: data.draw(st.integers(0, 60)) / 4 for q in image.quantities if q != "loop"})
    scan = Scan(profile)
    bodies: list[bytes | None] = []
    for block in scan.blocks:
        registers = image.read(block.function, block.address, block.count)
        assert registers is not None
        if block.function in READ_BIT_FUNCTIONS:
            bodies.append(encode_answer(Bits(block.function, tuple(map(bool, registers))))[2:])
        else:
            bodies.append(struct.pack(f">{len(registers)}H", *registers))
    values, quality = scan.decode(bodies)
    spec = DeviceSpec("d", profile.profile.measurement, scan.channels)
    judged, _ = Converter(spec).apply(values, list(quality or (0,) * len(values)))
    assert judged == [image.value(channel.quantity) for channel in scan.channels]


@pytest.mark.parametrize(
    ("register", "value", "quality"),
    [
        (12_000, 12_000.0, None),
        (3_700, 3_700.0, (int(Quality.SATURATED),)),
        (20_700, 20_700.0, (int(Quality.SATURATED),)),
        (3_500, None, (int(Quality.SENSOR_FAULT),)),
        (21_500, None, (int(Quality.SENSOR_FAULT),)),
    ],
)
def test_a_current_loop_in_microamperes_is_scaled_and_judged(
    register: int, value: float | None, quality: tuple[int, ...] | None
) -> None:
    loop = {"lo": 0, "hi": 100, "unit": "%{LEL}"}
    scan = Scan(_profile({"address": 0, "scale": 0.001, "unit": "mA", "loop": loop}))
    assert scan.decode([register.to_bytes(2, "big")]) == ((value,), quality)
    channel = scan.channels[0]
    assert 4_000 * channel.scale + channel.offset == pytest.approx(0.0, abs=1e-9)
    assert 20_000 * channel.scale + channel.offset == pytest.approx(100.0)
    assert channel.unit == "%{LEL}"


def test_missing_marks_nan_and_status_bits_become_qualities() -> None:
    scan = Scan(
        _profile(
            {"address": 0, "missing": [65535]},
            {"address": 1, "type": "f32"},
            {"address": 3, "fault_mask": 0x10, "warm_up_mask": 0x20},
        )
    )

    def decode(first: int, second: float, status: int) -> tuple[object, object]:
        return scan.decode([struct.pack(">HfH", first, second, status)])

    assert decode(7, 1.5, 0) == ((7.0, 1.5, 0.0), None)
    missing, not_finite = int(Quality.MISSING), int(Quality.NOT_FINITE)
    assert decode(65535, math.nan, 0) == ((None, None, 0.0), (missing, not_finite, 0))
    fault, warm = int(Quality.DEVICE_FAULT), int(Quality.WARM_UP)
    assert decode(7, 1.5, 0x30) == ((7.0, 1.5, 48.0), (fault, fault, 0))
    assert decode(65535, 1.5, 0x20) == ((None, 1.5, 32.0), (missing, warm, 0))


def test_bits_come_from_coils_and_from_registers() -> None:
    scan = Scan(
        _profile(
            {"address": 10, "function": 1, "type": "bit"},
            {"address": 19, "function": 1, "type": "bit"},
            {"address": 5, "type": "bit", "bit": 15},
            max_gap=10,
        )
    )
    assert scan.blocks == (Block(1, 10, 10), Block(3, 5, 1))
    assert scan.decode([b"\x01\x02", b"\x80\x00"]) == ((True, True, True), None)
    assert scan.decode([b"\x00\x02", b"\x7f\xff"]) == ((False, True, False), None)


def test_decimals_can_come_from_a_register() -> None:
    scan = Scan(_profile({"address": 1, "decimals_address": 2}))
    assert scan.decode([struct.pack(">HH", 2091, 2)]) == ((20.91,), None)
    assert scan.decode([struct.pack(">HH", 2091, 999)])[1] == (int(Quality.DEVICE_FAULT),)


@pytest.mark.parametrize(
    ("word_order", "byte_order", "data"),
    [
        ("big", "big", "4048f5c3"),
        ("little", "big", "f5c34048"),
        ("big", "little", "4840c3f5"),
        ("little", "little", "c3f54840"),
    ],
)
def test_a_float_is_read_in_each_of_the_four_orders(
    word_order: str, byte_order: str, data: str
) -> None:
    point = {"address": 0, "type": "f32"}
    scan = Scan(_profile(point, word_order=word_order, byte_order=byte_order))
    values, quality = scan.decode([bytes.fromhex(data)])
    assert list(values) == [pytest.approx(3.14, abs=1e-6)]
    assert quality is None
