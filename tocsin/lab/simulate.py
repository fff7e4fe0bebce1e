"""`tocsin simulate`: a virtual site read by a real gateway process, faults and all. Imports neither; talks by their commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.reactions import DeviceSeen, Reaction, Watched, reaction, unharmed
from tocsin.lab.scenarios import GATEWAY, Plan

_SOCKET_S = 30.0
_LOOK_S = "0.5"


class SimulationReport(msgspec.Struct, frozen=True):
    """What `tocsin simulate --json` prints. `readings`: values that the gateway kept, by its own count.

    `ok`: every documented reaction was seen, and devices without a fault were read all along with good values.
    """

    scenario: str
    seconds: float
    gateway: str
    folder: str
    readings: int
    ok: bool
    others_unharmed: bool
    reactions: list[Reaction]
    devices: list[DeviceSeen]
    counters: dict[str, int]


class Simulation:
    """One run; use as a context manager, then `finish()` for the report."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.children = Children(plan.folder / "logs")
        self._lock = threading.Lock()
        self._watched = Watched(plan.scenario.devices)
        self._began_s = 0.0
        self._over = False  # what the gateway says while it stops is not looked at

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.children.__exit__(None, None, None)

    def start(self, say: Callable[[str], None]) -> None:
        """Bring devices and gateway up; returns when the gateway tells its values.

        Raises:
            LabError: a part did not start; the hint holds the end of its log.
        """
        say(f"virtual devices: {self.plan.scenario.text}")
        started = {p.name: self.children.start(p.name, *p.arguments) for p in self.plan.processes()}
        ports = {name: str(child.ready()["port"]) for name, child in started.items()}
        config = str(self.plan.write_gateway(ports))
        say(f"gateway: {config}")
        self._edge = self.children.start(
            "edge", "tocsin.cli", "edge", "run", "-c", config, "--json"
        )
        self._wait_for(self.plan.folder / "edge" / "control.sock")
        self._began_s = time.monotonic()
        self._follow("tail", config, take=self._watched.value)
        self._follow("status", config, "--every", _LOOK_S, take=self._status)

    @property
    def seconds(self) -> float:
        """Since the gateway answers."""
        return time.monotonic() - self._began_s

    def _status(self, found: dict[str, Any]) -> None:
        self._watched.status(found, self.seconds)

    def _wait_for(self, socket: Path) -> None:
        deadline = time.monotonic() + _SOCKET_S
        while not socket.exists():
            self.children.check()
            if time.monotonic() > deadline:
                raise LabError(
                    f"the gateway was not ready in {_SOCKET_S:g} s", hint=self._edge.tail()
                )
            time.sleep(0.05)

    def _follow(
        self, name: str, config: str, *more: str, take: Callable[[dict[str, Any]], None]
    ) -> None:
        """Hand each object that `tocsin edge NAME` prints to `take`."""
        child = self.children.start(name, "tocsin.cli", "edge", name, "-c", config, "--json", *more)
        threading.Thread(target=self._read, args=(child, take), name=name, daemon=True).start()

    def _read(self, child: Child, take: Callable[[dict[str, Any]], None]) -> None:
        assert child.process.stdout is not None  # noqa: S101 - we asked for a pipe
        for line in child.process.stdout:
            found = msgspec.json.decode(line)
            with self._lock:
                if not self._over:
                    take(found)

    def seen(
        self, answered: Sequence[dict[str, Any]] | None = None
    ) -> tuple[list[DeviceSeen], list[Reaction]]:
        """Devices and reactions so far; with what the units of the line answered, compared with it."""
        victims, polled = self.plan.victims, self.plan.scenario.polled
        with self._lock:
            devices = [
                self._watched.device(name, victims.get(name, ""), polled=name in polled)
                for name in self.plan.scenario.devices
            ]
            if answered is not None:
                devices = [
                    msgspec.structs.replace(d, wrong=self._watched.wrong(d.id, answered))
                    if d.id in polled
                    and d.fault != "slow-slave"  # its ledger counts late answers as lost
                    else d
                    for d in devices
                ]
            counters = {
                name: {
                    k: n
                    for k, n in self._watched.counters.items()
                    if k.startswith(self._driver_of(name))
                }
                for name in victims
            }
        return devices, [reaction(d, counters[d.id]) for d in devices if d.fault]

    def _driver_of(self, device: str) -> str:
        return "rs485." if device in self.plan.scenario.polled else f"{device}."

    def finish(self) -> SimulationReport:
        """Stop the gateway and tell what was seen."""
        seconds = self.seconds
        with self._lock:
            self._over = True
        self._edge.process.terminate()
        summary = msgspec.json.decode(self._edge.read_rest() or b"{}")
        devices, reactions = self.seen(_lines(self.plan.ledger))
        fine = all(unharmed(d) for d in devices if not d.fault)
        return SimulationReport(
            scenario=self.plan.scenario.name,
            seconds=round(seconds, 1),
            gateway=GATEWAY,
            folder=str(self.plan.folder),
            readings=summary.get("readings", 0),
            ok=fine and all(r.seen for r in reactions),
            others_unharmed=fine,
            reactions=reactions,
            devices=devices,
            counters=self._watched.counters,
        )


def _lines(ledger: Path) -> list[dict[str, Any]]:
    if not ledger.exists():
        return []
    return [msgspec.json.decode(line) for line in ledger.read_bytes().splitlines()]
