"""A permit through a real spine, broker and store: live gas stops it, the gateway's entries outlive a SIGKILL, the bundle has the air."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from cloud.permits.bundle_check import check_bundle
from cloud.permits.command_line import app
from tests.cloud.conftest import RunningCloud
from tests.cloud.permits.crew import Crew
from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import VERSION, AttendantSigns, ClockState, Event, Health
from tocsin.permits import facts
from tocsin.permits.journal import CLOUD, gateway_source
from tocsin.permits.messages import DOWN, SIGNS, UP, PermitDown, PermitUp, SignsDown
from tocsin.permits.names import Action, Role, State, TimeQuality
from tocsin.permits.requests import Request
from tocsin.permits.signing import is_signed_down
from tocsin.permits.writing import written
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
GATEWAY = Account("gw-north", "gw-north-password")
LAYOUT = Layout("gas-1", "gas", ("o2", "ex", "h2s", "co"), "ffff")
MORE = """
[[gateways]]
id = "gw-north"
site = "north"
command_key = "key"
"""


def approved(data: Path) -> str:
    """A permit that only the attendant has to release; its half hour of ventilation lies behind it."""
    cloud = RunningCloud(data)
    cloud.start()
    try:
        cloud.permit_clock.shift_ns = -int(32 * 60e9)
        crew = Crew(cloud)
        crew.furnish()
        crew.air()
        permit = crew.approved()
        crew.http.close()
    finally:
        cloud.stop()
    return permit


def measured(gateway: WireGateway, h2s: float) -> None:
    """The gas head speaks."""
    gateway.put([Row(LAYOUT, time.time_ns() // 1_000_000 * 1_000_000, (20.9, 0.0, h2s, 2.0))])


def newest(gateway: WireGateway, permit: str) -> PermitDown | None:
    """What the gateway was told last of a permit."""
    topic = topics.down("north", "gw-north", DOWN)
    found = [msgspec.json.decode(body, type=PermitDown) for at, body in gateway.down if at == topic]
    mine = [down for down in found if down.permit == permit]
    assert all(is_signed_down(down, b"key") for down in mine)
    return mine[-1] if mine else None


def wait_told(
    gateway: WireGateway, permit: str, good: Callable[[PermitDown], bool], what: str
) -> PermitDown:
    """Until the newest message is as it should be."""

    def look() -> bool:
        down = newest(gateway, permit)
        return down is not None and good(down)

    wait_until_sync(look, 30.0, what)
    down = newest(gateway, permit)
    assert down is not None
    return down


def test_gas_stops_a_permit_and_what_its_gateway_wrote_outlives_a_kill(
    spine_on: Make, tmp_path: Path
) -> None:
    permit = approved(tmp_path / "cloud")
    with (
        throwaway_broker("auto", accounts=[GATEWAY]) as broker,
        spine_on(broker, MORE) as spine,
        WireGateway(broker.port, GATEWAY.user, "north", GATEWAY.password) as gateway,
    ):
        measured(gateway, 1.0)
        wait_until_sync(lambda: spine.call("last"), 30.0, "values in memory")
        act(spine, permit, Action.ACTIVATE, place="QR-7")
        for name in ("zhou", "wu"):
            act(spine, permit, Action.ENTER, facts.Entered(name))
        assert spine.call("permit", permit=permit)["state"] == "active"
        told = wait_told(gateway, permit, lambda d: len(d.grants) == 2, "sealed grants")
        assert told.grants[0].sealed_key
        signs_are_answered(gateway, permit)
        measured(gateway, 9.0)
        wait_until_sync(
            lambda: spine.call("permit", permit=permit)["state"] == "suspended", 30.0, "suspension"
        )
        row = spine.call("permit", permit=permit)
        assert row["permit"]["cause"] == "gas"
        wait_until_sync(lambda: rules_of(spine) == ["permit-suspended"], 30.0, "its alarm")
        keep, entries = kept(gateway, permit)
        says(gateway, permit, PermitUp(1, permit, "gw-north", State.SUSPENDED, entries, keep))
        wait_told(gateway, permit, lambda d: d.have == 2, "the entries' acknowledgement")
        os.kill(spine.process.pid, signal.SIGKILL)
        spine.close()
        spine.start()
        row = spine.call("permit", permit=permit)
        assert (row["state"], row["permit"]["inside"]) == ("suspended", [])
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "every chunk in the store")
        report = check_bundle(spine.call("permit_export", permit=permit))
        assert report.problems == []
        assert report.counts["gas values"] == 8
        on_the_command_line(spine.data, permit, tmp_path / "bundle.tar")


def says(gateway: WireGateway, permit: str, up: PermitUp) -> None:
    """What the gateway tells of the permit."""
    event = Event(
        VERSION, "north", "gw-north", gateway.stream, gateway.rows, UP, time.time_ns(),
        data=msgspec.to_builtins(up),
    )  # fmt: skip
    gateway.put_sealed(1, topics.EVENT, lambda seq: encode(msgspec.structs.replace(event, seq=seq)))


def signs_are_answered(gateway: WireGateway, permit: str) -> None:
    """The attendant worked at the cloud's page a moment ago: the gateway hears of it."""
    told = Health(
        v=VERSION, site="north", gateway="gw-north", t=time.time_ns(), boot="b", version="0", uptime_s=1.0,
        clock=ClockState(), streams=[], attendants=AttendantSigns(10**12),
    )  # fmt: skip
    gateway.publish(topics.up("north", "gw-north", topics.HEALTH), msgspec.json.encode(told))
    topic = topics.down("north", "gw-north", SIGNS)
    wait_until_sync(lambda: any(at == topic for at, _ in gateway.down), 30.0, "an answer")
    body = next(body for at, body in gateway.down if at == topic)
    down = msgspec.json.decode(body, type=SignsDown)
    assert is_signed_down(down, b"key")
    assert down.signs.echo_ns == 10**12
    assert 0 <= down.signs.ages_s[permit] < 60


def on_the_command_line(data: Path, permit: str, file: Path) -> None:
    """List, show, export, verify."""
    for command, wanted in (
        (["list"], "suspended"),
        (["show", permit], "gas-tested"),
        (["locks"], "taken by 1 of 1"),
        (["locks"], "revoke since"),
        (["export", permit, "-o", str(file)], "signed with key"),
    ):
        run = CliRunner().invoke(app, [*command, "--data", str(data)])
        assert run.exit_code == 0, (command, run.output)
        assert wanted in run.output
    run = CliRunner().invoke(app, ["verify", str(file)])
    assert (run.exit_code, "everything holds" in run.output) == (0, True)


def rules_of(spine: Any) -> list[str]:
    """Alarms of permits."""
    alarms = spine.call("alarms", active=True)
    return [a["rule"] for a in alarms if a["measurement"] == "permit"]


def act(
    spine: Any, permit: str, action: Action, said: facts.Fact | None = None, place: str = ""
) -> None:
    """The attendant does something."""
    told = {"action": action.value, "actor": "li", "place": place}
    if said is not None:
        told["said"] = msgspec.to_builtins(said)
    answer = spine.call("permit_act", permit=permit, ask=told)
    assert "refused" not in answer, answer


def kept(gateway: WireGateway, permit: str) -> tuple[int, tuple[Any, ...]]:
    """What the gateway keeps of the cloud's entries, and what it wrote itself: both came out."""
    down = wait_told(
        gateway,
        permit,
        lambda d: any(getattr(e.fact, "target", "") == State.SUSPENDED for e in d.entries),
        "the suspension",
    )
    request = Request(Action.EXIT, "li", Role.ATTENDANT)
    out = [facts.Exited("zhou"), facts.Exited("wu")]
    source = gateway_source("gw-north")
    quality = TimeQuality.SYNCED
    entries = written(
        permit, down.entries, source, request, out, time.time_ns(), quality, down.rules.version
    )
    return max(e.seq for e in down.entries if e.source == CLOUD), tuple(entries)
