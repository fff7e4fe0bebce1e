"""The session with one OPC UA server, and the names of its failures."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from edge.drivers.opcua.config import OpcUaConfig, OpcUaDevice
from edge.drivers.opcua.values import Told, told
from tocsin.errors import DriverReason, LinkError

QUEUE = (
    10_000  # changes that wait for the pipeline; with more the session is given up and begun anew
)
_PER_NODE = 100  # changes of one variable that the server holds between two messages
_GOODBYE_S = 0.4
_TOGETHER_S = 0.005  # changes of one message follow one another at once

logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # every failure is told once, by us

_DENIED = (
    ua.StatusCodes.BadUserAccessDenied,
    ua.StatusCodes.BadIdentityTokenRejected,
    ua.StatusCodes.BadIdentityTokenInvalid,
)
FAILURES = (ua.UaError, ConnectionError, OSError, TimeoutError)


class OpcUaLink:
    """One session. Raises LinkError, whatever becomes of it."""

    def __init__(self, config: OpcUaConfig) -> None:
        self._config = config
        self._client: Any = None

    async def open(self) -> None:
        """Connects, and secures the channel first where that is asked for.

        Raises:
            LinkError: with the reason and, where there is one, what to do.
        """
        config = self._config
        client = self._client = Client(config.url, timeout=config.timeout_s)
        client.name = "tocsin"
        try:
            async with asyncio.timeout(3 * config.timeout_s):
                await self._secure(client)
                if config.username is not None and config.password is not None:
                    client.set_user(config.username)
                    client.set_password(config.password.reveal())
                await client.connect()
        except (*FAILURES, ValueError) as exc:
            raise self._failed(exc) from exc

    async def _secure(self, client: Any) -> None:
        security = self._config.security
        if security is None:
            return
        client.application_uri = security.application_uri
        modes = ua.MessageSecurityMode
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=str(security.certificate),
            private_key=str(security.private_key),
            server_certificate=str(security.server_certificate),
            mode=modes.Sign if security.mode == "sign" else modes.SignAndEncrypt,
        )

    async def close(self) -> None:
        """Says goodbye, in half a second or not at all."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(*FAILURES):
            async with asyncio.timeout(_GOODBYE_S):
                await client.disconnect()
        client.disconnect_socket()

    async def nodes(self, device: OpcUaDevice) -> list[Any]:
        """Node ids of a device's variables, in its order.

        Raises:
            LinkError: the server does not know a namespace, or is gone.
        """
        found = []
        for given in device.nodes:
            head, _, rest = given.node.partition(";")
            if not head.startswith("nsu="):
                found.append(ua.NodeId.from_string(given.node))
                continue
            try:
                index = await self._client.get_namespace_index(head[4:])
            except (*FAILURES, ValueError) as exc:
                raise self._failed(exc) from exc
            found.append(ua.NodeId.from_string(f"ns={index};{rest}"))
        return found

    async def read(self, nodes: Sequence[Any]) -> list[Told]:
        """All values in one request.

        Raises:
            LinkError: no answer, or the session is gone.
        """
        try:
            async with asyncio.timeout(self._config.timeout_s):
                found = await self._client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
        except FAILURES as exc:
            raise self._failed(exc) from exc
        _raise_if_cancelled()
        return [told(i, data) for i, data in enumerate(found)]

    async def subscribe(self, nodes: Sequence[Any], period_s: float) -> Changes:
        """What changes from now on, beginning with what is.

        Raises:
            LinkError: refused, or the session is gone.
        """
        client, period_ms = self._client, period_s * 1000
        try:
            async with asyncio.timeout(3 * self._config.timeout_s):
                subscription = await client.create_subscription(
                    period_ms, queue_maxsize=QUEUE, overflow=OverflowPolicy.DISCONNECT
                )
                results = await subscription.subscribe_data_change(
                    [client.get_node(node) for node in nodes],
                    queuesize=_PER_NODE,
                    sampling_interval=period_ms / 2,
                )
        except FAILURES as exc:
            raise self._failed(exc) from exc
        refused = {
            i: int(result.value)
            for i, result in enumerate(results)
            if isinstance(result, ua.StatusCode)
        }
        return Changes(subscription, {node: i for i, node in enumerate(nodes)}, refused)

    def check(self) -> None:
        """Raises LinkError when the session is gone."""
        if self._client is None or self._client.uaclient.state is not UaClientState.CONNECTED:
            raise LinkError(DriverReason.CLOSED, f"{self._config.url}: the session is gone")

    def _failed(self, exc: BaseException) -> LinkError:
        url = self._config.url
        text = f"{url}: {exc}" if str(exc) else f"{url}: {type(exc).__name__}"
        if isinstance(exc, TimeoutError):
            return LinkError(DriverReason.NO_ANSWER, f"{url} does not answer")
        if isinstance(exc, ConnectionRefusedError):
            hint = "is the server on, and the port right?"
            return LinkError(DriverReason.REFUSED, text, hint=hint)
        if isinstance(exc, socket.gaierror):
            return LinkError(DriverReason.NO_PORT, text, hint="is the name right?")
        if isinstance(exc, ua.UaStatusCodeError) and exc.code in _DENIED:
            return LinkError(DriverReason.PERMISSION, text, hint="username and password")
        if isinstance(exc, ConnectionError):
            return LinkError(DriverReason.CLOSED, text)
        hint = "compare security mode, certificates and application_uri with the server's; does it trust our certificate?"
        return LinkError(DriverReason.REFUSED, text, hint=hint)


class Changes:
    """A subscription's messages. `refused` holds the status of variables that cannot be subscribed, by number."""

    def __init__(self, subscription: Any, numbers: dict[Any, int], refused: dict[int, int]) -> None:
        self._subscription, self._numbers, self.refused = subscription, numbers, refused

    async def next(self, within_s: float) -> list[Told]:
        """Changes that came, at least one; none if nothing came in time."""
        event = await self._subscription.next_event(within_s)
        found: list[Told] = []
        while event is not None:
            if isinstance(event, DataChangeEvent):
                number = self._numbers[event.node.nodeid]
                found.append(told(number, event.data.monitored_item.Value))
            if len(found) >= QUEUE:
                break
            event = await self._subscription.next_event(_TOGETHER_S)
        _raise_if_cancelled()
        return found


def _raise_if_cancelled() -> None:
    """Python 3.11's wait_for, inside asyncua, swallows a cancellation that meets an answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
