"""OPC UA status codes (Part 4, 7.39 and Part 8, 6.3) as qualities. Pure."""

from __future__ import annotations

from tocsin.contract.quality import Quality

_EXACT = {
    0x80050000: Quality.COMMS,  # BadCommunicationError
    0x800A0000: Quality.COMMS,  # BadTimeout
    0x80310000: Quality.COMMS,  # BadNoCommunication
    0x80320000: Quality.COMMS,  # BadWaitingForInitialData
    0x808A0000: Quality.COMMS,  # BadNotConnected
    0x808B0000: Quality.DEVICE_FAULT,  # BadDeviceFailure
    0x808C0000: Quality.SENSOR_FAULT,  # BadSensorFailure
    0x808D0000: Quality.DEVICE_FAULT,  # BadOutOfService
    0x803C0000: Quality.RANGE,  # BadOutOfRange
    0x80340000: Quality.MISSING,  # BadNodeIdUnknown
    0x80350000: Quality.MISSING,  # BadAttributeIdInvalid
    0x803A0000: Quality.MISSING,  # BadNotReadable
    0x809B0000: Quality.MISSING,  # BadNoData
    0x40900000: Quality.STALE,  # UncertainLastUsableValue
    0x408F0000: Quality.STALE,  # UncertainNoCommunicationLastUsableValue
    0x40910000: Quality.SUBSTITUTED,  # UncertainSubstituteValue
    0x40920000: Quality.WARM_UP,  # UncertainInitialValue
    0x40930000: Quality.CALIBRATION_DUE,  # UncertainSensorNotAccurate
    0x40940000: Quality.SATURATED,  # UncertainEngineeringUnitsExceeded
    0x40950000: Quality.ESTIMATED,  # UncertainSubNormal
    0x00960000: Quality.SUBSTITUTED,  # GoodLocalOverride
}
_CLASSES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)  # the two highest bits


def quality_of(status: int) -> Quality:
    """The quality of a value with this status; info bits (limits, overflow) are passed over."""
    return _EXACT.get(status & 0xFFFF0000, _CLASSES[status >> 30 & 3])
