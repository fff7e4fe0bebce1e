"""`tocsin bench gateway`: MQTT messages in, MQTT batches out, one gateway process; every value is counted by its content."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Account, Kind
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Batch
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.ingest import go
from tocsin.lab.report import percentile
from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.ingester import TestIngester
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

DEVICES = 20
QUANTITIES = ("n", "temperature", "humidity", "pressure")
WINDOW = 2000  # messages that the publisher has on their way to its broker
FLOOD_PER_S = 25_000  # so many are encoded for each second of a flood; it ends when they are sent
PROBE = "probe"
PEER = {"messages_per_s": 1500, "cpu_us_per_message": 320, "rss_mb": 69}  # measured by us, see docs
DRAIN_S, QUIET_S = 60.0, 5.0


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the publisher's send to the arrival at the sink."""

    p50: float
    p99: float
    n: int


class Limits(msgspec.Struct, frozen=True):
    """What one stage does alone with the same messages: a bare paho subscriber that counts; JSON to a dictionary."""

    transport_only_messages_per_s: float
    transport_only_cpu_us: float
    decode_only_messages_per_s: float
    decode_only_cpu_us: float


class GatewayFigure(msgspec.Struct, frozen=True):
    """One run. `offered_per_s` 0: a flood. Backlog: messages the broker had taken and the sink had not, half-way and at the last send."""

    offered_per_s: float
    messages: int
    messages_per_s: float
    values_per_s: float
    seconds: float
    lost: int
    duplicated: int
    wrong: int
    backlog_half_way: int
    backlog_end: int
    stamp_to_sink_ms: Latency
    cpu_us_per_message: float
    cpu_us_per_reading: float
    cpu_share: float
    rss_mb: float
    peak_rss_mb: float
    rows_per_batch: float
    payload_bytes_in_per_message: float
    payload_bytes_out_per_reading: float


class GatewayResult(msgspec.Struct, frozen=True):
    """What `tocsin bench gateway --json` prints. `ratio_to_transport_only`: the flood's rate by that of the bare subscriber."""

    offered: GatewayFigure
    flood: GatewayFigure
    limits: Limits
    ratio_to_transport_only: float
    peer: dict[str, int]
    settings: dict[str, Any]


def run_gateway(
    *, seconds: float, per_s: float, broker: Kind, say: Callable[[str], None]
) -> GatewayResult:
    """The offered rate, the flood and the limits one after the other, each on fresh brokers and a fresh outbox."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        say(f"gateway: {per_s:,.0f} messages/s offered, {seconds:g} s")
        offered = _measure(Path(name) / "offered", seconds, per_s, broker)
        say("gateway: a flood")
        flood = _measure(Path(name) / "flood", seconds, 0.0, broker)
        say("limits: the bare subscriber, the decoder")
        limits = _limits(Path(name) / "limits", seconds, broker)
    bare = limits.transport_only_messages_per_s
    return GatewayResult(
        offered=offered,
        flood=flood,
        limits=limits,
        ratio_to_transport_only=round(flood.messages_per_s / bare, 3),
        peer=PEER,
        settings={
            "values_per_message": len(QUANTITIES), "devices": DEVICES, "qos": 1, "form": "json, own time",
            "outbox_fsync": "batch", "outbox_commit_ms": 200, "outbox_commit_rows": 500, "codec": "jn",
            "publisher_window": WINDOW, "broker": broker, "brokers": "field and uplink", "sink": "commit-acks at once",
            "cores": os.cpu_count(),
        },
    )  # fmt: skip


class Rig:
    """A field broker, a sink on a broker of its own, and a gateway between them that is heard through."""

    def __init__(self, field_port: int, sink: TestIngester, children: Children, edge: Child):
        self.field_port, self.sink, self.children, self.edge = field_port, sink, children, edge


@contextmanager
def rig(folder: Path, broker: Kind) -> Iterator[Rig]:
    """Everything started, in `folder`, with a first row at the sink; ended at the end."""
    folder.mkdir()
    password = secrets.token_hex(16)
    (folder / "password.secret").write_text(password, "utf-8")
    (folder / "command_key.secret").write_text(secrets.token_hex(32), "utf-8")
    account = Account(site.GATEWAY, password)
    with (
        throwaway_broker(broker, accounts=[FIELD], autosave_s=3600) as field,
        throwaway_broker(broker, accounts=[account], autosave_s=3600) as uplink,
        TestIngester(
            uplink.port, INGESTER.user, INGESTER.password, site=site.SITE, gateway=site.GATEWAY
        ) as sink,
        Children(folder / "logs") as children,
    ):
        config = folder / "gateway.toml"
        config.write_text(site.gateway_head(uplink.port) + _driver(field.port), "utf-8")
        edge = start_edge(children, folder)
        with Peer(field.port, FIELD.user, FIELD.password, client_id="bench-probe") as peer:
            deadline_s = time.monotonic() + 60.0
            while not sink.received(topics.TELEMETRY):
                children.check()
                if time.monotonic() > deadline_s:
                    raise LabError("the gateway was not heard in 60 s", hint=edge.tail())
                peer.publish(f"bench/{PROBE}", b'{"ts": 0, "n": -1}')
                time.sleep(0.1)
        yield Rig(field.port, sink, children, edge)


def start_edge(children: Children, folder: Path) -> Child:
    """The gateway of a rig."""
    config = str(folder / "gateway.toml")
    return children.start("edge", "tocsin.cli", "edge", "run", "-c", config, "--json")


def _driver(port: int) -> str:
    values = ", ".join(f'{{ from = "{q}", quantity = "{q}" }}' for q in QUANTITIES)
    names = [PROBE, *(f"mast-{n + 1:03d}" for n in range(DEVICES))]
    head = (
        f'[[drivers]]\ntype = "mqtt_in"\nname = "field"\nhost = "127.0.0.1"\nport = {port}\n'
        f'client_id = "bench-gateway"\nusername = "{FIELD.user}"\npassword = "{FIELD.password}"\n'
        'subscriptions = [{ topic = "bench/{device}", format = "json", time_path = "ts" }]\n'
    )
    return head + "".join(
        f'[[drivers.devices]]\nid = "{name}"\nmeasurement = "bench"\nvalues = [{values}]\n'
        for name in names
    )


class _Published(msgspec.Struct, frozen=True):
    """What the publisher says at its end."""

    messages: int
    pubacks: int
    payload_bytes: int
    seconds: float
    sent_ns: list[tuple[int, int]]


def publisher(children: Children, port: int, messages: int, per_s: float) -> Child:
    """A publisher that is connected and waits for `go`."""
    return children.start(
        "publisher", "firmware_bridges.mqtt.bench_publisher", "--port", str(port), "--messages", str(messages),
        "--devices", str(DEVICES), "--per-s", f"{per_s:g}", "--window", str(WINDOW),
    )  # fmt: skip


def published(child: Child, seconds: float) -> _Published:
    """What it sent, once the field broker has taken the last.

    Raises:
        LabError: it has not taken all of it.
    """
    found = msgspec.convert(child.ready(seconds * 4 + 120.0), _Published)
    if found.pubacks != found.messages:
        raise LabError(f"the field broker took {found.pubacks} of {found.messages} messages")
    return found


def drained(rig: Rig, messages: int) -> None:
    """Return when so many rows are at the sink, or the rest does not come."""
    deadline_s = time.monotonic() + DRAIN_S
    rows, since_s = -1, time.monotonic()
    while rows < messages and time.monotonic() < deadline_s:
        now = rig.sink.rows()
        if now != rows:
            rows, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > QUIET_S:
            return
        time.sleep(0.05)


def _measure(folder: Path, seconds: float, per_s: float, broker: Kind) -> GatewayFigure:
    messages = int((per_s or FLOOD_PER_S) * seconds)
    with rig(folder, broker) as run:
        sender = publisher(run.children, run.field_port, messages, per_s)
        sender.ready(60.0)
        before, probes = run.edge.usage(), run.sink.rows()
        go(sender)
        sent = published(sender, seconds)
        drained(run, messages + probes)
        run.children.check()
        after = run.edge.usage()
        run.edge.process.terminate()
        run.edge.read_rest(30.0)
        seen = seen_at(run.sink)
    cpu_s = after.cpu_s - before.cpu_s
    return _figure(seen, sent, per_s, cpu_s, after.rss_bytes, after.peak_rss_bytes)


class Seen(msgspec.Struct):
    """What came at the sink: numbers with their arrival, in order, each once."""

    first_ns: dict[int, int] = {}
    duplicated: int = 0
    wrong: int = 0
    batches: int = 0
    payload_bytes: int = 0


def seen_at(sink: TestIngester) -> Seen:
    """What came there, counted by what it says."""
    seen = Seen()
    known: set[tuple[str, int]] = set()
    for arrived_ns, (topic, payload) in zip(sink.arrived_ns, sink.messages, strict=True):
        if f"/up/{topics.TELEMETRY}" not in topic:
            continue
        header = decode_header(payload)
        if (header.stream, header.first_seq) in known:
            continue  # sent again: the cloud knows it by its number
        known.add((header.stream, header.first_seq))
        batch = decode_body(header, payload, Batch)
        seen.batches += 1
        seen.payload_bytes += len(payload)
        for group in batch.groups:
            if group.device == PROBE:
                continue
            for row in zip(*group.columns, strict=True):
                told = dict(zip(group.quantities, row, strict=True))
                number = int(told["n"] or 0)
                if number in seen.first_ns:
                    seen.duplicated += 1
                seen.first_ns.setdefault(number, arrived_ns)
                seen.wrong += (group.device, told) != _right(number)
    return seen


def _right(number: int) -> tuple[str, dict[str, float]]:
    """Device and values of message `number`, as the publisher makes them."""
    made = (float(number), number % 600 / 10 - 20, number % 1000 / 10, 900 + number % 2000 / 10)
    return f"mast-{number % DEVICES + 1:03d}", dict(zip(QUANTITIES, made, strict=True))


def _figure(
    seen: Seen,
    sent: _Published,
    per_s: float,
    cpu_s: float,
    rss_bytes: int,
    peak_rss_bytes: int,
) -> GatewayFigure:
    ages_ms: list[float] = []
    for (first, at_ns), (after, _) in pairwise([*sent.sent_ns, (sent.messages, 0)]):
        ages_ms += [
            (seen.first_ns[n] - at_ns) / 1e6 for n in range(first, after) if n in seen.first_ns
        ]
    came = sorted(seen.first_ns.values())
    if not came:
        raise LabError("nothing arrived at the sink")
    began_ns, last_sent_ns = sent.sent_ns[0][1], sent.sent_ns[-1][1]
    took_s = (came[-1] - began_ns) / 1e9
    half_ns = (began_ns + last_sent_ns) // 2
    half_sent = max(first for first, at_ns in sent.sent_ns if at_ns <= half_ns)
    readings = len(came) * len(QUANTITIES)
    return GatewayFigure(
        offered_per_s=per_s,
        messages=sent.messages,
        messages_per_s=round(len(came) / took_s, 1),
        values_per_s=round(readings / took_s, 1),
        seconds=round(took_s, 2),
        lost=sent.messages - len(came),
        duplicated=seen.duplicated,
        wrong=seen.wrong,
        backlog_half_way=max(0, half_sent - sum(at <= half_ns for at in came)),
        backlog_end=sum(at > last_sent_ns for at in came),
        stamp_to_sink_ms=Latency(
            round(percentile(ages_ms, 0.5) or 0.0, 1),
            round(percentile(ages_ms, 0.99) or 0.0, 1),
            len(ages_ms),
        ),
        cpu_us_per_message=round(cpu_s * 1e6 / len(came), 1),
        cpu_us_per_reading=round(cpu_s * 1e6 / readings, 2),
        cpu_share=round(cpu_s / took_s, 3),
        rss_mb=round(rss_bytes / 1e6, 1),
        peak_rss_mb=round(peak_rss_bytes / 1e6, 1),
        rows_per_batch=round(len(came) / seen.batches, 1),
        payload_bytes_in_per_message=round(sent.payload_bytes / sent.messages, 1),
        payload_bytes_out_per_reading=round(seen.payload_bytes / readings, 2),
    )


def _limits(folder: Path, seconds: float, broker: Kind) -> Limits:
    folder.mkdir()
    messages = int(FLOOD_PER_S * min(seconds, 5.0))
    with (
        throwaway_broker(broker, accounts=[FIELD], autosave_s=3600) as field,
        Children(folder / "logs") as children,
    ):
        bare = children.start(
            "bare", "tocsin.lab.bare_subscriber", "--port", str(field.port), "--user", FIELD.user,
            "--password", FIELD.password, "--topic", "bench/+",
        )  # fmt: skip
        bare.ready()
        sender = publisher(children, field.port, messages, 0.0)
        sender.ready(60.0)
        before, began_s = bare.usage().cpu_s, time.monotonic()
        go(sender)
        published(sender, seconds)
        while True:
            go(bare)
            if bare.ready()["messages"] == messages:
                break
            if time.monotonic() - began_s > DRAIN_S + seconds:
                raise LabError("the bare subscriber did not get every message")
            time.sleep(0.01)
        took_s, cpu_s = time.monotonic() - began_s, bare.usage().cpu_s - before
    rate, cost_us = _decode_only()
    return Limits(
        transport_only_messages_per_s=round(messages / took_s, 1),
        transport_only_cpu_us=round(cpu_s * 1e6 / messages, 1),
        decode_only_messages_per_s=rate,
        decode_only_cpu_us=cost_us,
    )


def _decode_only(messages: int = 50_000) -> tuple[float, float]:
    made = [
        msgspec.json.encode({"ts": 1_764_000_000_000 + n} | _right(n)[1]) for n in range(messages)
    ]
    began_s = time.process_time()
    for text in made:
        msgspec.json.decode(text)
    took_s = time.process_time() - began_s
    return round(messages / took_s, 0), round(took_s * 1e6 / messages, 2)


def gateway_summary(result: GatewayResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    rows = [
        [
            f"{f.offered_per_s:,.0f}" if f.offered_per_s else "flood",
            f"{f.messages_per_s:,.0f}",
            f"{f.lost} / {f.duplicated} / {f.wrong}",
            f"{f.backlog_half_way} -> {f.backlog_end}",
            f"{f.stamp_to_sink_ms.p50:g} / {f.stamp_to_sink_ms.p99:g}",
            f"{f.cpu_us_per_message:.0f}",
            f"{f.cpu_share:.0%}",
            f"{f.rss_mb:.0f} / {f.peak_rss_mb:.0f}",
        ]
        for f in (result.offered, result.flood)
    ]
    head = ["offered/s", "messages/s", "lost/doubled/wrong", "backlog", "p50/p99 ms", "CPU us/message", "of one core", "MB/peak"]  # fmt: skip
    limits, flood = result.limits, result.flood
    return "\n".join(
        [
            table(head, rows),
            f"a message: {flood.payload_bytes_in_per_message:.0f} bytes in, {flood.payload_bytes_out_per_reading:.1f} a reading out, "
            f"{flood.rows_per_batch:.0f} rows a batch",
            f"limits: a bare subscriber {limits.transport_only_messages_per_s:,.0f} messages/s at {limits.transport_only_cpu_us:.0f} us; "
            f"decoding alone {limits.decode_only_messages_per_s:,.0f} at {limits.decode_only_cpu_us:.1f} us; the gateway does "
            f"{result.ratio_to_transport_only:.2f} of the bare subscriber's rate",
            f"a peer on this kind of machine: {result.peer['messages_per_s']:,} messages/s at {result.peer['cpu_us_per_message']} us",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )
