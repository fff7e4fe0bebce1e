"""The demo's site: what stands there, and the two configuration files that describe it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

GATEWAY, SITE = "gw-demo", "demo"
H2S_LIMITS = (10.0, 20.0)  # ppm; level 1 and level 2
RELEASE_HEAD = "gas-02"
HEAD = "four-gas-head"


class Device(msgspec.Struct, frozen=True):
    """One virtual device and how the gateway is to read it."""

    id: str
    kind: str
    period_s: float
    model: str
    profile: str
    on_line: bool = False
    deadband: dict[str, float] = {}


class Site(msgspec.Struct, frozen=True):
    """Two gas heads on one RS-485 line and one over TCP, a rain gauge, a river gauge, a vehicle."""

    gas_period_s: float = 0.5
    slow_period_s: float = 1.0
    release_after_s: float = 15.0
    with_deadbands: bool = True
    gas_03_profile: str = HEAD

    @property
    def devices(self) -> tuple[Device, ...]:
        """Everything that stands there."""
        gas_s, slow_s = self.gas_period_s, self.slow_period_s
        rain = {"rain_total": 0.0, "rain_rate": 0.0, "voltage": 0.05}
        river = {"level": 0.002, "flow": 0.05, "velocity": 0.01, "temperature": 0.2}
        if not self.with_deadbands:
            rain, river = {}, {}
        return (
            Device("gas-01", "gas", gas_s, "gas-head", HEAD, on_line=True),
            Device(RELEASE_HEAD, "gas", gas_s, "gas-head", HEAD, on_line=True),
            Device("gas-03", "gas", gas_s, "gas-head", self.gas_03_profile),
            Device("rain-01", "weather", slow_s, "rain-gauge", "rain-gauge", deadband=rain),
            Device("river-01", "water", slow_s, "river-gauge", "river-gauge", deadband=river),
            Device("truck-01", "vehicle", slow_s, "gps", ""),
        )

    def processes(self, folder: Path) -> dict[str, list[str]]:
        """Process name -> `python -m` arguments. Each speaks its own protocol on its own port and keeps its own ledger."""
        on_line = [self._unit(d, i + 1) for i, d in enumerate(d for d in self.devices if d.on_line)]
        out = {"rs485": _modbus(folder, "rs485", ["--link", str(folder / "rs485")], on_line)}
        for device in self.devices:
            if device.model == "gps":
                out[device.id] = [
                    "firmware_bridges.nmea.device", "--device", device.id, "--pty", "--link", str(folder / device.id),
                    "--hz", f"{1 / device.period_s:g}", "--ledger", str(folder / f"{device.id}.ndjson"), "--stdin-lease",
                ]  # fmt: skip
            elif not device.on_line:
                out[device.id] = _modbus(
                    folder, device.id, ["--tcp", "127.0.0.1:0"], [self._unit(device, 1)]
                )
        return out

    def _unit(self, device: Device, unit: int) -> str:
        text = f"unit={unit},device={device.id},model={device.model},profile={device.profile}"
        if device.id == RELEASE_HEAD:
            text += f",release_after_s={self.release_after_s:g},limit_h2s={H2S_LIMITS[0]:g}"
        return text

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        """`gateway.toml` in `folder`, for the ports the devices announced."""
        tables = [gateway_head(broker_port)]
        tables.append(_driver("rs485-1", f'rtu = {{ port = "{ports["rs485"]}", baudrate = 9600 }}'))
        tables += [_device(d, i + 1) for i, d in enumerate(d for d in self.devices if d.on_line)]
        for device in self.devices:
            if device.model == "gps":
                tables.append(
                    f'[[drivers]]\ntype = "nmea"\nname = "gps"\ndevice = "{device.id}"\nport = "{ports[device.id]}"\n'
                    f"period_s = {device.period_s}\n"
                )
            elif not device.on_line:
                host, _, port = ports[device.id].rpartition(":")
                tables += [
                    _driver(f"tcp-{device.id}", f'tcp = {{ host = "{host}", port = {port} }}'),
                    _device(device, 1),
                ]
            for quantity, deadband in device.deadband.items():
                tables.append(
                    f'[[checks]]\ndevice = "{device.id}"\nquantity = "{quantity}"\ndeadband = {deadband}\ndeadband_max_s = 10.0\n'
                )
        path = folder / "gateway.toml"
        path.write_text("".join([*tables, _ALARMS]), "utf-8")
        return path


_ALARMS = f"""[[alarms]]
device = "gas-*"
quantity = "h2s"
level1 = {H2S_LIMITS[0]}
level2 = {H2S_LIMITS[1]}
hysteresis = 1.0
[[outputs]]
kind = "file"
name = "siren"
path = "siren"
"""


def _modbus(folder: Path, name: str, port: list[str], units: list[str]) -> list[str]:
    out = [
        "firmware_bridges.modbus.device",
        *port,
        "--ledger",
        str(folder / f"{name}.ndjson"),
        "--stdin-lease",
    ]
    for unit in units:
        out += ["--unit", unit]
    return out


def _driver(name: str, transport: str) -> str:
    return f'[[drivers]]\ntype = "modbus"\nname = "{name}"\n{transport}\ntimeout_s = 3.0\n'


def _device(device: Device, unit: int) -> str:
    return (
        f'[[drivers.devices]]\nid = "{device.id}"\nunit_id = {unit}\nprofile = "{device.profile}"\n'
        f"period_s = {device.period_s}\n"
    )


def write_cloud(
    folder: Path,
    *,
    http_port: int,
    broker: str,
    broker_port: int = 0,
    external_port: int = 0,
    gateways: Sequence[str] = (GATEWAY,),
) -> Path:
    """`cloud.toml` in `folder`, with fresh secrets that both sides share as files, the same for every gateway.

    With an `external_port` the broker there is not the cloud's own; it must know the same password.
    """
    keys = {"password": secrets.token_hex(16), "command_key": secrets.token_hex(32)}
    for name, value in keys.items():
        path = folder / f"{name}.secret"
        path.touch(mode=0o600)
        path.write_text(value, "utf-8")
    path = folder / "cloud.toml"
    path.write_text(
        f"""schema = 1
[cloud]
name = "cloud-0"
data_dir = "cloud"
{_EXTERNAL.format(port=external_port) if external_port else _CHILD.format(kind=broker, port=broker_port)}[store]
type = "local"
[http]
host = "127.0.0.1"
port = {http_port}
"""
        + "".join(map(_registered, gateways)),
        "utf-8",
    )
    return path


_CHILD = """[broker]
mode = "child"
kind = "{kind}"
port = {port}
"""
_EXTERNAL = """[broker]
mode = "external"
host = "127.0.0.1"
port = {port}
password = "${{file:password.secret}}"
keepalive_s = 5
"""


def _registered(gateway: str) -> str:
    return f"""[[gateways]]
id = "{gateway}"
site = "{SITE}"
password = "${{file:password.secret}}"
command_key = "${{file:command_key.secret}}"
"""


def gateway_head(broker_port: int) -> str:
    """The tables of a `gateway.toml` that are not about devices."""
    return f"""schema = 1
[gateway]
id = "{GATEWAY}"
site = "{SITE}"
data_dir = "edge"
[uplink]
host = "127.0.0.1"
port = {broker_port}
password = "${{file:password.secret}}"
[commands]
key = "${{file:command_key.secret}}"
"""
