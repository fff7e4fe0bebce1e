"""Every message between a gateway and the cloud, as frozen msgspec Structs. Field names are short: they travel.

Journalled classes (telemetry, alarm, event) carry a stream and sequence numbers; see `tocsin.contract.codec` for the
header in front of them. Unknown fields are ignored by design; all times are Unix nanoseconds UTC unless said.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tocsin.contract.catalogue import Value

VERSION = 1

Ns = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
TimeUnit = Literal["ns", "us", "ms"]
NS_PER_UNIT: dict[str, int] = {"ns": 1, "us": 1_000, "ms": 1_000_000}


class ClockState(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"state": "s", "error_ms": "e"}
):
    """What the gateway knew of its clock: disciplined by ntp or gps, free-running, or never set."""

    state: Literal["ntp", "gps", "free", "unset"] = "free"
    error_ms: float | None = None


class Group(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "device": "d",
        "measurement": "m",
        "quantities": "k",
        "types": "y",
        "times": "t",
        "columns": "x",
        "quality": "q",
        "source_times": "s",
        "raw": "r",
    },
):
    """The rows of one device that carry the same quantities, as columns.

    A row is one stamp: all quantities read in one scan. `times[row]` and `source_times[row]` are offsets from the
    batch's `t0` in its `tu`; `columns[col][row]` a value in the canonical unit or None; `quality` lists the
    exceptions as (row, col, code); `raw[quantity]` is (unit, values) where the edge converted from another unit.
    """

    device: Name
    measurement: Name
    quantities: tuple[Name, ...]
    types: str
    times: list[Ns]
    columns: list[list[Value]]
    quality: list[tuple[int, int, int]] = []
    source_times: list[Ns | None] | None = None
    raw: dict[str, tuple[str, list[Value]]] = {}


class Batch(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "version": "v",
        "gateway": "g",
        "stream": "st",
        "first_seq": "s0",
        "clock": "clk",
        "epoch": "ep",
        "groups": "b",
    },
):
    """Columnar telemetry. Row sequence numbers run from `first_seq` through the groups in their order."""

    version: int
    site: Name
    gateway: Name
    stream: Name
    first_seq: Seq
    t0: Ns
    groups: list[Group]
    tu: TimeUnit = "ns"
    clock: ClockState = ClockState()
    epoch: Seq = 0

    @property
    def rows(self) -> int:
        """How many rows, and so how many sequence numbers, the batch holds."""
        return sum(len(g.times) for g in self.groups)


class AlarmChange(StrEnum):
    """What happened to an alarm at the gateway."""

    RAISED = "raised"
    ESCALATED = "escalated"  # level 1 -> level 2
    DEESCALATED = "deescalated"  # level 2 -> level 1, value still beyond level 1
    RETURNED = "returned"  # value back within its limits (a latched alarm stays until reset)
    ACKNOWLEDGED = "acknowledged"
    RESET = "reset"
    REPEATED = "repeated"  # n coalesced repeats between first_ns and last_ns


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One transition of one alarm, never batched. `alarm` is the ULID of the occurrence, the same until it ends."""

    v: int
    site: Name
    gateway: Name
    stream: Name
    seq: Seq
    alarm: Name
    device: Name
    measurement: Name
    quantity: str
    rule: str
    change: AlarmChange
    level: Annotated[int, Meta(ge=0, le=9)]
    t: Ns
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    latched: bool = False
    acknowledged: bool = False
    beyond: bool = True  # whether the value is beyond a limit after this change
    actor: str = ""
    note: str = ""
    first_ns: Ns | None = None
    last_ns: Ns | None = None
    n: Seq = 1
    clock: ClockState = ClockState()
    evidence: str = ""  # SHA-256 of a picture that shows it; it comes by itself, later


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened at a gateway and is no reading and no alarm. `kind` is dotted, `data` its details.

    Kinds: `agent.started`, `agent.stopped`, `config.reloaded`, `config.refused`, `config.left-out`,
    `config.applied`, `config.on-trial`, `config.confirmed`, `config.rolled-back`, `config.superseded`,
    `config.withdrawn` (docs/reference/remote-config.md), `device.announced`,
    `device.removed`, `device.unavailable`, `device.recovered`,
    `clock.stepped`, `clock.set`, `cloud.restored`, `command.done`, `command.refused`, `command.accepted`,
    `command.result` (docs/reference/commands.md), `outbox.in-memory`, `outbox.on-disk-again`,
    `outbox.power-cut`, `outbox.salvaged`, `outbox.thinned`, `permit` (`data` is a PermitUp of `tocsin.permits.messages`), `vision.detection` (`data` is a Detection of `tocsin.contract.evidence`), `evidence.gone`. `data.clock` is `unset` where `t` is of a clock that was never set.
    """

    v: int
    site: Name
    gateway: Name
    stream: Name
    seq: Seq
    kind: str
    t: Ns
    device: str = ""
    text: str = ""
    data: dict[str, Any] = {}


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order to a gateway. `sig` is the hex HMAC-SHA-256 of the command with an empty `sig`, in JSON."""

    v: int
    id: str
    site: Name
    gateway: Name
    kind: str  # "alarm.acknowledge" | "alarm.reset" | "device.command" | "device.confirm"
    actor: str
    issued_ns: Ns
    expires_ns: Ns
    args: dict[str, str | int | float | bool] = {}
    sig: str = ""


MAX_RANGES = 500  # in `StreamAck.ranges`; so many may not be all there are


class StreamAck(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one ingester holds of one stream. Ranges are half-open [lo, hi).

    `upto`: everything below it is stored or rejected. `ranges`: stored or rejected beyond it, the lowest `MAX_RANGES`.
    `also`: of the ranges beyond those, what this commit stored or found stored, and the last ones; from `since` on (0:
    nowhere) every range is named. `rejected`: the part of all that went to dead letters and must not be sent again.
    `lacks`: of what the gateway told as `committed`, the lowest `MAX_RANGES` that no ingester of this cloud has and that
    the gateway did not say it gave up: the cloud was restored from a backup.
    """

    upto: Seq
    ranges: list[tuple[Seq, Seq]] = []
    rejected: list[tuple[Seq, Seq]] = []
    also: list[tuple[Seq, Seq]] = []
    since: Seq = 0
    lacks: list[tuple[Seq, Seq]] = []


class CommitAck(msgspec.Struct, frozen=True, omit_defaults=True):
    """Down on `down/ack/<ingester>`; the gateway takes the union over ingesters."""

    v: int
    ingester: str
    streams: dict[str, StreamAck]


class StreamState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gateway's side of one stream: `first_kept`..`next_seq` is what it can still send."""

    cls: str
    stream: str
    first_kept: Seq
    next_seq: Seq
    committed: Seq = 0  # everything below it was commit-acked
    live: bool = True  # false: it takes no more numbers, what is left of it is only sent


class Resume(msgspec.Struct, frozen=True, omit_defaults=True):
    """Up on connect: 'tell me what you hold of these streams'."""

    v: int
    site: Name
    gateway: Name
    streams: list[StreamState]


class DeviceHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """One device as its gateway sees it. `state`: starting, ok, unavailable, finished. `last_error` says in English what `last_reason` (a `DriverReason`) says to machines."""

    id: str
    kind: str
    driver: str
    state: str
    period_s: float | None = None
    last_ok_ns: Ns | None = None
    reads: int = 0
    errors: int = 0
    last_error: str = ""
    last_reason: str = ""  # older gateways tell the text alone


class AttendantSigns(msgspec.Struct, frozen=True, omit_defaults=True):
    """Seconds since the newest sign of each permit's attendant that the sender saw itself.

    `at_ns` is the sender's clock, `echo_ns` the newest `at_ns` it had of the reader, `held_s` how long ago that came: the
    reader trusts no clock but its own, and a message that was held up or played again makes no sign young.
    """

    at_ns: Ns
    echo_ns: Ns = 0
    held_s: float = 0.0
    ages_s: dict[str, float] = {}


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gateway about itself, every few seconds; not journalled."""

    v: int
    site: Name
    gateway: Name
    t: Ns
    boot: str
    version: str
    uptime_s: float
    clock: ClockState
    streams: list[StreamState]
    devices: list[DeviceHealth] = []
    unjournalled_ms: int = 0
    pending_rows: int = 0
    outbox_bytes: int = 0
    outbox_cap_bytes: int = 0
    volatile: bool = False
    rss_bytes: int = 0
    cpu_s: float = 0.0
    counters: dict[str, int] = {}
    left_out: list[str] = []  # sections of its configuration that it goes without: wrong
    config_version: Seq = 0  # of the configuration from the cloud that is in force; 0: its own
    attendants: AttendantSigns | None = None  # of a gateway that watches permits
    seal: str = ""  # its X25519 key, hex: secrets of grants are sealed to it
