"""What `tocsin chaos --json` prints."""

from __future__ import annotations

import msgspec

from tocsin.lab.chaos.faults import Fault
from tocsin.lab.chaos.reckoning import DeviceCount


class Struck(msgspec.Struct):
    """One fault as it happened. `in_flight`: rows acquired and not yet committed by the cloud at that moment; null: nobody could tell.

    `landed`: it broke something while rows were in flight. `recovered_s`: from its end until a query found something newer.
    """

    at_s: float
    kind: str
    target: str
    for_s: float
    amount: float
    in_flight: int | None
    landed: bool
    ended_ns: int = 0
    recovered_s: float | None = None

    @classmethod
    def of(cls, fault: Fault, at_s: float, in_flight: int | None, *, hit: bool) -> Struck:
        """`hit`: there was something to break."""
        landed = hit and bool(in_flight)
        return cls(
            round(at_s, 2), fault.kind, fault.target, fault.for_s, fault.amount, in_flight, landed
        )


class ChaosReport(msgspec.Struct, frozen=True):
    """Counts are readings (single values) of all devices. `passed`: nothing lost, doubled or wrong, drained, enough faults landed, and nothing
    ended that was not killed.

    `audit`: what `tocsin audit` says of the gateway. `restarts`: how often gateway, spine or web ended by themselves and were started again.
    """

    passed: bool
    seed: int
    seconds: float
    acquired: int
    stored: int
    lost: int
    duplicated: int
    wrong: int
    not_acquired: int
    faults_landed: int
    faults_needed: int
    faults: list[Struck]
    longest_gap_s: float
    longest_gap_device: str
    drained: bool
    drain_s: float
    audit: str
    restarts: int
    devices: list[DeviceCount]
    broker: str
    folder: str
    repeat: str
    examples: list[str]


def summary(report: ChaosReport) -> str:
    """For people."""
    from tocsin.cli.output import table

    faults = [
        [
            f"{f.at_s:.1f}", f"{f.kind}:{f.target}", f"{f.for_s:g}", "?" if f.in_flight is None else str(f.in_flight),
            "yes" if f.landed else "no", "never" if f.recovered_s is None else f"{f.recovered_s:.1f}",
        ]
        for f in report.faults
    ]  # fmt: skip
    devices = [
        [d.device, d.kind, *map(str, (d.acquired, d.stored, d.lost, d.duplicated, d.wrong, d.not_acquired, d.longest_gap_s))]
        for d in report.devices
    ]  # fmt: skip
    verdict = "PASSED" if report.passed else "FAILED"
    return "\n".join(
        [
            table(["at s", "fault", "for s", "in flight", "landed", "back after s"], faults),
            "",
            table(
                ["device", "kind", "acquired", "stored", "lost", "doubled", "wrong", "not acquired", "longest gap s"],
                devices,
            ),
            "",
            f"{verdict}: {report.acquired} readings acquired, {report.stored} stored, lost {report.lost}, doubled "
            f"{report.duplicated}, wrong {report.wrong}",
            f"{len(report.faults)} faults, {report.faults_landed} landed with work in flight ({report.faults_needed} needed); longest gap "
            f"{report.longest_gap_s:g} s ({report.longest_gap_device})",
            f"drained in {report.drain_s:g} s" if report.drained else f"NOT DRAINED after {report.drain_s:g} s",
            f"audit: {report.audit}; {report.restarts} times something ended by itself, beside the kills",
            f"again with: {report.repeat}",
            *report.examples,
        ]
    )  # fmt: skip
