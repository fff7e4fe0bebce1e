"""A camera that is asked over ONVIF where its snapshots are (media service, GetSnapshotUri)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from edge.vision.sources.address import Address
from edge.vision.sources.http import HttpSource
from edge.vision.sources.source import Raw, Reject, Suspect, Wait
from tocsin.errors import DriverReason, LinkError, MissingExtraError
from tocsin.sdk import Clock

TIMEOUT_S = 15.0  # several questions

for _name in ("onvif", "zeep"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # every failure is told once, by us


class OnvifSource:
    """`onvif://host:port`; asked anew at each opening, for cameras change these addresses."""

    live = True

    def __init__(
        self, address: Address, clock: Clock, wait: Wait, *, fps: float = 1.0, profile: str = ""
    ) -> None:
        self._address, self._clock, self._wait = address, clock, wait
        self._fps, self._profile = fps, profile
        self._source: HttpSource | None = None

    def open(self) -> None:
        """Asks for the address, then for a picture.

        Raises:
            LinkError: with the reason.
            MissingExtraError: `tocsin[onvif]` is not installed.
        """
        self.close()
        uri = asyncio.run(self._snapshot_uri())
        address = Address(uri, self._address.username, self._address.password)
        self._source = HttpSource(address, self._clock, self._wait, fps=self._fps)
        self._source.open()

    async def _snapshot_uri(self) -> str:
        try:
            import aiohttp
            from onvif import ONVIFError
            from zeep.exceptions import Error as ZeepError

            from edge.onvif.camera import ClosingCamera
        except ModuleNotFoundError as exc:
            raise MissingExtraError("onvif", exc.name or "onvif") from exc
        address = self._address
        camera: Any = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                camera = ClosingCamera(
                    address.host, address.port or 80, address.username or None, address.password or None,
                    no_cache=True, adjust_time=True, nat_override=True,
                )  # fmt: skip
                await camera.update_xaddrs()
                media = await camera.create_media_service()
                token = self._profile or str((await media.GetProfiles())[0].token)
                answer = await media.GetSnapshotUri({"ProfileToken": token})
                return self._reachable(str(answer.Uri))
        except TimeoutError as exc:
            raise LinkError(DriverReason.NO_ANSWER, f"{address} does not answer") from exc
        except (ONVIFError, ZeepError, aiohttp.ClientError, OSError, ValueError, IndexError) as exc:
            denied = "NotAuthorized" in str(exc) or "not Authorized" in str(exc)
            reason = DriverReason.PERMISSION if denied else DriverReason.REFUSED
            hint = "username and password" if denied else "is ONVIF switched on in the camera?"
            raise LinkError(reason, f"{address}: {exc or type(exc).__name__}", hint=hint) from exc
        finally:
            if camera is not None:
                with suppress(OSError, aiohttp.ClientError, TimeoutError):
                    await camera.close()

    def _reachable(self, uri: str) -> str:
        """A camera behind an address translation tells an address of its own network: ours is used then."""
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit(parts._replace(netloc=f"{self._address.host}{port}"))

    def grab(self) -> bool:
        """The next picture."""
        assert self._source is not None  # noqa: S101 - opened before
        return self._source.grab()

    def retrieve(self) -> Raw | Reject | Suspect:
        """Unpacks it."""
        assert self._source is not None  # noqa: S101 - opened before
        return self._source.retrieve()

    def close(self) -> None:
        """Ends the connection."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
