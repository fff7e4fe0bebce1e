"""A sample on its way to whoever tries a device: as the driver gave it, and judged as the agent would judge it."""

from __future__ import annotations

import msgspec

from edge.devices import LastValue, row_values
from edge.pipeline import CheckRule, Pipeline
from tocsin.contract.catalogue import Value
from tocsin.errors import ControlError
from tocsin.sdk import DeviceSpec, Sample


class Taken(msgspec.Struct, frozen=True):
    """One sample; `values` and `quality` in the order of the device's channels."""

    device: str
    ts_ns: int
    source_ns: int | None
    values: tuple[Value, ...]
    quality: tuple[int, ...] | None


def taken(sample: Sample) -> Taken:
    """`sample` as it is sent."""
    return Taken(sample.spec.id, sample.ts_ns, sample.source_ns, sample.values, sample.quality)


class Trial:
    """Judges the samples of one device by the gateway's checks; nothing is held back, kept or alarmed."""

    def __init__(self, spec: DeviceSpec, checks: tuple[CheckRule, ...]) -> None:
        self.spec = spec
        mine = [
            msgspec.structs.replace(rule, deadband=None)
            for rule in checks
            if rule.device == spec.id
        ]
        self._pipeline = Pipeline([spec], mine)
        self._units = self._pipeline.judge(spec.id).units

    def judge(self, item: Taken) -> list[LastValue]:
        """Values in canonical units with their quality.

        Raises:
            ControlError: not a sample of this device as the file describes it.
        """
        spec = self.spec
        if len(item.values) != len(spec.channels):
            raise ControlError(
                f"the running agent knows {spec.id} otherwise than the file says",
                hint="the file was changed since: tocsin edge reload",
            )
        sample = Sample(spec, item.ts_ns, item.values, item.source_ns, item.quality)
        rows = self._pipeline.process(sample, item.ts_ns).rows
        return [value for row in rows for value in row_values(row, self._units)]
