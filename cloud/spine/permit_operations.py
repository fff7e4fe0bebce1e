"""What the spine answers about permits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import msgspec

from cloud.lock_orders.told import LocksTold
from cloud.permits.book import PermitBook
from cloud.permits.keeping import Keeper
from cloud.permits.key_changes import KeyChanges
from cloud.permits.ruling import Ask
from cloud.rpc import Handler
from tocsin.errors import BadRequestError, PermitRefusedError
from tocsin.permits.facts import Form

T = TypeVar("T")


class PermitOperations:
    """`handlers` for the server. A refusal of the rules is an answer, with everything that is known of it."""

    def __init__(
        self,
        book: PermitBook,
        keeper: Keeper,
        locks: LocksTold,
        keys: KeyChanges,
        pool: Executor,
    ) -> None:
        self._book, self._keeper, self._pool = book, keeper, pool
        self._locks, self._keys = locks, keys

    @property
    def handlers(self) -> dict[str, Handler]:
        """Operation name -> what answers it."""
        return {
            "permits": self.permits,
            "permit": self.permit,
            "permit_journal": self.permit_journal,
            "permit_why": self.permit_why,
            "permit_sign": self.permit_sign,
            "permit_retell": self.permit_retell,
            "permit_draft": self.permit_draft,
            "permit_act": self.permit_act,
            "permit_export": self.permit_export,
            "lock_orders": self.lock_orders,
            "locks_revoke": self.locks_revoke,
            "issuer_prepare": self.issuer_prepare,
            "issuer_switch": self.issuer_switch,
            "key_changes": self.key_changes,
        }

    async def permits(
        self, sites: list[str] | None = None, live: bool = False, limit: int = 200
    ) -> object:
        return await self._in(partial(self._book.rows, sites=sites, live=live, limit=limit))

    async def permit(self, permit: str) -> object:
        return await self._in(partial(self._book.row, permit))

    async def permit_journal(self, permit: str) -> object:
        return await self._in(partial(self._book.journal, permit))

    async def permit_why(self, permit: str, actor: str) -> object:
        return await self._in(partial(self._book.why, permit, actor))

    async def permit_sign(self, permit: str, actor: str) -> object:
        return await self._in(partial(self._book.sign, permit, actor))

    async def permit_retell(self, site: str) -> object:
        return await self._in(partial(self._book.retell, site))

    async def permit_draft(self, site: str, form: dict[str, object], actor: str) -> object:
        return await self._ruled(partial(self._book.draft, site, _converted(form, Form), actor))

    async def permit_act(self, permit: str, ask: dict[str, object]) -> object:
        return await self._ruled(partial(self._book.act, permit, _converted(ask, Ask)))

    async def permit_export(self, permit: str) -> object:
        """The bundle's bytes."""
        return await self._in(partial(self._keeper.bundle, permit))

    async def lock_orders(self) -> object:
        """Which locks have taken what."""
        return await self._in(self._locks.report)

    async def locks_revoke(
        self, locks: list[str], actor: str, reason: str, gateways_too: bool = False
    ) -> object:
        """What the locks are now. `locks`: ids or site/device."""

        def work() -> list[object]:
            ids = [k.lock for k in self._keys.named(locks)] if locks else []
            done = self._keys.revoke(ids, actor, reason, gateways_too=gateways_too)
            return [asdict(k) for k in done]

        return await self._in(work)

    async def issuer_prepare(self, actor: str, reason: str) -> object:
        """The new key, as locks know it."""
        return {"kid": (await self._in(partial(self._keys.prepare, actor, reason))).kid.hex()}

    async def issuer_switch(self, actor: str, reason: str, force: bool = False) -> object:
        """The key that signs now."""
        made = await self._in(partial(self._keys.switch, actor, reason, force=force))
        return {"kid": made.kid.hex()}

    async def key_changes(self, limit: int = 100) -> object:
        """Who revoked grants and replaced issuer keys, newest first."""
        return msgspec.to_builtins(await self._in(partial(self._keys.all, limit=limit)))

    async def _ruled(self, work: Callable[[], dict[str, object]]) -> object:
        try:
            return await self._in(work)
        except PermitRefusedError as refused:
            return {"refused": refused.told}

    async def _in(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _converted(told: object, kind: Any) -> Any:
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as exc:
        raise BadRequestError(str(exc)) from exc
