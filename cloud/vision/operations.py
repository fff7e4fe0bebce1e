"""What the spine answers about what cameras saw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from cloud.orders.book import OrderBook
from cloud.rpc import Handler
from cloud.vision.book import VisionBook
from cloud.vision.labelled import Choice
from tocsin.contract.orders import Scalar
from tocsin.errors import CommandRefusedError

VERDICT = "verdict"  # name of the command that a camera takes
VERDICT_S = 7 * 86_400.0
T = TypeVar("T")


class VisionOperations:
    """`handlers` for the server. `sites` None sees everything."""

    def __init__(self, book: VisionBook, orders: OrderBook, pool: Executor) -> None:
        self._book, self._orders, self._pool = book, orders, pool

    @property
    def handlers(self) -> dict[str, Handler]:
        """Operation name -> what answers it."""
        return {
            "detections": self.detections,
            "detection": self.detection,
            "detections_in_view": self.detections_in_view,
            "camera_views": self.camera_views,
            "camera_looks": self.camera_looks,
            "detection_judge": self.detection_judge,
            "evidence_seen": self.evidence_seen,
            "evidence_want": self.evidence_want,
            "evidence_look": self.evidence_look,
            "labelled_plan": self.labelled_plan,
            "labelled_take": self.labelled_take,
        }

    async def detections(
        self,
        sites: list[str] | None = None,
        device: str = "",
        verdict: str | None = None,
        limit: int = 100,
    ) -> object:
        rows = partial(self._book.gallery.rows, sites=sites, device=device, verdict=verdict)
        return await self._in(partial(rows, limit=limit))

    async def detections_in_view(
        self, cameras: list[list[str]], sites: list[str] | None = None
    ) -> object:
        return await self._in(partial(self._book.gallery.in_view, cameras, sites))

    async def camera_views(self, sites: list[str] | None = None) -> object:
        return await self._in(partial(self._book.gallery.views, sites))

    async def camera_looks(self, site: str, device: str) -> object:
        return await self._in(partial(self._book.gallery.looked_at, site, device))

    async def detection(self, detection: str, sites: list[str] | None = None) -> object:
        row = await self._in(partial(self._book.gallery.row, detection, sites))
        return row | {"views": await self._in(partial(self._book.gallery.seen_by, detection))}

    async def detection_judge(
        self,
        detection: str,
        verdict: str,
        actor: str,
        note: str = "",
        sites: list[str] | None = None,
    ) -> object:
        row = await self._in(partial(self._book.judge, detection, verdict, actor, note, sites))
        return row | await self._in(partial(self._pass_on, row))

    def _pass_on(self, row: dict[str, object]) -> dict[str, object]:
        """The camera learns from it: told as a command, which is kept until its gateway has taken it."""
        site, gateway, device = (str(row[name]) for name in ("site", "gateway", "device"))
        args: dict[str, Scalar] = {
            "detection": str(row["detection"]),
            "verdict": str(row["verdict"]),
        }
        try:
            order = self._orders.give(
                site, gateway, device, VERDICT, args, str(row["verdict_by"]), VERDICT_S
            )
        except CommandRefusedError as exc:
            return {"command": "", "not_passed_on": exc.message}
        return {"command": order["id"], "not_passed_on": ""}

    async def evidence_seen(self, hashes: list[str], sites: list[str] | None = None) -> object:
        return await self._in(partial(self._book.gallery.pictures, hashes, sites))

    async def evidence_want(self, sha256: str, sites: list[str] | None = None) -> object:
        return await self._in(partial(self._book.want, sha256, sites))

    async def evidence_look(
        self, sha256: str, account: str, sites: list[str] | None = None
    ) -> object:
        return await self._in(partial(self._book.look, sha256, account, sites))

    async def labelled_plan(
        self, choice: dict[str, Any], limit: int, sites: list[str] | None = None
    ) -> object:
        return await self._in(partial(self._book.judged, Choice(**choice), sites, limit))

    async def labelled_take(
        self, pictures: list[str], account: str, sites: list[str] | None = None
    ) -> object:
        return await self._in(partial(self._book.take_out, pictures, account, sites))

    async def _in(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
