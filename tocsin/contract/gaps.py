"""The gap marker: what a gateway tells of numbers of its streams that never come, in `data.gaps` of the events that say why.

`outbox.thinned`: given up for want of room. `outbox.salvaged`: lost with a damaged file, as far as it could be told.
`cloud.restored`: no longer kept when a cloud restored from a backup asked for them again.
"""

from __future__ import annotations

import msgspec

from tocsin.contract.messages import Event, Name, Ns, Seq

THINNED = "outbox.thinned"
SALVAGED = "outbox.salvaged"
RESTORED = "cloud.restored"
MAX_DEVICES = 200


class Gap(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numbers [lo, hi) of a stream, of rows stamped `first_ns`..`last_ns`; no times where they are not known.

    `devices` is rows per device; `others` rows of further devices beyond `MAX_DEVICES`. `stream` is empty for rows that
    were never numbered (their time was not known, or the disk took nothing for too long); `hi` is how many.
    """

    cls: str
    stream: str
    lo: Seq
    hi: Seq
    first_ns: Ns | None = None
    last_ns: Ns | None = None
    devices: dict[Name, Seq] = {}
    others: Seq = 0

    @property
    def rows(self) -> int:
        """How many rows are gone."""
        return self.hi - self.lo

    def joins(self, later: Gap) -> bool:
        """Whether `later` goes on where this one ends; rows without numbers always do."""
        if not self.stream:
            return (self.cls, self.stream) == (later.cls, later.stream)
        return (self.cls, self.stream, self.hi) == (later.cls, later.stream, later.lo)

    def with_(self, later: Gap) -> Gap:
        """Both as one; `joins` must be true."""
        firsts = [t for t in (self.first_ns, later.first_ns) if t is not None]
        lasts = [t for t in (self.last_ns, later.last_ns) if t is not None]
        devices, others = dict(self.devices), self.others + later.others
        for device, rows in later.devices.items():
            if device in devices or len(devices) < MAX_DEVICES:
                devices[device] = devices.get(device, 0) + rows
            else:
                others += rows
        first_ns, last_ns = min(firsts, default=None), max(lasts, default=None)
        hi = later.hi if self.stream else self.hi + later.hi
        return Gap(self.cls, self.stream, self.lo, hi, first_ns, last_ns, devices, others)


def join(gaps: list[Gap], later: Gap) -> None:
    """Append `later`, or widen the last gap if it goes on there."""
    if gaps and gaps[-1].joins(later):
        gaps[-1] = gaps[-1].with_(later)
    else:
        gaps.append(later)


class Told(msgspec.Struct, frozen=True):
    """What every reader may expect in the data of such an event."""

    gaps: list[Gap] = []


def as_data(gaps: list[Gap]) -> dict[str, object]:
    """The data of an event about these gaps."""
    return {"rows": sum(gap.rows for gap in gaps), "gaps": msgspec.to_builtins(gaps)}


def gaps_of(event: Event) -> list[Gap]:
    """The gaps an event tells; none if it tells none, or not in this form."""
    if event.kind not in (THINNED, SALVAGED, RESTORED):
        return []
    try:
        return msgspec.convert(event.data, Told).gaps
    except msgspec.ValidationError:
        return []
