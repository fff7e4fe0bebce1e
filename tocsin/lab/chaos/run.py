"""One chaos run: the timeline, the drain, and the judgement."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tocsin.broker import Kind
from tocsin.lab.chaos import site
from tocsin.lab.chaos.faults import Fault, needed, schedule
from tocsin.lab.chaos.publisher import proof, read_confirmed
from tocsin.lab.chaos.reckoning import Found, Reckoning, Taken, reckon
from tocsin.lab.chaos.report import ChaosReport, Struck
from tocsin.lab.chaos.rig import Mend, Rig
from tocsin.lab.chaos.watch import Watch, stored_messages
from tocsin.lab.children import tocsin_command
from tocsin.lab.ledger import read_ledgers
from tocsin.lab.site import GATEWAY

TICK_S = 0.05
DRAIN_S = 180.0
SILENT_S = 12.0  # when nothing waits at the gateway and nothing new was stored for so long, nothing will come
AUDIT_S = 30.0
WARM_UP_S = 60.0
TAGS = tuple(f"v{n:02d}" for n in range(site.TAGS))

Say = Callable[[str], None]


class Chaos:
    """Faults by plan on a running rig; `finish` for the report. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        seconds: float,
        names: Sequence[str],
        broker: Kind,
        repeat: str,
        disks: bool = False,
    ) -> None:
        self.folder, self.seed, self.seconds, self.repeat = folder, seed, seconds, repeat
        self.plan = schedule(seed, seconds, names)
        self.rig = Rig(folder, broker, disks=disks)
        self.struck: list[Struck] = []
        self._mending: list[tuple[float, Fault, Struck, Mend]] = []
        self._began_s = 0.0

    def __enter__(self) -> Chaos:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.rig.__exit__(None, None, None)

    def start(self, say: Say) -> None:
        """Everything up, and the first message stored.

        Raises:
            LabError: a part did not start, or nothing arrived.
        """
        self.rig.start(say)
        self.rig.until(
            lambda: bool(stored_messages(self.rig.client)), "nothing is stored", WARM_UP_S
        )
        self._watch = Watch(self.rig.client)
        self._began_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the first message was stored."""
        return time.monotonic() - self._began_s

    def play(self, say: Say) -> None:
        """All faults at their times, to the end of the run.

        Raises:
            LabError: something died that nobody broke.
        """
        plan = list(self.plan)
        while self.elapsed_s < self.seconds:
            self._mend(self.elapsed_s)
            while plan and plan[0].at_s <= self.elapsed_s:
                self._strike(plan.pop(0), say)
            self.rig.look()
            time.sleep(TICK_S)

    def _strike(self, fault: Fault, say: Say) -> None:
        in_flight = self.rig.waiting_rows()
        at_s = self.elapsed_s
        mend = self.rig.strike(fault)
        struck = Struck.of(fault, at_s, in_flight, hit=mend is not None)
        self.struck.append(struck)
        rows = "?" if in_flight is None else in_flight
        say(f"{at_s:6.1f} s  {fault.name} for {fault.for_s:g} s, {rows} rows in flight")
        if mend is not None:
            self._mending.append((at_s + fault.for_s, fault, struck, mend))

    def _mend(self, upto_s: float) -> None:
        for item in sorted(self._mending, key=lambda item: item[0]):
            ends_s, _, struck, mend = item
            if ends_s <= upto_s:
                mend()
                struck.ended_ns = time.time_ns()
                self._mending.remove(item)

    def finish(self, say: Say) -> ChaosReport:
        """Faults off, devices silent, everything drained, stopped and counted."""
        seconds = self.elapsed_s
        self._mend(float("inf"))
        say("faults are off; waiting until all is stored")
        began_s = time.monotonic()
        self.rig.devices_end()
        confirmed = read_confirmed(self.folder / site.CONFIRMED)
        drained = self._drain(len(confirmed))
        drain_s = time.monotonic() - began_s
        self._watch.stop()
        say("asking the audit, comparing the devices' ledgers with the store")
        verdict = self._audit(AUDIT_S if drained else 0.0)
        restarts = self.rig.restarts()
        self.rig.stop()
        published = [c.t_ns for c in confirmed if c.device == site.PUSHED[0]]
        for struck in self.struck:
            back_ns = self._watch.back_at(struck.ended_ns, published)
            if back_ns is not None and struck.ended_ns:
                struck.recovered_s = round((back_ns - struck.ended_ns) / 1e9, 2)
        pushed = self._pushed()
        polled = self._polled()
        devices = [*pushed.devices, *polled.devices]
        landed, wanted = sum(s.landed for s in self.struck), needed(self.seconds)
        lost, duplicated, wrong = (
            sum(getattr(d, name) for d in devices) for name in ("lost", "duplicated", "wrong")
        )
        gap = max(devices, key=lambda d: d.longest_gap_s)
        return ChaosReport(
            passed=not (lost or duplicated or wrong)
            and drained
            and landed >= wanted
            and verdict == "complete"
            and not restarts,
            seed=self.seed,
            seconds=round(seconds, 1),
            acquired=sum(d.acquired for d in devices),
            stored=sum(d.stored for d in devices),
            lost=lost,
            duplicated=duplicated,
            wrong=wrong,
            not_acquired=sum(d.not_acquired for d in devices),
            faults_landed=landed,
            faults_needed=wanted,
            faults=self.struck,
            longest_gap_s=gap.longest_gap_s,
            longest_gap_device=gap.device,
            drained=drained,
            drain_s=round(drain_s, 1),
            audit=verdict,
            restarts=restarts,
            devices=devices,
            broker=self.rig.broker.kind,
            folder=str(self.folder),
            repeat=self.repeat,
            examples=[*pushed.examples, *polled.examples],
        )

    def _drain(self, messages: int) -> bool:
        """Wait until the gateway holds nothing that the cloud has not, and every confirmed message is found or none comes any more."""
        began_s = changed_s = time.monotonic()
        before = None
        while (now_s := time.monotonic()) - began_s < DRAIN_S:
            self.rig.look()
            waiting, stored = self.rig.waiting_rows(), stored_messages(self.rig.client)
            if waiting != 0 or stored is None or stored != before:
                before, changed_s = stored, now_s
            silent = now_s - changed_s > SILENT_S
            if waiting == 0 and stored is not None and (stored >= messages or silent):
                return True
            time.sleep(0.2)
        return False

    def _audit(self, patience_s: float) -> str:
        """What `tocsin audit` says; the gateway tells how far it has got every few seconds, so it may have to be asked again."""
        deadline_s = time.monotonic() + patience_s
        while True:
            told = _audited(self.folder / "cloud")
            if told == "complete" or time.monotonic() > deadline_s:
                return told
            self.rig.look()
            time.sleep(1.0)

    def _pushed(self) -> Reckoning:
        rows = self._rows(site.PUSHED_AS, ("n", "proof"), "n")
        ledger = [
            Taken(c.device, c.n, c.t_ns, (float(c.n), proof(c.n)))
            for c in read_confirmed(self.folder / site.CONFIRMED)
        ]
        return reckon("push", ledger, rows)

    def _polled(self) -> Reckoning:
        rows = self._rows(site.POLLED_AS, TAGS, TAGS[0])
        scans = read_ledgers([self.folder / site.ANSWERED]).scans
        ledger = [
            Taken(s.device, _whole(s.values[TAGS[0]]), s.t_ns, tuple(_number(s.values[t]) for t in TAGS))
            for s in scans
        ]  # fmt: skip
        return reckon("poll", ledger, rows, [(b.from_ns, b.to_ns) for b in self.rig.blind])

    def _rows(self, measurement: str, values: Sequence[str], key: str) -> list[Found]:
        """Rows that hold a value; one that says that a device is unavailable holds none."""
        names = ", ".join(dict.fromkeys(("device", key, *values)))
        printed = tocsin_command(
            "query", f"SELECT {names} FROM {measurement} WHERE {key} IS NOT NULL", "--format", "json", "--max-rows", "10000000",
            "--data", str(self.folder / "cloud"),
        )  # fmt: skip
        return [
            Found(row["device"], _whole(row[key]), tuple(row[v] for v in values))
            for row in msgspec.json.decode(printed)
        ]


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else -1


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _audited(data: Path) -> str:
    argv = [sys.executable, "-P", "-m", "tocsin.cli", "audit", "--gateway", GATEWAY, "--data", str(data), "--json"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60.0)
    try:
        told = msgspec.json.decode(done.stdout)
        return str(told["verdict"])
    except (msgspec.DecodeError, KeyError):
        return f"no answer: {(done.stdout + done.stderr)[-200:]!r}"
