"""Values, status codes and source times of OPC UA as samples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from pydantic import ValidationError

from edge.drivers.opcua.config import OpcUaConfig
from edge.drivers.opcua.values import judge, samples, spec_of, told
from firmware_bridges.opcua.quality import quality_of
from tocsin.contract.quality import Quality, Severity, severity

NODE = {"node": "ns=2;s=a", "quantity": "level", "unit": "m"}
GOOD: dict[str, Any] = {
    "type": "opcua",
    "name": "plc",
    "url": "opc.tcp://127.0.0.1:4840",
    "devices": [
        {
            "id": "d",
            "measurement": "thing",
            "nodes": [
                {"node": "i=1", "quantity": "x"},
                {"node": "i=2", "quantity": "n", "type": "i"},
                {"node": "i=3", "quantity": "on", "type": "b"},
                {"node": "i=4", "quantity": "text", "type": "s"},
            ],
        }
    ],
}
CONFIG = OpcUaConfig.model_validate(GOOD)
SPEC = spec_of(CONFIG, CONFIG.devices[0])


def _data(value: object, status: int = 0, at: datetime | None = None) -> Any:
    return ua.DataValue(
        Value=ua.Variant(value), StatusCode=ua.StatusCode(status), SourceTimestamp=at
    )


def test_every_status_keeps_its_class() -> None:
    classes = {"G": Severity.GOOD, "U": Severity.UNCERTAIN, "B": Severity.BAD}
    names = [n for n in vars(ua.StatusCodes) if n.startswith(("Good", "Bad", "Uncertain"))]
    assert len(names) > 200
    for name in names:
        expected = Severity.UNCERTAIN if name == "GoodLocalOverride" else classes[name[0]]
        assert severity(quality_of(getattr(ua.StatusCodes, name))) is expected, name


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        ("BadNoCommunication", Quality.COMMS),
        ("BadSensorFailure", Quality.SENSOR_FAULT),
        ("BadDeviceFailure", Quality.DEVICE_FAULT),
        ("BadNodeIdUnknown", Quality.MISSING),
        ("UncertainLastUsableValue", Quality.STALE),
        ("UncertainSubstituteValue", Quality.SUBSTITUTED),
        ("UncertainSensorNotAccurate", Quality.CALIBRATION_DUE),
    ],
)
def test_a_status_becomes_a_quality_and_limit_bits_do_not_matter(
    name: str, quality: Quality
) -> None:
    code = getattr(ua.StatusCodes, name)
    assert quality_of(code) is quality
    assert quality_of(code | 0x0480) is quality


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("f", 3, (3.0, 0)),
        ("f", True, (1.0, 0)),
        ("f", float("nan"), (None, int(Quality.NOT_FINITE))),
        ("f", "3", (None, int(Quality.MISSING))),
        ("f", [1.0, 2.0], (None, int(Quality.MISSING))),
        ("i", 7, (7, 0)),
        ("i", 7.5, (None, int(Quality.MISSING))),
        ("i", float("inf"), (None, int(Quality.MISSING))),
        ("b", 0, (False, 0)),
        ("s", "on", ("on", 0)),
        ("s", b"on", (None, int(Quality.MISSING))),
        ("f", None, (None, int(Quality.MISSING))),
    ],
)
def test_a_value_fits_its_channel_or_is_missing(
    kind: Any, value: object, expected: tuple[object, int]
) -> None:
    assert judge(kind, told(0, _data(value))) == expected


def test_a_bad_value_is_left_out_and_an_uncertain_one_kept() -> None:
    bad = told(0, _data(1.5, ua.StatusCodes.BadOutOfService))
    assert judge("f", bad) == (None, int(Quality.DEVICE_FAULT))
    old = told(0, _data(1.5, ua.StatusCodes.UncertainLastUsableValue))
    assert judge("f", old) == (1.5, int(Quality.STALE))


def test_changes_are_one_row_for_each_source_time_in_order() -> None:
    first = datetime(2026, 11, 25, 12, 0, 0, 123_456, tzinfo=UTC)
    later = first.replace(second=1, tzinfo=None)
    changes = [
        told(0, _data(2.5, at=later)),
        told(0, _data(1.5, at=first)),
        told(1, _data(4, at=first)),
        told(3, _data("a")),
    ]
    found = samples(SPEC, changes, 5)
    assert [(s.source_ns, s.values) for s in found] == [
        (None, (None, None, None, "a")),
        (1_795_608_000_123_456_000, (1.5, 4, None, None)),
        (1_795_608_001_123_456_000, (2.5, None, None, None)),
    ]
    assert all(s.quality is None and s.ts_ns == 5 for s in found)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "http://x"}, "pattern"),
        ({"username": "a"}, "go together"),
        ({"devices": GOOD["devices"] * 2}, "another device"),
        ({"devices": [{**GOOD["devices"][0], "nodes": [NODE, NODE]}]}, "stands twice"),
        ({"devices": [{**GOOD["devices"][0], "nodes": [{**NODE, "node": "Pump"}]}]}, "pattern"),
        ({"security": {"certificate": "a"}}, "private_key"),
    ],
)
def test_a_mistake_says_what_is_allowed(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpcUaConfig.model_validate({**GOOD, **changes})
    assert says in str(caught.value)
