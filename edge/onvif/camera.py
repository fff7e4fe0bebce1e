"""ONVIFCamera, which forgets the session of a service whose making is cancelled midway, as one that also closes those."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from onvif import ONVIFCamera

CLOSE_S = 0.5


class ClosingCamera(ONVIFCamera):  # type: ignore[misc]
    """Whatever becomes of its making and its questions, `close` leaves no connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._making: set[asyncio.Task[Any]] = set()

    async def create_onvif_service(self, *args: Any, **kwargs: Any) -> Any:
        """As the camera's; goes on when its caller is cancelled: its description is read in another thread, for a second on a busy machine."""
        making = asyncio.create_task(super().create_onvif_service(*args, **kwargs))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return await asyncio.shield(making)

    async def close(self) -> None:
        """Ends every session, also beside one that takes its time. Cancelled, it waits for that: no later than the descriptions of services in the making are read."""
        ending = asyncio.create_task(self._end(), name="onvif-close")
        given_up: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError as exc:
                given_up = exc
        if given_up is not None:
            raise given_up

    async def _end(self) -> None:
        await asyncio.gather(*self._making, return_exceptions=True)
        ends = [self._snapshot_client.close(), *(s.close() for s in self.services.values())]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*ends, return_exceptions=True)
