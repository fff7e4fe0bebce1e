"""The demo's site: what stands there, and the two configuration files that describe it."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

GATEWAY, SITE = "gw-demo", "demo"
GAS_PERIOD_S, SLOW_PERIOD_S = 0.5, 1.0
H2S_LIMITS = (10.0, 20.0)  # ppm; level 1 and level 2
RELEASE_HEAD = "gas-02"


class Device(msgspec.Struct, frozen=True):
    """One virtual device and how the gateway is to read it."""

    id: str
    kind: str
    period_s: float
    deadband: dict[str, float] = {}


DEVICES = (
    Device("gas-01", "gas", GAS_PERIOD_S),
    Device("gas-02", "gas", GAS_PERIOD_S),
    Device("gas-03", "gas", GAS_PERIOD_S),
    Device("rain-01", "weather", SLOW_PERIOD_S, {"rain_total": 0.0, "rain_rate": 0.0}),
    Device("river-01", "water", SLOW_PERIOD_S, {"level": 0.002, "flow": 0.05}),
    Device("truck-01", "vehicle", SLOW_PERIOD_S),
)


def device_processes(folder: Path, release_after_s: float) -> dict[str, list[str]]:
    """Process name -> `python -m` arguments. Each speaks its own protocol on its own port and keeps its own ledger."""
    limits = ",".join(f"limit_h2s={limit:g}" for limit in H2S_LIMITS[:1])
    head = "model=gas-head,profile=four-gas-head"

    def modbus(name: str, port: list[str], *units: str) -> list[str]:
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

    tcp = ["--tcp", "127.0.0.1:0"]
    return {
        "rs485": modbus(
            "rs485",
            ["--link", str(folder / "rs485")],
            f"unit=1,device=gas-01,{head}",
            f"unit=2,device={RELEASE_HEAD},{head},release_after_s={release_after_s:g},{limits}",
        ),
        "gas-03": modbus("gas-03", tcp, f"unit=1,device=gas-03,{head}"),
        "rain-01": modbus("rain-01", tcp, "unit=1,device=rain-01,model=rain-gauge,profile=rain-gauge"),
        "river-01": modbus("river-01", tcp, "unit=1,device=river-01,model=river-gauge,profile=river-gauge"),
        "truck-01": [
            "firmware_bridges.nmea.device", "--device", "truck-01", "--pty", "--link", str(folder / "truck-01"),
            "--ledger", str(folder / "truck-01.ndjson"), "--stdin-lease",
        ],
    }  # fmt: skip


def write_cloud(folder: Path, *, http_port: int, broker: str) -> Path:
    """`cloud.toml` in `folder`, with fresh secrets that both sides share as files."""
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
[broker]
mode = "child"
kind = "{broker}"
port = 0
[store]
type = "local"
[http]
host = "127.0.0.1"
port = {http_port}
[[gateways]]
id = "{GATEWAY}"
site = "{SITE}"
password = "${{file:password.secret}}"
command_key = "${{file:command_key.secret}}"
""",
        "utf-8",
    )
    return path


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


def write_gateway(folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
    """`gateway.toml` in `folder`, for the ports the devices announced."""
    tables = [
        gateway_head(broker_port),
        f"""[[drivers]]
type = "modbus"
name = "rs485-1"
rtu = {{ port = "{ports["rs485"]}", baudrate = 9600 }}
[[drivers.devices]]
id = "gas-01"
unit_id = 1
profile = "four-gas-head"
period_s = {GAS_PERIOD_S}
[[drivers.devices]]
id = "gas-02"
unit_id = 2
profile = "four-gas-head"
period_s = {GAS_PERIOD_S}
""",
    ]
    for name, profile, period_s in (
        ("gas-03", "four-gas-head", GAS_PERIOD_S),
        ("rain-01", "rain-gauge", SLOW_PERIOD_S),
        ("river-01", "river-gauge", SLOW_PERIOD_S),
    ):
        host, _, port = ports[name].rpartition(":")
        tables.append(f"""[[drivers]]
type = "modbus"
name = "tcp-{name}"
tcp = {{ host = "{host}", port = {port} }}
[[drivers.devices]]
id = "{name}"
unit_id = 1
profile = "{profile}"
period_s = {period_s}
""")
    tables.append(f"""[[drivers]]
type = "nmea"
name = "gps"
device = "truck-01"
port = "{ports["truck-01"]}"
period_s = {SLOW_PERIOD_S}
""")
    for device in DEVICES:
        for quantity, deadband in device.deadband.items():
            tables.append(f"""[[checks]]
device = "{device.id}"
quantity = "{quantity}"
deadband = {deadband}
deadband_max_s = 10.0
""")
    tables.append(f"""[[alarms]]
device = "gas-*"
quantity = "h2s"
level1 = {H2S_LIMITS[0]}
level2 = {H2S_LIMITS[1]}
hysteresis = 1.0
[[alarms]]
device = "gas-*"
quantity = "o2"
direction = "low"
level1 = 19.5
level2 = 18.0
hysteresis = 0.2
[[outputs]]
kind = "file"
name = "siren"
path = "siren"
""")
    path = folder / "gateway.toml"
    path.write_text("".join(tables), "utf-8")
    return path
