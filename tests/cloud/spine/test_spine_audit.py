"""The account of sequence numbers, in a spine process on a real broker and the embedded store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.audit.report import GatewayReport
from tests.cloud.scripted_influx import STORED, Reply, scripted_influx
from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Row
from tocsin.contract.gaps import RESTORED, SALVAGED, THINNED, Gap, as_data
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, ClockState, Event, Health, StreamState
from tocsin.testing import INGESTER, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

if TYPE_CHECKING:
    from tests.cloud.spine.conftest import Make
    from tests.cloud.spine.running import SpineProcess

Scan = Callable[[int, int], list[Row]]
S = 10**9


def health(wire: WireGateway, *states: StreamState, volatile: bool = False) -> None:
    """What the gateway says of its streams."""
    told = Health(
        v=VERSION, site=wire.site, gateway=wire.gateway, t=time.time_ns(), boot="b", version="0",
        uptime_s=1.0, clock=ClockState(), streams=list(states), volatile=volatile,
    )  # fmt: skip
    topic = topics.up(wire.site, wire.gateway, topics.HEALTH)
    wire.publish(topic, msgspec.json.encode(told))


def telemetry(wire: WireGateway, first_kept: int, next_seq: int, committed: int = 0) -> StreamState:
    return StreamState(topics.TELEMETRY, wire.stream, first_kept, next_seq, committed)


def say(wire: WireGateway, stream: str, seq: int, kind: str, gaps: list[Gap]) -> None:
    """An event about gaps, as the outbox commits one."""
    event = Event(
        VERSION, wire.site, wire.gateway, stream, seq, kind, time.time_ns(), data=as_data(gaps)
    )
    wire.publish(topics.up(wire.site, wire.gateway, topics.EVENT), encode(event))


def audit(spine: SpineProcess, gateway: str, **span: Any) -> GatewayReport:
    return msgspec.convert(spine.call("audit", gateway=gateway, **span), GatewayReport)


def told(found: GatewayReport, stream: str) -> list[tuple[int, int, str]]:
    return [(g.lo, g.hi, g.reason) for s in found.streams if s.stream == stream for g in s.gaps]


def test_every_missing_number_is_named_with_its_reason_and_late_arrivals_close_the_gap(
    spine_on: Make, gateway_account: Account, scan: Scan
) -> None:
    with (
        throwaway_broker("mosquitto", accounts=[INGESTER, gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, gateway_account.user, "plant", gateway_account.password) as wire,
    ):
        name = wire.gateway
        assert audit(spine, name).verdict == "unheard"
        began_ns = time.time_ns()
        wire.put(scan(100, 0))
        wire.put(scan(100, 100))
        wait_until_sync(lambda: wire.uncommitted == 0)
        health(wire, telemetry(wire, 0, 200, 200))
        wait_until_sync(lambda: audit(spine, name).verdict == "complete")
        found = audit(spine, name)
        assert (found.rows, found.missing, found.waiting, found.volatile) == (200, 0, 0, False)
        # the outbox was full: 200-299 went, 300-399 wait
        events = ulid(began_ns)
        gap = Gap(topics.TELEMETRY, wire.stream, 200, 300, began_ns, began_ns + S, {"gas-01": 100})
        say(wire, events, 0, THINNED, [gap, Gap(topics.TELEMETRY, "", 0, 7)])
        state = StreamState(topics.EVENT, events, 1, 1, 1)
        health(wire, telemetry(wire, 300, 400, 300), state)
        wait_until_sync(lambda: len(told(audit(spine, name), wire.stream)) == 2)
        wait_until_sync(lambda: audit(spine, name).unnumbered == 7)
        health(wire, telemetry(wire, 300, 400, 300), state)
        wait_until_sync(
            lambda: (audit(spine, name).waiting, audit(spine, name).missing) == (100, 100)
        )
        found = audit(spine, name)
        assert told(found, wire.stream) == [(200, 300, "evicted"), (300, 400, "waiting")]
        assert (found.verdict, found.missing, found.unnumbered) == ("incomplete", 100, 7)
        (evicted, _) = next(s for s in found.streams if s.stream == wire.stream).gaps
        assert (evicted.first_ns, evicted.last_ns) == (began_ns, began_ns + S)
        assert audit(spine, name, to_ns=began_ns - S).missing == 0
        # it is a row beside the series, and a band in the chart
        assert spine.column("SELECT rows FROM gap WHERE device = 'gas-01'") == [100]
        assert spine.column("SELECT rows FROM gap WHERE device = 'gw-1'") == [7]
        span = {"site": "plant", "device": "gas-01", "measurement": "gas", "quantity": "h2s"}
        series = spine.call("series", **span, from_ns=began_ns, to_ns=time.time_ns())
        assert [tuple(g) for g in series["gaps"]] == [(began_ns, began_ns + S)]
        later = spine.call("series", **span, from_ns=began_ns + 2 * S, to_ns=began_ns + 3 * S)
        assert later["gaps"] == []
        # what was thought lost was on its way after all, and what waited comes
        wire._next_seq = 200
        wire.put(scan(100, 200))
        wire.put(scan(100, 300))
        wait_until_sync(lambda: wire.uncommitted == 0)
        wait_until_sync(lambda: audit(spine, name).rows == 401)
        found = audit(spine, name)
        assert (found.missing, found.waiting, told(found, wire.stream)) == (0, 0, [])
        # a poison message
        poison = bytearray(encode_one(wire, scan(10, 400), 400))
        poison[-3] ^= 1
        for _ in range(3):
            wire.publish(topics.up("plant", name, topics.TELEMETRY), bytes(poison))
        health(wire, telemetry(wire, 300, 410, 410), state)
        wait_until_sync(lambda: bool(told(audit(spine, name), wire.stream)), 20.0)
        wait_until_sync(
            lambda: told(audit(spine, name), wire.stream) == [(400, 410, "dead-lettered")]
        )
        (letter,) = spine.call("deadletters")
        (gap_,) = next(s for s in audit(spine, name).streams if s.stream == wire.stream).gaps
        assert (gap_.letters, gap_.detail) == ((letter["id"],), "bad-crc")
        # the file was damaged: new streams, and the old one ends short
        reborn = ulid(time.time_ns() + S)
        say(wire, reborn, 0, SALVAGED, [])
        wait_until_sync(lambda: len(audit(spine, name).streams) == 3)
        health(wire, telemetry(wire, 410, 500, 410), StreamState(topics.EVENT, reborn, 1, 1, 1))
        health(wire, StreamState(topics.EVENT, reborn, 1, 1, 1))
        wait_until_sync(lambda: (410, 500, "damaged") in told(audit(spine, name), wire.stream))
        # all of it is kept over a restart
        before = audit(spine, name)
        spine.process.kill9()
        spine.start()
        assert replace_time(audit(spine, name)) == replace_time(before)


def encode_one(wire: WireGateway, rows: list[Row], seq: int) -> bytes:
    from tocsin.contract.columns import group_rows
    from tocsin.contract.messages import Batch

    t0, unit, groups = group_rows(rows)
    return encode(Batch(VERSION, wire.site, wire.gateway, wire.stream, seq, t0, groups, unit))


def replace_time(found: GatewayReport) -> tuple[object, ...]:
    gaps = [(s.stream, g.lo, g.hi, g.reason) for s in found.streams for g in s.gaps]
    return found.verdict, found.missing, found.rows, gaps


def test_a_dead_letter_that_is_requeued_and_stored_closes_its_gap(
    spine_on: Make, gateway_account: Account, scan: Scan
) -> None:
    def refusing(body: bytes) -> Reply:
        return (400, {}, '{"error":"no"}') if b"seq=7i" in body else STORED

    with (
        scripted_influx() as influx,
        throwaway_broker("mosquitto", accounts=[INGESTER, gateway_account]) as broker,
    ):
        influx.answering = refusing
        store = f'[store]\ntype = "influx"\nurl = "{influx.url}"\nversion = "v2"\n'
        with (
            spine_on(broker, store) as spine,
            WireGateway(
                broker.port, gateway_account.user, "plant", gateway_account.password
            ) as wire,
        ):
            wire.put(scan(10, 0))
            wait_until_sync(lambda: list(wire.rejected) == [(7, 8)], 30.0, "a refusal")
            health(wire, telemetry(wire, 10, 10, 10))
            wait_until_sync(lambda: audit(spine, wire.gateway).verdict == "incomplete")
            assert told(audit(spine, wire.gateway), wire.stream) == [(7, 8, "dead-lettered")]
            (letter,) = spine.call("deadletters")
            influx.answering = lambda _: STORED
            (done,) = spine.call("deadletter_requeue", ids=[letter["id"]])
            assert done["outcome"] == "stored"
            found = audit(spine, wire.gateway)
            assert (found.verdict, found.rows, told(found, wire.stream)) == ("complete", 10, [])
            spine.process.kill9()
            spine.start()
            assert audit(spine, wire.gateway).verdict == "complete"


def test_a_cloud_asks_for_what_it_lacks_of_what_was_committed_until_it_is_told_why_it_is_gone(
    spine_on: Make, gateway_account: Account, scan: Scan
) -> None:
    with (
        throwaway_broker("mosquitto", accounts=[INGESTER, gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, gateway_account.user, "plant", gateway_account.password) as wire,
    ):

        def asked(by: Callable[[], None]) -> list[tuple[int, int]]:
            wire.lacks.clear()
            before = wire.acks
            by()
            wait_until_sync(lambda: wire.acks > before)
            return [(lo, hi) for _, lo, hi in wire.lacks]

        wire.put(scan(100, 0))
        wire.give_up(300)
        wait_until_sync(lambda: wire.uncommitted == 0)
        assert asked(wire.resume) == [], "an older gateway, or one to which nothing was committed"
        assert asked(lambda: wire.resume(100)) == []
        assert asked(lambda: wire.resume(350)) == [(100, 350)]
        assert asked(lambda: health(wire, telemetry(wire, 400, 400, 400))) == [(100, 400)]
        events = ulid(time.time_ns())
        say(wire, events, 0, THINNED, [Gap(topics.TELEMETRY, wire.stream, 100, 200)])
        wait_until_sync(lambda: len(told(audit(spine, wire.gateway), wire.stream)) == 2)
        assert asked(lambda: wire.resume(400)) == [(200, 400)]
        say(wire, events, 1, RESTORED, [Gap(topics.TELEMETRY, wire.stream, 200, 400)])
        wait_until_sync(
            lambda: told(audit(spine, wire.gateway), wire.stream) == [(100, 400, "evicted")]
        )
        assert asked(lambda: wire.resume(400)) == []
