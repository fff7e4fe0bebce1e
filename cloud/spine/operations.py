"""What the spine answers. Reads run in query threads and never wait for ingest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from cloud.alarms.book import AlarmBook
from cloud.audit.book import AuditBook
from cloud.audit.report import GatewayReport
from cloud.config import QuerySection
from cloud.gateway_configs.book import ConfigBook
from cloud.ingest.event_rows import GAP
from cloud.ingest.last import LastValues, columns_of
from cloud.ingest.presence import DeviceState, GatewayState, Presence
from cloud.models.book import ModelBook
from cloud.orders.book import OrderBook
from cloud.rpc import Handler, StreamHandler
from cloud.spine.doors import Door, Language
from cloud.spine.letter_operations import LetterOperations
from cloud.spine.permit_desk import PermitDesk
from cloud.spine.permit_operations import PermitOperations
from cloud.spine.thin import thin
from cloud.vision.book import VisionBook
from cloud.vision.operations import VisionOperations
from tocsin.contract.orders import Scalar
from tocsin.errors import NotFoundError

SNAPSHOT_TELL_S = 1.0
LONGEST_GAP_NS = 30 * 86_400 * 10**9  # one that began before that is not looked for
MAX_GAPS = 1000
_R = TypeVar("_R")


def device_row(state: DeviceState) -> dict[str, object]:
    """A device as the `devices` operation and the feed tell it."""
    health = state.health
    told = "" if health is None else health.state
    return {
        "site": state.site,
        "gateway": state.gateway,
        "device": state.device,
        "measurement": state.measurement,
        "period_s": state.period_s,
        "announced": state.announced,
        "last_time_ns": state.last_time_ns or None,
        "received_ns": state.received_ns or None,
        "state": told,
        "last_error": "" if health is None else health.last_error,
        "last_reason": "" if health is None else health.last_reason,
        "health": None if health is None else msgspec.to_builtins(health),
    }


def gateway_row(gateway: str, state: GatewayState) -> dict[str, object]:
    """A gateway as the `gateways` operation and the feed tell it."""
    told = {} if state.health is None else msgspec.to_builtins(state.health)
    return {
        **told,
        "site": state.site,
        "gateway": gateway,
        "online": bool(state.online),
        "heard_ns": state.heard_ns or None,
    }


class Operations:
    """`handlers` for the server."""

    def __init__(
        self,
        *,
        door: Door,
        limits: QuerySection,
        last: LastValues,
        presence: Presence,
        alarms: AlarmBook,
        orders: OrderBook,
        configs: ConfigBook,
        models: ModelBook,
        audit: AuditBook,
        permits: PermitDesk,
        vision: VisionBook,
        letters: LetterOperations,
        counters: Callable[[], dict[str, object]],
        registry_changed: Callable[[], None],
        state_file: Path | None,
    ) -> None:
        self._door, self._limits, self._last, self._presence = door, limits, last, presence
        self._alarms, self._letters, self._counters = alarms, letters, counters
        self._orders, self._configs, self._audit = orders, configs, audit
        self._models = models
        self._registry_changed = registry_changed
        self._state_file = state_file
        self._queries = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="query")
        self._state = ThreadPoolExecutor(2, thread_name_prefix="state")
        self._permits = PermitOperations(
            permits.book, permits.keeper, permits.locks, permits.keys, self._state
        )
        self._vision = VisionOperations(vision, orders, self._state)

    @property
    def handlers(self) -> dict[str, Handler]:
        """Operation name -> what answers it."""
        return {
            "query": self.query,
            "write_lp": self.write_lp,
            "series": self.series,
            "last": self.last,
            "last_json": self.last_json,
            "devices": self.devices,
            "gateways": self.gateways,
            "alarms": self.alarms,
            "alarm_ack": self.alarm_ack,
            "alarm_reset": self.alarm_reset,
            "alarm_journal": self.alarm_journal,
            "commands": self.commands,
            "command": self.command,
            "command_give": self.command_give,
            "command_confirm": self.command_confirm,
            "configs": self.configs,
            "config": self.config,
            "config_push": self.config_push,
            "models": self.models,
            "model_push": self.model_push,
            "audit": self.audit,
            "completeness": self.completeness,
            **self._letters.handlers,
            **self._permits.handlers,
            **self._vision.handlers,
            "counters": self.counters,
            "registry_changed": self.registry_changed,
        }

    @property
    def streams(self) -> dict[str, StreamHandler]:
        """The same of those that go on."""
        return {"snapshot": self.snapshot}

    def close(self) -> None:
        """Let running reads end."""
        self._queries.shutdown(wait=True, cancel_futures=True)
        self._state.shutdown(wait=True, cancel_futures=True)

    async def query(
        self,
        sql: str,
        max_rows: int | None = None,
        timeout_s: float | None = None,
        language: str = "sql",
    ) -> object:
        """One SELECT within `[query]`; a caller may ask for less, never for more."""
        spoken: Language = "influxql" if language == "influxql" else "sql"
        rows = min(max_rows or self._limits.max_rows, self._limits.max_rows)
        seconds = min(timeout_s or self._limits.timeout_s, self._limits.timeout_s)
        return await self._in(self._queries, self._door.query, sql, rows, seconds, spoken)

    async def write_lp(self, body: str, precision: str = "ns", bucket: str = "") -> object:
        return await self._in(self._queries, self._door.write_lp, body, precision, bucket)

    async def series(
        self,
        measurement: str,
        device: str,
        quantity: str,
        from_ns: int,
        to_ns: int,
        max_points: int = 1000,
        site: str = "",
    ) -> object:
        def read() -> dict[str, object]:
            place = measurement, site, device, quantity
            old, means, until_ns = self._door.means(*place, from_ns, to_ns)
            raw = self._door.series(*place, max(from_ns, until_ns), to_ns)
            found = [*old, *raw[0]], [*means, *raw[1]], [*[0] * len(old), *raw[2]]
            times, values, quality = thin(*found, max_points)
            begun = max(from_ns - LONGEST_GAP_NS, 0)
            first, until, _ = self._door.series(GAP, site, device, "until_ns", begun, to_ns)
            gaps = [
                (a, b)
                for a, b in zip(first, until, strict=True)
                if isinstance(b, int) and b >= from_ns
            ]
            return {
                "t": times,
                "v": values,
                "q": quality,
                "gaps": gaps[:MAX_GAPS],
                "means_until_ns": until_ns,
            }

        return await self._in(self._queries, read)

    async def last(self) -> object:
        return self._last.all()

    async def last_json(
        self,
        sites: list[str] | None = None,
        measurement: str = "",
        quantity: str = "",
        columns: bool = False,
        fields: Sequence[str] = (),
    ) -> object:
        """`last` as the bytes of a JSON array, or of an object of columns: tens of thousands of values pass the web process untouched."""
        rows = self._last.all(sites, measurement, quantity)
        return msgspec.json.encode(columns_of(rows, fields) if columns else rows)

    async def devices(self) -> object:
        return [device_row(state) for state in self._presence.devices()]

    async def gateways(self) -> object:
        return [gateway_row(name, state) for name, state in self._presence.gateways().items()]

    async def alarms(self, active: bool = True, limit: int = 1000) -> object:
        return await self._in(self._state, partial(self._alarms.rows, active=active, limit=limit))

    async def alarm_ack(self, alarm: str, actor: str, note: str = "") -> object:
        return await self._in(self._state, self._alarms.acknowledge, alarm, actor, note)

    async def alarm_reset(self, alarm: str, actor: str, note: str = "") -> object:
        return await self._in(self._state, self._alarms.reset, alarm, actor, note)

    async def alarm_journal(self, alarm: str) -> object:
        return await self._in(self._state, self._alarms.journal, alarm)

    async def commands(self, site: str = "", device: str = "", limit: int = 100) -> object:
        """Commands to devices, newest first."""
        rows = partial(self._orders.rows, site=site, device=device, limit=limit)
        return await self._in(self._state, rows)

    async def command(self, command: str) -> object:
        return await self._in(self._state, self._orders.row, command)

    async def command_give(
        self,
        site: str,
        device: str,
        name: str,
        args: dict[str, Scalar],
        actor: str,
        expires_s: float,
    ) -> object:
        """Send a command by the gateway that was last heard of this device."""
        mine = [d for d in self._presence.devices() if (d.site, d.device) == (site, device)]
        if not mine:
            raise NotFoundError(f"site {site!r} has no device {device!r}")
        gateway = max(mine, key=lambda d: d.alive_mono).gateway
        give = self._orders.give
        return await self._in(
            self._state, give, site, gateway, device, name, args, actor, expires_s
        )

    async def command_confirm(self, command: str, actor: str, expires_s: float) -> object:
        return await self._in(self._state, self._orders.confirm, command, actor, expires_s)

    async def configs(self, gateway: str, limit: int = 20) -> object:
        """What a gateway was sent, newest first."""
        return await self._in(self._state, self._configs.rows, gateway, limit)

    async def config(self, gateway: str, version: int) -> object:
        return await self._in(self._state, self._configs.row, gateway, version)

    async def config_push(
        self, gateway: str, toml: str, actor: str, version: int | None, expires_s: float
    ) -> object:
        """Send a configuration; an empty one has the gateway take its own file again."""
        push = partial(self._configs.push, version=version, expires_s=expires_s)
        return await self._in(self._state, push, gateway, toml, actor)

    async def models(self, gateway: str, limit: int = 20) -> object:
        """What models a gateway was sent, newest first."""
        return await self._in(self._state, self._models.rows, gateway, limit)

    async def model_push(
        self, gateway: str, toml: str, files: dict[str, bytes], actor: str, expires_s: float
    ) -> object:
        """Send a model for cameras."""
        push = partial(self._models.push, expires_s=expires_s)
        return await self._in(self._state, push, gateway, toml, files, actor)

    async def audit(
        self, gateway: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> object:
        """Whether everything of a gateway is stored, stream by stream, and its last 24 h hour by hour."""

        def judge() -> GatewayReport:
            found = self._audit.report(gateway, from_ns, to_ns, by_hour=True)
            return replace(found, deleted=self._door.deleted_of(gateway, from_ns, to_ns))

        return msgspec.to_builtins(await self._in(self._state, judge))

    async def completeness(self, from_ns: int | None = None, to_ns: int | None = None) -> object:
        """The same of every registered gateway, without the streams."""
        found = await self._in(self._state, self._audit.overview, from_ns, to_ns)
        return msgspec.to_builtins(found)

    async def counters(self) -> object:
        return self._counters()

    async def registry_changed(self) -> object:
        await self._in(self._state, self._registry_changed)
        return None

    async def snapshot(self) -> AsyncGenerator[object, None]:
        """What a backup copies: bytes while the copy is made, then what there is; held until the client goes."""
        told: dict[str, object] = {"state": str(self._state_file or "")}
        snapshot = self._door.snapshot()
        if snapshot is None:
            yield told
            return
        taking = asyncio.ensure_future(asyncio.to_thread(snapshot.take))
        try:
            while not taking.done():
                yield {"bytes": snapshot.bytes}
                await asyncio.wait([taking], timeout=SNAPSHOT_TELL_S)
            yield {**told, "taken": msgspec.to_builtins(taking.result(), enc_hook=str)}
            await asyncio.Event().wait()
        finally:
            snapshot.interrupt()
            await asyncio.wait([taking])
            taking.exception()
            await asyncio.to_thread(snapshot.release)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., _R], *args: object) -> _R:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *args))
