"""A running cloud without broker and store: the real web process's application, a real spine socket, known data."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from sqlalchemy import Engine

from cloud.alarms.model import (
    Occurrence,
    acknowledged_here,
    check_acknowledge,
    check_reset,
)
from cloud.alarms.silence import Condition
from cloud.audit.report import GatewayReport
from cloud.config import CloudConfig
from cloud.db import open_engine, upgrade
from cloud.gateway_configs.book import ConfigBook
from cloud.identity.accounts import Accounts
from cloud.identity.first_admin import write_link
from cloud.identity.rules import Role, Scope
from cloud.identity.tokens import Tokens
from cloud.ingest.last import Last, LastValues, columns_of
from cloud.lock_orders.book import LockOrderBook
from cloud.lock_orders.making import Maker
from cloud.models.book import ModelBook
from cloud.orders.book import OrderBook
from cloud.permits.book import PermitBook
from cloud.permits.effects import Effects
from cloud.permits.exporting import Exporter
from cloud.permits.granting import Granter
from cloud.permits.keeping import Keeper
from cloud.permits.orphans import Orphans
from cloud.permits.parts import PermitParts
from cloud.permits.situations import Situations
from cloud.rpc import Feed, SpineServer
from cloud.sealing import Sealing
from cloud.spine.permit_operations import PermitOperations
from cloud.vision.book import VisionBook
from cloud.vision.operations import VisionOperations
from cloud.vision.pictures import VisionRules
from cloud.vision.shelf import Shelf
from cloud.web import build, web_options
from tests.cloud.influx_servers import influxd, victoria  # noqa: F401 - fixtures of every room
from tocsin.contract.messages import AttendantSigns, Command
from tocsin.errors import AlarmRefusal, AlarmRefusedError, NotFoundError
from tocsin.sdk.clock import SystemClock
from tocsin.testing import wait_until_sync

PASSWORD = "correct horse battery"
S = 10**9


class KnownSpine:
    """The spine's operations over values a test sets; the rules of alarms are the real ones."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.last = LastValues()
        self.history: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
        self.means_until_ns = 0
        self.given_up: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self.devices: dict[tuple[str, str], dict[str, object]] = {}
        self.alarms: dict[str, Occurrence] = {}
        self.journal: dict[str, list[dict[str, object]]] = {}
        self.written: list[dict[str, object]] = []
        self.registry_changes = 0
        self.gateways: list[dict[str, object]] = []
        self.audits: dict[str, GatewayReport] = {}
        self.sent: list[Command] = []
        self.orders: OrderBook
        self.configs: ConfigBook
        self.models: ModelBook
        self.published: list[tuple[str, bytes]] = []

    def device(self, site: str, device: str, kind: str, **announced: object) -> None:
        """A gateway announced it."""
        state = {"site": site, "gateway": f"gw-{site}", "device": device, "measurement": kind}
        self.devices[site, device] = {
            **state,
            "period_s": 1.0,
            "state": "ok",
            "announced": announced,
        }

    def measure(
        self, site: str, device: str, q: int = 0, **values: tuple[float | str, str]
    ) -> None:
        """New values arrived now."""
        now = time.time_ns()
        told = {k: str(v) for k, v in self.devices[site, device].items()}
        kind = told["measurement"]
        for quantity, (value, unit) in values.items():
            place = site, told["gateway"], device, kind
            self.last.put(Last(*place, quantity, unit, value, q, now, now))
            if not isinstance(value, str):
                self.history.setdefault((site, device, quantity), []).append((now, value))
        self.feed.publish_last({f"{site}/{device}": self.last.of((site, device, kind))})

    def alarm(self, alarm: str, site: str, device: str, quantity: str, value: float) -> None:
        """The gateway raised it, two levels, latched."""
        now = time.time_ns()
        self.alarms[alarm] = Occurrence(
            alarm=alarm,
            origin="gateway",
            site=site,
            gateway=f"gw-{site}",
            device=device,
            measurement="gas",
            quantity=quantity,
            rule="limit",
            raised_ns=now,
            changed_ns=now,
            level=2,
            value=value,
            unit="[ppm]",
            limit=20.0,
            latched=True,
        )
        self.note(alarm, "raised")

    def stopped(self, alarm: str, space: str, rule: str, why: str, **more: Any) -> None:
        """The cloud's own, of a permit."""
        now = time.time_ns()
        self.alarms[alarm] = Occurrence(
            alarm=alarm,
            origin="cloud",
            site="north",
            gateway="gw-north",
            device=space,
            measurement="permit",
            quantity="",
            rule=rule,
            raised_ns=now,
            changed_ns=now,
            **more,
        )
        self.note(alarm, "raised", note=why)

    def returned(self, alarm: str) -> None:
        """The value is back within its limits."""
        self.alarms[alarm] = replace(
            self.alarms[alarm], beyond=False, value=1.0, returned_ns=time.time_ns()
        )
        self.note(alarm, "returned")

    def note(self, alarm: str, change: str, actor: str = "", note: str = "") -> None:
        """One line of the journal, and everyone hears of it."""
        state = self.alarms[alarm]
        entry = {"change": change, "t_ns": time.time_ns(), "actor": actor, "note": note}
        self.journal.setdefault(alarm, []).append(
            {**entry, "level": state.level, "value": state.value, "unit": state.unit}
        )
        self.feed.publish("alarm", self.told(state))

    def told(self, state: Occurrence) -> dict[str, object]:
        """As the spine tells it."""
        why = self.journal[state.alarm][0]["note"] if state.origin == "cloud" else ""
        more = {"active": state.active, "ended_ns": state.ended_ns, "pending": [], "why": why}
        return asdict(state) | more

    def _found(self, alarm: str) -> Occurrence:
        if alarm not in self.alarms:
            raise AlarmRefusedError(AlarmRefusal.UNKNOWN_ALARM, f"no alarm {alarm}")
        return self.alarms[alarm]

    async def op_devices(self) -> object:
        return list(self.devices.values())

    async def op_last(self) -> object:
        return self.last.all()

    async def op_last_json(
        self,
        sites: list[str] | None,
        measurement: str,
        quantity: str,
        columns: bool,
        fields: list[str],
    ) -> object:
        rows = self.last.all(sites, measurement, quantity)
        return msgspec.json.encode(columns_of(rows, fields) if columns else rows)

    async def op_gateways(self) -> object:
        return self.gateways

    async def op_audit(self, gateway: str, from_ns: int | None, to_ns: int | None) -> object:
        if gateway not in self.audits:
            raise NotFoundError(f"there is no gateway {gateway!r}")
        return msgspec.to_builtins(replace(self.audits[gateway], from_ns=from_ns, to_ns=to_ns))

    async def op_completeness(self, from_ns: int | None, to_ns: int | None) -> object:
        found = [replace(report, streams=[]) for report in self.audits.values()]
        return msgspec.to_builtins(found)

    async def op_counters(self) -> object:
        return {"rows_stored": 1}

    async def op_deadletters(self, limit: int) -> object:
        return []

    async def op_registry_changed(self) -> object:
        self.registry_changes += 1
        return None

    async def op_alarms(self, active: bool, limit: int) -> object:
        rows = [self.told(a) for a in self.alarms.values() if a.active or not active]
        return rows[::-1][:limit]

    async def op_alarm_journal(self, alarm: str) -> object:
        return self.journal.get(alarm, [])

    async def op_alarm_ack(self, alarm: str, actor: str, note: str) -> object:
        check_acknowledge(self._found(alarm), actor)
        self.alarms[alarm] = acknowledged_here(self.alarms[alarm], actor, note, time.time_ns())
        self.note(alarm, "acknowledged", actor, note)
        return self.told(self.alarms[alarm])

    async def op_alarm_reset(self, alarm: str, actor: str, note: str) -> object:
        check_reset(self._found(alarm), actor)
        self.alarms[alarm] = replace(self.alarms[alarm], reset_by=actor, reset_ns=time.time_ns())
        self.note(alarm, "reset", actor, note)
        return self.told(self.alarms[alarm])

    async def op_commands(self, limit: int, site: str = "", device: str = "") -> object:
        return self.orders.rows(site=site, device=device, limit=limit)

    async def op_command(self, command: str) -> object:
        return self.orders.row(command)

    async def op_command_give(self, site: str, **given: Any) -> object:
        return self.orders.give(site=site, gateway=f"gw-{site}", **given)

    async def op_command_confirm(self, command: str, actor: str, expires_s: float) -> object:
        return self.orders.confirm(command, actor, expires_s)

    async def op_configs(self, gateway: str, limit: int) -> object:
        return self.configs.rows(gateway, limit)

    async def op_config(self, gateway: str, version: int) -> object:
        return self.configs.row(gateway, version)

    def publish(self, topic: str, payload: bytes) -> bool:
        """In place of the broker's link."""
        self.published.append((topic, payload))
        return True

    async def op_models(self, gateway: str, limit: int) -> object:
        return self.models.rows(gateway, limit)

    async def op_model_push(self, gateway: str, toml: str, files: dict[str, bytes], actor: str, **given: Any) -> object:  # fmt: skip
        return self.models.push(gateway, toml, files, actor, **given)

    async def op_config_push(self, gateway: str, toml: str, actor: str, **given: Any) -> object:
        return self.configs.push(gateway, toml, actor, **given)

    async def op_series(
        self, measurement: str, device: str, quantity: str, site: str, **bounds: int
    ) -> object:
        points = self.history.get((site, device, quantity), [])
        kept = [p for p in points if bounds["from_ns"] <= p[0] < bounds["to_ns"]]
        gaps = [g for g in self.given_up.get((site, device), []) if g[1] >= bounds["from_ns"]]
        return {
            "t": [p[0] for p in kept],
            "v": [p[1] for p in kept],
            "q": [0] * len(kept),
            "gaps": gaps,
            "means_until_ns": self.means_until_ns,
        }

    async def op_query(self, sql: str, **limits: object) -> object:
        return {
            "columns": [
                {"name": "time", "type": "timestamp_ns"},
                {"name": "h2s", "type": "double"},
                {"name": "device", "type": "varchar"},
            ],
            "data": [
                [1_800_000_000 * S, 1_800_000_000 * S + 500_000_000],
                [3.5, None],
                ["a", "b,c"],
            ],
            "truncated": False,
        }

    async def op_write_lp(self, body: str, precision: str, bucket: str) -> object:
        bad = [
            {"line": n, "reason": "no fields"}
            for n, line in enumerate(body.splitlines(), 1)
            if " " not in line
        ]
        self.written.append({"body": body, "precision": precision, "bucket": bucket})
        return {"written": len(body.splitlines()) - len(bad), "rejected": bad}

    async def subscribe(self) -> AsyncGenerator[object, None]:
        async for item in self.feed.subscribe():
            yield item


class ShiftedClock(SystemClock):
    """The machine's time and some more, so that a test need not wait half an hour."""

    shift_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.shift_ns

    def mono_ns(self) -> int:
        return super().mono_ns() + self.shift_ns


class RunningCloud:
    """uvicorn and the spine's socket on an event loop of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spine = KnownSpine()
        self.config = CloudConfig.model_validate(
            {"schema": 1, "cloud": {"data_dir": directory}, "http": {"port": 0}}
        )
        self.engine: Engine = open_engine(self.config.state_place)
        upgrade(self.engine)
        self.spine.orders = OrderBook(
            self.engine,
            SystemClock(),
            keys={"gw-north": b"key"},
            changed=lambda order: self.spine.feed.publish("command", order),
            send=self.spine.sent.append,
        )
        self.spine.configs = ConfigBook(
            self.engine,
            SystemClock(),
            sites={"gw-north": "north", "gw-south": "south"},
            keys={"gw-north": b"key"},
            send=self.spine.sent.append,
        )
        self.spine.models = ModelBook(
            self.engine,
            SystemClock(),
            sites={"gw-north": "north", "gw-south": "south"},
            keys={"gw-north": b"key"},
            publish=self.spine.publish,
        )
        sealing = Sealing.of(self.config.secrets_key)
        self.permits = PermitParts.of(self.config, self.engine, SystemClock(), sealing)
        parts = self.permits
        self.told: list[tuple[str, bytes]] = []
        self.heard_ns = 0
        self.signs: AttendantSigns | None = None
        self.can_tell = True
        self.conditions: list[Condition] = []
        self.permit_clock = ShiftedClock()
        book = PermitBook(
            self.engine,
            self.permit_clock,
            packs=parts.packs,
            situations=Situations(
                lambda site: self.spine.last.all([site]),
                lambda _: self.heard_ns,
                lambda _: self.signs,
                0,
                lambda _: self.can_tell,
            ),
            effects=Effects(Granter(parts.issuers, parts.locks), parts.locks),
            keys={"gw-north": b"key"},
            changed=lambda permit: self.spine.feed.publish("permit", permit),
            send=lambda topic, payload: self.told.append((topic, payload)),
            watch=self.conditions.extend,
        )
        exporter = Exporter(
            self.engine,
            self.permit_clock,
            sealing,
            parts.photos,
            gas=lambda site, devices, quantities, span: [],
            lock_log=lambda site, devices, span: [],
        )
        self.book = book
        self.lock_orders = LockOrderBook(
            self.engine,
            self.permit_clock,
            Maker(parts.issuers, parts.locks),
            keys={"gw-north": b"key"},
            gateway_of=lambda site, device: f"gw-{site}",
            is_heard=lambda gateway, now_ns: True,
            send=lambda topic, payload: self.told.append((topic, payload)),
        )
        folder = directory / "permits" / "bundles"
        self.vision = VisionBook(
            self.engine,
            SystemClock(),
            Shelf(directory / "evidence"),
            VisionRules(),
            keys={"gw-north": b"key"},
            changed=lambda detection: self.spine.feed.publish("detection", detection),
            viewed=lambda view: self.spine.feed.publish("view", view),
            send=lambda topic, payload: self.told.append((topic, payload)),
        )
        self.keeper = Keeper(
            self.engine,
            self.permit_clock,
            book,
            exporter,
            folder,
            Orphans(self.engine, self.permit_clock, parts.photos),
        )
        self._permit_pool = ThreadPoolExecutor(2)
        self._permit_operations = PermitOperations(
            book, self.keeper, parts.orders, parts.keys, self._permit_pool
        )
        self.accounts = Accounts(self.engine, SystemClock())
        self.tokens = Tokens(self.engine, SystemClock())
        self.app = build(self.config, self.engine)
        self._server = uvicorn.Server(web_options(self.config, self.app, 0))
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="running-cloud")

    def start(self) -> None:
        """Until it answers."""
        self._thread.start()
        assert self._ready.wait(30)
        wait_until_sync(lambda: self._server.started)
        link = f"{self.url}/setup?token={self.accounts.new_setup_token()}"
        write_link(self.directory, link)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"

    def stop(self) -> None:
        """And wait for it."""
        self._server.should_exit = True
        self._thread.join(30)
        self._permit_pool.shutdown()
        self.engine.dispose()

    def do(self, act: Callable[[KnownSpine], None]) -> None:
        """Run `act` where the spine lives."""

        async def run() -> None:
            act(self.spine)

        self._wait(run())

    def remember(self, site: str, device: str, quantity: str) -> None:
        """Half an hour of history, with a gap of ten minutes in it."""
        now = time.time_ns()
        wave = [(now - (1800 - n * 5) * S, 8 + 6 * math.sin(n / 15)) for n in range(360)]
        past = [p for p in wave if not now - 1200 * S < p[0] < now - 600 * S]
        self.do(lambda spine: spine.history[site, device, quantity].__setitem__(slice(0, 0), past))

    def change(self, site: str) -> None:
        """A new value and a new line in the journal of a site's gas head."""
        self.do(lambda spine: spine.measure(site, f"gas-{site}", h2s=(7.0, "[ppm]")))
        self.do(lambda spine: spine.note(f"ALARM-{site}", "repeated"))

    def _wait(self, work: Coroutine[object, object, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(30)

    def token(self, *scopes: Scope, sites: frozenset[str] | None = None) -> dict[str, str]:
        """Headers of a new token."""
        secret, _ = self.tokens.create("test", frozenset(scopes), sites=sites)
        return {"Authorization": f"Bearer {secret}"}

    def account(self, name: str, role: Role, sites: frozenset[str] | None = None) -> None:
        """An account with `PASSWORD`."""
        self.accounts.create(name, PASSWORD, role, sites)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _main(self) -> None:
        handlers = {
            name.removeprefix("op_"): getattr(self.spine, name)
            for name in dir(self.spine)
            if name.startswith("op_")
        }
        handlers |= self._permit_operations.handlers
        vision = VisionOperations(self.vision, self.spine.orders, self._permit_pool)
        handlers |= vision.handlers
        server = SpineServer(
            self.config.socket_path,
            handlers,
            {"subscribe": self.spine.subscribe},
            logging.getLogger("test.spine"),
        )
        await server.start()
        self._ready.set()
        try:
            await self._server.serve()
        finally:
            await server.aclose()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """Empty: no account, no device."""
    running = RunningCloud(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def two_sites(cloud: RunningCloud) -> RunningCloud:
    """Sites north (gas, vehicle) and south (gas), one alarm each."""

    def fill(spine: KnownSpine) -> None:
        for site in ("north", "south"):
            spine.device(site, f"gas-{site}", "gas", lat=31.23, lon=121.47, serial=f"SN-{site}")
            spine.measure(site, f"gas-{site}", h2s=(55.0, "[ppm]"), o2=(20.9, "%{vol}"))
            spine.alarm(f"ALARM-{site}", site, f"gas-{site}", "h2s", 55.0)
            spine.gateways.append({"site": site, "gateway": f"gw-{site}", "online": True})
        spine.device("north", "truck-1", "vehicle")
        spine.measure(
            "north",
            "truck-1",
            lat=(31.24, "deg"),
            lon=(121.48, "deg"),
            course=(90.0, "deg"),
            speed=(12.0, "m/s"),
        )

    cloud.do(fill)
    return cloud
