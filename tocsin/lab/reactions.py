"""What a gateway was seen to do, and whether it did what its documentation says about each fault. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.contract.quality import Quality
from tocsin.lab.scenarios import FAULTS, PERIOD_S

# Counters of spoilt frames, without the driver's name in front.
_SPOILT = ("garbage", "half-frame", "nmea.bad_checksum", "nmea.no_checksum")


class Outage(msgspec.Struct, frozen=True):
    """The gateway called the device unavailable, so many seconds after the start; `until_s` None: it still does."""

    from_s: float
    until_s: float | None
    error: str


class DeviceSeen(msgspec.Struct, frozen=True):
    """One device in a run. `flagged` counts values by quality that is not good; deviations are parts of the period.

    `wrong`: numbers taken that the device never answered; known on the RS-485 line, at the end of the run.
    """

    id: str
    fault: str
    samples: int
    values: int
    flagged: dict[str, int]
    state: str
    errors: int
    outages: list[Outage]
    interval_p50_s: float | None
    deviation_p95: float | None
    deviation_max: float | None
    wrong: int | None = None


class Reaction(msgspec.Struct, frozen=True):
    """What is documented for a fault, whether it was seen, and in what."""

    fault: str
    device: str
    documented: str
    seen: bool
    evidence: str


class Watched:
    """Gathers values and states as the gateway tells them."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.started_ns = 0
        self.counters: dict[str, int] = {}
        self._devices = {name: _Device() for name in devices}

    def value(self, item: Mapping[str, Any]) -> None:
        """One stored value, as `tocsin edge tail` prints it."""
        d = self._devices.get(item["device"])
        if d is None or item["time_ns"] <= d.last_ns.get(item["quantity"], 0):
            return
        d.last_ns[item["quantity"]] = item["time_ns"]
        if not d.times_ns or item["time_ns"] > d.times_ns[-1]:
            if item["value"] is None:
                return  # the mark of an outage is no sample
            d.times_ns.append(item["time_ns"])
        d.values += item["value"] is not None
        if isinstance(item["value"], float):
            d.numbers.add((item["quantity"], _digits(item["value"])))
        if item["q"]:
            d.flagged[_quality(int(item["q"]))] += 1

    def status(self, found: Mapping[str, Any], at_s: float) -> None:
        """One `tocsin edge status`, so many seconds after the start."""
        self.counters = dict(found["counters"])
        for health in found["devices"]:
            d = self._devices[health["id"]]
            d.state, d.errors = health["state"], health.get("errors", 0)
            open_outage = bool(d.outages) and d.outages[-1].until_s is None
            if d.state == "unavailable" and not open_outage:
                error = health.get("last_error", "").removeprefix(f"{health['id']}: ")
                d.outages.append(Outage(round(at_s, 1), None, error))
            elif d.state != "unavailable" and open_outage:
                d.outages[-1] = msgspec.structs.replace(d.outages[-1], until_s=round(at_s, 1))

    def wrong(self, name: str, answered: Iterable[Mapping[str, Any]]) -> int:
        """How many numbers of a device are in no line of its ledger."""
        told = {
            (quantity, _digits(float(value)))
            for line in answered
            if line["device"] == name and "values" in line
            for quantity, value in line["values"].items()
        }
        return len(self._devices[name].numbers - told)

    def device(self, name: str, fault: str, *, polled: bool) -> DeviceSeen:
        """What was seen of one device."""
        d = self._devices[name]
        gaps = (
            sorted((b - a) / 1e9 for a, b in zip(d.times_ns, d.times_ns[1:], strict=False))
            if polled
            else []
        )
        off = sorted(abs(gap / PERIOD_S - 1.0) for gap in gaps)
        return DeviceSeen(
            id=name,
            fault=fault,
            samples=len(d.times_ns),
            values=d.values,
            flagged=dict(d.flagged),
            state=d.state,
            errors=d.errors,
            outages=list(d.outages),
            interval_p50_s=round(gaps[len(gaps) // 2], 4) if gaps else None,
            deviation_p95=round(off[int(0.95 * (len(off) - 1))], 4) if off else None,
            deviation_max=round(off[-1], 4) if off else None,
        )


class _Device:
    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self.last_ns: dict[str, int] = {}
        self.numbers: set[tuple[str, str]] = set()
        self.values = self.errors = 0
        self.flagged: Counter[str] = Counter()
        self.state = "starting"
        self.outages: list[Outage] = []


def reaction(seen: DeviceSeen, counters: Mapping[str, int]) -> Reaction:
    """Whether the gateway did what is documented about the fault of this device."""
    found, evidence = False, ""
    if seen.fault == "dead-slave":
        found = bool(seen.outages)
        evidence = "; ".join(f"unavailable after {o.from_s:g} s: {o.error}" for o in seen.outages)
    elif seen.fault == "crc-noise":
        spoilt = sum(n for name, n in counters.items() if name.endswith(_SPOILT))
        found = spoilt > 0 and seen.samples > 0 and not seen.wrong
        evidence = f"{spoilt} spoilt frames counted, {seen.samples} samples taken"
        if seen.wrong is not None:
            evidence += f", {seen.wrong} wrong numbers"
    elif seen.fault == "slow-slave":
        found = seen.samples > 1 and not seen.outages
        evidence = f"{seen.samples} samples taken"
    else:
        name = {"stuck-value": "flatline", "clock-jump": "source time"}[seen.fault]
        found = seen.flagged.get(name, 0) > 0
        evidence = f"{seen.flagged.get(name, 0)} values marked {name}"
    return Reaction(seen.fault, seen.id, FAULTS[seen.fault], found, evidence)


def unharmed(seen: DeviceSeen) -> bool:
    """Whether a device without a fault was read all along, and every value was good."""
    return seen.samples > 0 and seen.state == "ok" and not seen.outages and not seen.flagged


def _digits(value: float) -> str:
    return f"{value:.9g}"


def _quality(code: int) -> str:
    return Quality(code).name.lower().replace("_", " ") if code in set(Quality) else str(code)
