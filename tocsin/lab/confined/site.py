"""The files of the site: cloud, gateway, a rule pack with short intervals, the lock."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import msgspec

from tocsin.lab.site import gateway_head

GATEWAY, SITE, SPACE, LOCK = "gw-well", "north", "well-7", "hatch-7"
PLACE = "QR-WELL-7"
BY_SCRIPT, BY_HAND = "day", "by-hand"  # rule packs
TEST_AGE_S = 15.0
LOCK_ID, LOCK_KEY = "7c0ffee000000007", "5a" * 32


def write_rules(folder: Path, shipped: Path) -> None:
    """The shipped pack and template under other names, with intervals that a scripted day can wait for, and that a person has time for."""
    (folder / "rules" / "hazards").mkdir(parents=True)
    text = (shipped / "cn-industry-trade.toml").read_text("utf-8")
    short = {"ventilation-min": 1.0}
    for name, intervals in ((BY_SCRIPT, short | {"test-age": TEST_AGE_S}), (BY_HAND, short)):
        pack = text.replace('name = "cn-industry-trade"', f'name = "{name}"', 1)
        for row, interval_s in intervals.items():
            pattern = rf'(id = "{row}"\ntopic = "interval"\ninterval_s = )[0-9.]+'
            pack, n = re.subn(pattern, rf"\g<1>{interval_s}", pack)
            if n != 1:
                raise ValueError(f"the shipped pack has no row {row}")
        (folder / "rules" / f"{name}.toml").write_text(pack, "utf-8")
    template = (shipped / "hazards" / "sewer.toml").read_text("utf-8")
    for before, after in (
        ('id = "sewer"', 'id = "day-sewer"'),
        ("four_eyes = true", "four_eyes = false"),
        ("ventilate_min_s = 1800.0", "ventilate_min_s = 1.0"),
    ):
        template = template.replace(before, after, 1)
    (folder / "rules" / "hazards" / "day-sewer.toml").write_text(template, "utf-8")


def write_cloud(folder: Path, broker: str, http_port: int = 0) -> Path:
    """`cloud.toml`, with secrets that the gateway shares."""
    for name in ("password", "command_key"):
        path = folder / f"{name}.secret"
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), "utf-8")
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
[permits]
rules_folder = "rules"
[[gateways]]
id = "{GATEWAY}"
site = "{SITE}"
password = "${{file:password.secret}}"
command_key = "${{file:command_key.secret}}"
""",
        "utf-8",
    )
    return path


def write_gateway(
    folder: Path, *, broker_port: int, plant_port: str, page_port: int, lock: dict[str, str] | None
) -> Path:
    """`gateway.toml`; without `lock` before the lock was commissioned."""
    host, _, port = plant_port.rpartition(":")
    head = gateway_head(broker_port).replace('id = "gw-demo"', f'id = "{GATEWAY}"')
    head = head.replace('site = "demo"', f'site = "{SITE}"')
    path = folder / "gateway.toml"
    path.write_text(
        f"""{head}
[[drivers]]
type = "modbus"
name = "plant"
tcp = {{ host = "{host}", port = {port} }}
timeout_s = 1.0
devices = [
  {{ id = "gas-well-7", unit_id = 1, profile = "four-gas-head", period_s = 0.25 }},
  {{ id = "relays-7", unit_id = 2, profile = "relay-8", period_s = 0.5 }},
]
{_lock(lock) if lock else ""}
[permits]
listen = "127.0.0.1:{page_port}"
[[spaces]]
id = "{SPACE}"
gas = ["gas-well-7"]
ventilation = "relays-7/relay_2"
siren = {{ device = "relays-7", command = "relay-1", on = {{ state = 1 }}, off = {{ state = 0 }} }}
locks = [{f'"{LOCK}"' if lock else ""}]
""",
        "utf-8",
    )
    return path


def _lock(told: dict[str, str]) -> str:
    own = f'hci = "{told["hci"]}"' if "hci" in told else ""
    return f"""[[drivers]]
type = "lock"
name = "hatches"
{own}
gateway_id = "{told["gateway_id"]}"
issuers = [{{ kid = "{told["kid"]}", public = "{told["public"]}" }}]
log_dir = "locks"
clock_error_s = 1
devices = [{{ id = "{LOCK}", lock_id = "{LOCK_ID}", key = "{told["key"]}", advert_key = "{told["advert_key"]}" }}]
"""


def write_lock(folder: Path, issuers: dict[str, str], name: str) -> Path:
    """The lock as it left the factory."""
    told = {
        "name": name, "lock_id": LOCK_ID, "k_lock": LOCK_KEY, "profile": "A", "issuers": issuers,
    }  # fmt: skip
    path = folder / "locks.json"
    path.write_bytes(msgspec.json.encode([told]))
    return path
