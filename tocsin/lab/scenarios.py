"""The virtual sites of `tocsin simulate`: who stands there, what can go wrong with whom, and the gateway.toml that reads them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

GATEWAY = "gw-simulated"
PERIOD_S = 1.0
FLATLINE_S = 3.0
SLOW_S = 0.3
NOISE_S = 4.0
CLOCK_ERROR_S = 7200

# What a gateway does about each fault, as docs/reference/cli.md has it.
FAULTS = {
    "dead-slave": "called unavailable, once; the others keep their period",
    "crc-noise": "spoilt frames are counted and thrown away; good ones go on being taken",
    "slow-slave": "read as before; the others keep their period",
    "stuck-value": "its value is marked flatline",
    "clock-jump": "its time is not believed: marked source time, the gateway's is taken",
}

_MODBUS = {
    "dead-slave": "kind=silent",
    "crc-noise": "kind=crc,every=3,after=1",
    "slow-slave": f"kind=late,delay={SLOW_S}",
    "stuck-value": "kind=stuck",
}


class Slave(msgspec.Struct, frozen=True):
    """A unit on the RS-485 line; `flat` is the quantity that never rests."""

    id: str
    model: str
    profile: str
    flat: str
    fault: str = ""


class Talker(msgspec.Struct, frozen=True):
    """A device that speaks by itself: `nmea` over a serial port, `jt808` or `sl651` by connecting to the gateway."""

    id: str
    kind: str
    fault: str = ""


class Scenario(msgspec.Struct, frozen=True):
    """One site. Each fault has its victim: the device that names it."""

    name: str
    text: str
    slaves: tuple[Slave, ...] = ()
    talkers: tuple[Talker, ...] = ()

    @property
    def victims(self) -> dict[str, str]:
        """Device by the fault that it can play."""
        found = {slave.fault: slave.id for slave in self.slaves}
        found |= {talker.fault: talker.id for talker in self.talkers}
        return {fault: device for fault, device in found.items() if fault}

    @property
    def devices(self) -> list[str]:
        """Every device."""
        return [*self.polled, *(talker.id for talker in self.talkers)]

    @property
    def polled(self) -> list[str]:
        """Those that the gateway asks: they have a period to keep."""
        return [slave.id for slave in self.slaves]


_HEAD, _RIVER = ("gas-head", "four-gas-head", "h2s"), ("river-gauge", "river-gauge", "flow")
SCENARIOS = {
    s.name: s
    for s in (
        Scenario(
            "gas-line",
            "five gas heads on one RS-485 line",
            slaves=(
                Slave("gas-01", *_HEAD),
                Slave("gas-02", *_HEAD, "dead-slave"),
                Slave("gas-03", *_HEAD, "crc-noise"),
                Slave("gas-04", *_HEAD, "slow-slave"),
                Slave("gas-05", *_HEAD, "stuck-value"),
            ),
        ),
        Scenario(
            "hydrology",
            "a rain gauge and three river gauges on one RS-485 line, and a station that reports by SL 651",
            slaves=(
                Slave("rain-01", "rain-gauge", "rain-gauge", "rain_rate", "crc-noise"),
                Slave("river-01", *_RIVER, "stuck-value"),
                Slave("river-02", *_RIVER, "dead-slave"),
                Slave("river-03", *_RIVER, "slow-slave"),
            ),
            talkers=(Talker("station-01", "sl651", "clock-jump"),),
        ),
        Scenario(
            "vehicle",
            "three GNSS receivers on serial ports and a vehicle terminal (JT/T 808)",
            talkers=(
                Talker("truck-01", "nmea"),
                Talker("truck-02", "nmea", "dead-slave"),
                Talker("truck-03", "nmea", "crc-noise"),
                Talker("truck-04", "jt808", "clock-jump"),
            ),
        ),
    )
}  # fmt: skip


class Process(msgspec.Struct, frozen=True):
    """One virtual device process: name, `python -m` arguments; `listen` is the gateway's port it connects to."""

    name: str
    arguments: tuple[str, ...]


class Plan:
    """A scenario in a folder, with the faults that are to be played from `after_s` on."""

    def __init__(
        self, scenario: Scenario, folder: Path, faults: Sequence[str], after_s: float
    ) -> None:
        self.scenario, self.folder, self.faults, self.after_s = (
            scenario,
            folder,
            tuple(faults),
            after_s,
        )
        self._listen = {
            t.id: f"127.0.0.1:{_free_port()}" for t in scenario.talkers if t.kind != "nmea"
        }

    @property
    def victims(self) -> dict[str, str]:
        """Fault by the device that plays it in this run."""
        return {self.scenario.victims[fault]: fault for fault in self.faults}

    def processes(self) -> list[Process]:
        """Each speaks its own protocol at its own port."""
        out = [Process("rs485", tuple(self._line()))] if self.scenario.slaves else []
        return out + [Process(t.id, tuple(self._talker(t))) for t in self.scenario.talkers]

    @property
    def ledger(self) -> Path:
        """What the units of the RS-485 line answered, NDJSON."""
        return self.folder / "rs485.ndjson"

    def _line(self) -> list[str]:
        out = [
            "firmware_bridges.modbus.device",
            "--link",
            str(self.folder / "rs485"),
            "--stdin-lease",
            "--ledger",
            str(self.ledger),
        ]
        for number, slave in enumerate(self.scenario.slaves, 1):
            out += [
                "--unit",
                f"unit={number},device={slave.id},model={slave.model},profile={slave.profile}",
            ]
            if slave.fault in self.faults:
                out += ["--fault", f"unit={number},{_MODBUS[slave.fault]},from={self.after_s:g}"]
        return out

    def _talker(self, talker: Talker) -> list[str]:
        played = talker.fault if talker.fault in self.faults else ""
        common = ["--device", talker.id, "--stdin-lease"]
        if talker.kind == "nmea":
            out = ["firmware_bridges.nmea.device", "--pty", "--link", str(self.folder / talker.id)]
            if played:
                kind = {"dead-slave": "silent", "crc-noise": "bad-checksum"}[played]
                out += ["--fault", kind, "--fault-from", f"{self.after_s:g}"]
            if played == "crc-noise":
                out += ["--fault-until", f"{self.after_s + NOISE_S:g}"]
            return [*out, *common]
        out = [f"firmware_bridges.{talker.kind}.device", "--connect", self._listen[talker.id]]
        out += ["--period", f"{PERIOD_S:g}", "--retry", "0.5"]
        if played:
            out += ["--clock-error", str(CLOCK_ERROR_S)]
        return [*out, *common]

    def write_gateway(self, ports: Mapping[str, str]) -> Path:
        """`gateway.toml` in the folder, for the serial ports that the processes announced. It has no cloud."""
        tables = [
            f'schema = 1\n[gateway]\nid = "{GATEWAY}"\nsite = "{self.scenario.name}"\ndata_dir = "edge"\n'
        ]
        if self.scenario.slaves:
            tables.append(
                f'[[drivers]]\ntype = "modbus"\nname = "rs485"\nrtu = {{ port = "{ports["rs485"]}" }}\n'
                "timeout_s = 0.5\nbackoff_max_s = 3.0\n"
            )
        for number, slave in enumerate(self.scenario.slaves, 1):
            tables.append(
                f'[[drivers.devices]]\nid = "{slave.id}"\nunit_id = {number}\nprofile = "{slave.profile}"\n'
                f"period_s = {PERIOD_S}\n"
            )
        tables += [self._driver(talker, ports) for talker in self.scenario.talkers]
        tables += [
            f'[[checks]]\ndevice = "{s.id}"\nquantity = "{s.flat}"\nflatline_s = {FLATLINE_S}\n'
            for s in self.scenario.slaves
        ]
        path = self.folder / "gateway.toml"
        path.write_text("".join(tables), "utf-8")
        return path

    def _driver(self, talker: Talker, ports: Mapping[str, str]) -> str:
        head = f'[[drivers]]\ntype = "{talker.kind}"\nname = "{talker.id}"\n'
        if talker.kind == "nmea":
            return head + f'device = "{talker.id}"\nport = "{ports[talker.id]}"\nsilence_s = 2.0\n'
        head += f'listen = "{self._listen[talker.id]}"\n'
        if talker.kind == "jt808":
            device = f'{{ id = "{talker.id}", phone = "013800138000", auth_code = "simulated", period_s = {PERIOD_S} }}'
        else:
            device = f'{{ id = "{talker.id}", station = "0012345678", password = "1234", period_s = {PERIOD_S} }}'
        return head + f"devices = [{device}]\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
