"""4-20 mA current loops with the failure signals of NAMUR NE 43."""

from __future__ import annotations

from tocsin.contract.quality import Quality

FAULT_LOW_MA = 3.6
SATURATED_LOW_MA = 3.8
SATURATED_HIGH_MA = 20.5
FAULT_HIGH_MA = 21.0


def loop_quality(current_ma: float) -> Quality:
    """What NE 43 says about a current in mA."""
    if not FAULT_LOW_MA < current_ma < FAULT_HIGH_MA:
        return Quality.SENSOR_FAULT
    if not SATURATED_LOW_MA <= current_ma <= SATURATED_HIGH_MA:
        return Quality.SATURATED
    return Quality.GOOD


def loop_map(lo: float, hi: float) -> tuple[float, float]:
    """(scale, offset) from mA to a range whose ends are 4 and 20 mA."""
    scale = (hi - lo) / 16.0
    return scale, lo - 4.0 * scale
