"""MQTT topics. Nothing else in the project builds or splits one.

`tocsin/1/<bucket>/<site>/<gateway>/up/<class>[/hist]`, `.../down/{command,config}`, `.../down/ack/<ingester>`,
`.../state` (retained; last will). `bucket` is fixed for ever per gateway, so ingesters can share buckets
without a gateway noticing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import msgspec

ROOT = "tocsin/1"
BROKER_DROPPED = (
    "$SYS/broker/publish/messages/dropped"  # of mosquitto, and of those that do as it does
)
BUCKETS = 64
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")

# Classes that go through the outbox, most urgent first.
ALARM, EVENT, TELEMETRY = "alarm", "event", "telemetry"
JOURNALLED = (ALARM, EVENT, TELEMETRY)
HEALTH, RESUME = "health", "resume"  # sent directly: an old one is worth nothing
EVIDENCE = "evidence"  # sent directly: the cloud asks again for what it lacks


def is_name(text: str) -> bool:
    """Whether `text` may name a site, gateway or device: 1-64 of a-z 0-9 . _ -, ends alphanumeric."""
    return _NAME.fullmatch(text) is not None


def bucket(gateway: str) -> int:
    """0..63, the CRC-32 of the gateway's name modulo 64."""
    return zlib.crc32(gateway.encode()) % BUCKETS


def base(site: str, gateway: str) -> str:
    """The part of every topic that belongs to one gateway."""
    return f"{ROOT}/{bucket(gateway)}/{site}/{gateway}"


def up(site: str, gateway: str, cls: str, *, hist: bool = False) -> str:
    """Where a gateway publishes class `cls`; `hist` marks backlog sent after an outage."""
    return f"{base(site, gateway)}/up/{cls}{'/hist' if hist else ''}"


def down(site: str, gateway: str, what: str) -> str:
    """Where the cloud publishes `command`, `config`, `permit`, `sign`, `model` ... for a gateway."""
    return f"{base(site, gateway)}/down/{what}"


def down_ack(site: str, gateway: str, ingester: str) -> str:
    """Where one ingester publishes its commit-acks for a gateway."""
    return f"{base(site, gateway)}/down/ack/{ingester}"


def down_filter(site: str, gateway: str) -> str:
    """What a gateway subscribes to."""
    return f"{base(site, gateway)}/down/#"


def state(site: str, gateway: str) -> str:
    """Retained `online`/`offline`."""
    return f"{base(site, gateway)}/state"


class UpTopic(msgspec.Struct, frozen=True):
    """A parsed topic of a gateway's: `kind` is a class of `up/`, or `state`."""

    bucket: int
    site: str
    gateway: str
    kind: str
    hist: bool = False


def parse_up(topic: str) -> UpTopic | None:
    """The parts of an `up/` or `state` topic; None when it is neither or its names are not valid."""
    parts = topic.split("/")
    if len(parts) < 6 or parts[0] != "tocsin" or parts[1] != "1":
        return None
    site, gateway = parts[3], parts[4]
    if not (is_name(site) and is_name(gateway)):
        return None
    number = bucket(gateway)
    if parts[2] != str(number):
        return None
    tail = parts[5:]
    if tail == ["state"]:
        return UpTopic(number, site, gateway, "state")
    if tail[0] == "up" and (len(tail) == 2 or (len(tail) == 3 and tail[2] == "hist")):
        return UpTopic(number, site, gateway, tail[1], len(tail) == 3)
    return None


LAST, LOGGED = "last", "logged"


def gateway_of(topic: str) -> str:
    """The gateway that a topic of `base` names, unchecked; "" where there is none."""
    parts = topic.split("/", 5)
    return parts[4] if len(parts) > 5 else ""


def told_by(node: str, what: str = LAST) -> str:
    """Where a node beside the cloud tells it the last values it stored (QoS 0), or what the log holds (QoS 1)."""
    return f"{TOLD}{node}/{what}"


TOLD = f"{ROOT}/ingest/"
TOLD_FILTER = f"{TOLD}+/+"
_SHARED = "$share/tocsin/"
_URGENT = ("up/alarm/#", "up/event/#", f"up/{HEALTH}", f"up/{RESUME}", f"up/{EVIDENCE}", "state")


def bucket_numbers(text: str) -> list[int]:
    """`0-31, 40`: the buckets named, in order; empty text names none.

    Raises:
        ValueError: not of that form, or beyond 0-63.
    """
    found: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        lo, dash, hi = part.partition("-")
        if not (lo.isdecimal() and (hi.isdecimal() or not dash)):
            raise ValueError(f"{part!r} is no bucket and no range of buckets")
        numbers = range(int(lo), int(hi or lo) + 1)
        if not numbers or numbers[-1] >= BUCKETS:
            raise ValueError(f"{part!r} is not within 0-{BUCKETS - 1}")
        found.update(numbers)
    return sorted(found)


def cloud_filters(buckets: Iterable[int] | None = None) -> list[str]:
    """What the cloud subscribes to: everything, or the telemetry of `buckets` and of all gateways whatever else they say."""
    if buckets is None:
        return [f"{ROOT}/+/+/+/up/#", f"{ROOT}/+/+/+/state", TOLD_FILTER]
    urgent = [f"{ROOT}/+/+/+/{tail}" for tail in _URGENT]
    return [*telemetry_filters(buckets), *urgent, TOLD_FILTER]


def telemetry_filters(buckets: Iterable[int] | None = None, *, shared: bool = False) -> list[str]:
    """Telemetry of `buckets` (default all); `shared`: the broker deals it out among all who say so (MQTT 5, 4.8.2)."""
    group = _SHARED if shared else ""
    return [f"{group}{ROOT}/{b}/+/+/up/{TELEMETRY}/#" for b in _numbers(buckets)]


def resume_filters(buckets: Iterable[int] | None = None) -> list[str]:
    """Questions of gateways of `buckets` (default all) for what is stored."""
    return [f"{ROOT}/{b}/+/+/up/{RESUME}" for b in _numbers(buckets)]


def every_filter() -> set[str]:
    """All that the functions above may name, to leave out of a session what an earlier configuration put in."""
    each = range(BUCKETS)
    return {
        *cloud_filters(), *cloud_filters(each), *resume_filters(each),
        *(f for shared in (False, True) for f in telemetry_filters(shared=shared)),
    }  # fmt: skip


def _numbers(buckets: Iterable[int] | None) -> list[str]:
    return ["+"] if buckets is None else [str(b) for b in buckets]
