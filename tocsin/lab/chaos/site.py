"""What stands at the chaos site, and the gateway's configuration: devices that push, and devices that are asked."""

from __future__ import annotations

from pathlib import Path

from tocsin.lab.site import gateway_head
from tocsin.testing.mqtt_field import FIELD

PUSHED, POLLED = ("push-01", "push-02"), ("poll-01", "poll-02")
PUSH_PERIOD_S, POLL_PERIOD_S = 0.05, 0.25
PUSHED_AS, POLLED_AS = "weather", "bench"  # kinds of device
TAGS = 4
MOST_MINUTES = 180  # the polled counter goes round after 3.6 hours
SESSION, TOPICS = "tocsin-chaos", "chaos/+"  # the gateway's, at the field broker
CLOCK_FILE, CONFIRMED, ANSWERED = "clock", "confirmed.ndjson", "answered.ndjson"


def modbus_arguments(folder: Path) -> list[str]:
    """`python -m` arguments of the polled devices: counters, another number in every answer."""
    units = ", ".join(
        f'{{"unit": {n}, "device": "{device}", "model": "counter", "profile": "{folder / "counter.toml"}"}}'
        for n, device in enumerate(POLLED, 1)
    )
    config = (
        f'{{"tcp": "127.0.0.1:0", "refresh_s": {POLL_PERIOD_S - 0.05}, '
        f'"ledger": "{folder / ANSWERED}", "units": [{units}]}}'
    )
    points = "".join(f'[[points]]\nquantity = "v{n:02d}"\naddress = {n}\n' for n in range(TAGS))
    head = f'schema = 1\n[profile]\nname = "counter"\nmeasurement = "{POLLED_AS}"\n'
    (folder / "counter.toml").write_text(head + points, "utf-8")
    return ["firmware_bridges.modbus.device", "--config", config, "--stdin-lease"]


def publisher_arguments(folder: Path, field_port: int) -> list[str]:
    """`python -m` arguments of the pushing devices."""
    devices = [word for device in PUSHED for word in ("--device", device)]
    return [
        "tocsin.lab.chaos.publisher", "--port", str(field_port), "--period", f"{PUSH_PERIOD_S}",
        "--ledger", str(folder / CONFIRMED), *devices,
    ]  # fmt: skip


def write_gateway(
    folder: Path, *, broker_port: int, field_port: int, modbus: str, metrics_port: int
) -> Path:
    """`gateway.toml` in `folder`."""
    host, _, port = modbus.rpartition(":")
    head = gateway_head(broker_port).replace("[commands]", "keepalive_s = 5\n[commands]")
    tables = [
        head,
        "[outbox]\nkeep_committed_bytes = 0\n",  # else the gateway makes good what a hasty cloud loses
        f'[metrics]\nreadings = false\nlisten = "127.0.0.1:{metrics_port}"\n',
        f"""[[drivers]]
type = "mqtt_in"
name = "field"
host = "127.0.0.1"
port = {field_port}
client_id = "{SESSION}"
username = "{FIELD.user}"
password = "{FIELD.password}"
subscriptions = [{{ topic = "chaos/{{device}}", format = "json", time_path = "ts" }}]
""",
        *map(_pushed, PUSHED),
        f"""[[drivers]]
type = "modbus"
name = "line"
tcp = {{ host = "{host}", port = {port} }}
timeout_s = 3.0
""",
        *(
            f'[[drivers.devices]]\nid = "{device}"\nunit_id = {n}\nprofile = "./counter.toml"\n'
            f"period_s = {POLL_PERIOD_S}\n"
            for n, device in enumerate(POLLED, 1)
        ),
    ]
    path = folder / "gateway.toml"
    path.write_text("".join(tables), "utf-8")
    return path


def _pushed(device: str) -> str:
    return f"""[[drivers.devices]]
id = "{device}"
measurement = "{PUSHED_AS}"
values = [{{ from = "n", quantity = "n", type = "i" }}, {{ from = "proof", quantity = "proof" }}]
"""
