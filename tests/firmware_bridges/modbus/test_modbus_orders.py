"""Commands of a profile: what they write, what they refuse, and the mistakes a profile can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firmware_bridges.modbus.image import RegisterImage
from firmware_bridges.modbus.orders import Writable, write_of
from firmware_bridges.modbus.profiles import load_profile, profile_names
from firmware_bridges.modbus.values import Order, RegisterType, decode
from tocsin.errors import UsageError

MOVE: dict[str, Any] = {
    "name": "move",
    "function": 6,
    "address": 3,
    "argument": {"name": "position", "scale": 0.1, "unit": "%", "low": 0, "high": 100},
}


def written(raw: dict[str, Any], **args: Any) -> tuple[int, ...]:
    command = Writable.model_validate(raw)
    return write_of(command, args, word_order="big", byte_order="big").request.values


def test_a_number_is_scaled_and_held_within_its_bounds() -> None:
    assert written(MOVE, position=30.4) == (304,)
    assert written(MOVE, position="100") == (1000,)
    for wrong in ("100.1", "-0.1", "nan", "inf", "half", "", True, None):
        with pytest.raises(UsageError, match="0 to 100 %"):
            written(MOVE, position=wrong)
    for args in ({}, {"position": 1, "speed": 2}, {"pos": 1}):
        with pytest.raises(UsageError, match="takes position="):
            written(MOVE, **args)


def test_words_switches_and_fixed_values() -> None:
    choices = [{"name": "local", "value": 0}, {"name": "remote", "value": 7}]
    control = MOVE | {"argument": {"name": "from", "choices": choices}}
    assert written(control, **{"from": "remote"}) == (7,)
    with pytest.raises(UsageError, match="local, remote"):
        written(control, **{"from": "7"})
    switch = MOVE | {"function": 5, "argument": {"name": "state", "type": "bit"}}
    assert [written(switch, state=s) for s in ("on", True, "OFF", "0")] == [(1,), (1,), (0,), (0,)]
    with pytest.raises(UsageError, match="on or off"):
        written(switch, state=2)
    fixed = {"name": "off", "function": 15, "address": 0, "values": [0, 1, 0]}
    assert written(fixed) == (0, 1, 0)
    with pytest.raises(UsageError, match="no arguments"):
        written(fixed, state="on")


@given(st.floats(-1000, 1000), st.sampled_from(list(Order)))
def test_a_number_of_two_registers_comes_back_in_every_order(number: float, order: Order) -> None:
    argument = {"name": "x", "type": "f32", "low": -1000, "high": 1000}
    command = Writable.model_validate(MOVE | {"function": 16, "argument": argument})
    ends = {
        Order.ABCD: ("big", "big"), Order.CDAB: ("little", "big"),
        Order.BADC: ("big", "little"), Order.DCBA: ("little", "little"),
    }  # fmt: skip
    words, of_bytes = ends[order]
    write = write_of(command, {"x": number}, word_order=words, byte_order=of_bytes)  # type: ignore[arg-type]
    assert decode(write.request.values, RegisterType.F32, order) == pytest.approx(number, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"argument": None}, "give `values` or an `argument`"),
        ({"values": [1]}, "give `values` or an `argument`"),
        ({"argument": {"name": "x"}}, "low"),
        ({"argument": {"name": "x", "low": 0}}, "low"),
        ({"argument": {"name": "x", "low": 5, "high": 5}}, "low lies below high"),
        ({"argument": {"name": "x", "low": -1, "high": 5}}, "u16 cannot hold -1"),
        ({"argument": {"name": "x", "low": 0, "high": 1e6}}, "cannot hold 1e\\+06"),
        ({"argument": {"name": "x", "type": "f32", "low": 0, "high": 1}}, "writes at most 1"),
        ({"argument": {"name": "x", "type": "bit"}}, "goes with coils"),
        ({"argument": {"name": "x", "type": "bit", "low": 0, "high": 1}}, "no bounds"),
        ({"function": 5}, "goes with coils"),
        ({"argument": None, "values": [0, 1]}, "writes at most 1"),
        ({"argument": None, "values": [2], "function": 5}, "0 or 1"),
        ({"argument": None, "values": [0, 0], "function": 16, "address": 65535}, "beyond 65535"),
        ({"argument": {"name": "x", "low": 0, "high": 1, "unit": "ppm"}}, "unknown unit"),
        ({"argument": {"name": "x", "low": 0, "high": 1, "scale": 0}}, "must not be 0"),
        ({"name": "Move"}, "pattern"),
        ({"function": 3}, "5, 6, 15"),
    ],
)
def test_a_mistake_in_a_command_is_told(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Writable.model_validate(MOVE | change)


def test_every_command_of_a_shipped_profile_is_one_its_virtual_device_takes() -> None:
    told = 0
    for name in profile_names():
        profile = load_profile(name)
        image = RegisterImage(profile)
        for command in profile.commands:
            ends = [0.0] if command.argument is None else [command.argument.low or 0.0]
            for number in ends:
                assert image.write(
                    command.function, command.address, command.raw(number, Order.ABCD)
                )
            told += 1
    assert told >= 10
