"""The camera's services (onvif-zeep-async), and the names of their failures."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
from onvif import ONVIFError
from zeep.exceptions import Error as ZeepError
from zeep.exceptions import Fault

from edge.onvif.camera import ClosingCamera
from tocsin.config import Secret
from tocsin.errors import DeviceFaultError, DriverError, DriverReason, LinkError

FAILURES = (ONVIFError, ZeepError, aiohttp.ClientError, TimeoutError, OSError, ValueError)
_SETUP_FACTOR = 4  # the first conversation has several questions

for _name in ("onvif", "zeep"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # every failure is told once, by us


class Target(Protocol):
    """Which camera, and how long it may take. `address` is for messages, `device` its name in them."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def tls(self) -> bool: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> Secret | None: ...
    @property
    def profile(self) -> str | None: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def address(self) -> str: ...


class OnvifLink:
    """One camera. Raises DriverErrors, whatever becomes of it."""

    def __init__(self, config: Target) -> None:
        self._config = config
        self._camera: Any = None
        self._ptz: Any = None
        self._profile = config.profile

    async def open(self) -> None:
        """Finds the services and the profile; the camera's clock is taken into account for the account's token.

        Raises:
            LinkError: with the reason and, where there is one, what to do.
        """
        config = self._config
        password = config.password.reveal() if config.password else None
        host = f"https://{config.host}" if config.tls else config.host
        try:
            async with asyncio.timeout(_SETUP_FACTOR * config.timeout_s):
                self._camera = camera = ClosingCamera(
                    host, config.port, config.username, password,
                    no_cache=True, adjust_time=True, nat_override=True,
                )  # fmt: skip
                await camera.update_xaddrs()
                self._ptz = await camera.create_ptz_service()
                if self._profile is None:
                    media = await camera.create_media_service()
                    self._profile = _turnable(await media.GetProfiles())
        except FAILURES as exc:
            raise self._failed(exc) from exc
        if self._profile is None:
            text = f"{config.address}: no profile of this camera can be turned"
            raise LinkError(DriverReason.REFUSED, text)

    async def status(self) -> Any:
        """The camera's PTZStatus.

        Raises:
            DeviceFaultError: the camera refused.
            LinkError: it does not answer, or not in SOAP.
        """
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await self._ptz.GetStatus({"ProfileToken": self._profile})
        except Fault as exc:
            if _denied(exc):
                raise self._failed(exc) from exc
            raise DeviceFaultError(
                DriverReason.EXCEPTION_CODE,
                f"GetStatus of profile {self._profile} refused: {exc.message}",
                device=self._config.device,
            ) from exc
        except FAILURES as exc:
            raise self._failed(exc) from exc

    async def close(self) -> None:
        """Closes every connection."""
        camera, self._camera, self._ptz = self._camera, None, None
        if camera is not None:
            with suppress(*FAILURES):
                await camera.close()

    def _failed(self, exc: Exception) -> DriverError:
        address = self._config.address
        text = f"{address}: {exc}" if str(exc) else f"{address}: {type(exc).__name__}"
        if isinstance(exc, Fault) and _denied(exc):
            return LinkError(DriverReason.PERMISSION, text, hint="username and password")
        if isinstance(exc, TimeoutError):
            return LinkError(DriverReason.NO_ANSWER, f"{address} does not answer")
        if isinstance(exc, aiohttp.ClientConnectorError):
            if isinstance(exc.os_error, socket.gaierror):
                return LinkError(DriverReason.NO_PORT, text, hint="is the name right?")
            return LinkError(
                DriverReason.REFUSED, text, hint="is the camera on, and the port right?"
            )
        if isinstance(exc, aiohttp.ClientError | ConnectionError):
            return LinkError(DriverReason.CLOSED, text)
        if "support service: ptz" in str(exc):
            return LinkError(DriverReason.REFUSED, f"{address}: this camera cannot be turned")
        return LinkError(DriverReason.REFUSED, text, hint="is ONVIF switched on in the camera?")


def _turnable(profiles: Any) -> str | None:
    """The token of the first profile with a PTZ configuration."""
    for profile in profiles or []:
        if getattr(profile, "PTZConfiguration", None) is not None:
            return str(profile.token)
    return None


def _denied(fault: Fault) -> bool:
    codes = [str(code) for code in fault.subcodes or []]
    return any("NotAuthorized" in text for text in (*codes, str(fault.message)))
