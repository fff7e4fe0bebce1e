"""A connection to NATS servers that lasts, and the stream with its consumers as `[log]` describes them."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import TYPE_CHECKING

from cloud.log import LogOptions
from tocsin.contract.codec import MAX_MESSAGE_BYTES
from tocsin.errors import LogUnavailableError, MissingExtraError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import StreamConfig, StreamInfo

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 5.0
STEADY_S = 3.0
AGAIN_S = 1  # between two tries to reconnect, and between two looks whether it is back
PING_S = 5
MOST_BYTES = MAX_MESSAGE_BYTES + 1  # of a message
HEADERS_BYTES = 1024
NO_STREAM_ROOM = 10077  # JetStream: maximum bytes exceeded


class Connection:
    """`ready` connects and sees to the stream, the first time and whenever it was told that it `failed`."""

    def __init__(self, options: LogOptions, lanes: list[int], log: logging.Logger) -> None:
        self.options, self._lanes, self._log = options, lanes, log
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._is_set_up = False
        self._one_at_a_time = asyncio.Lock()
        self._said_unavailable = False
        self._failed_s = 0.0
        self.unavailable = ""

    async def ready(self) -> tuple[Client, JetStreamContext]:
        """The client, with the stream there.

        Raises:
            LogUnavailableError: try again later.
            MissingExtraError: `nats-py` is not installed.
        """
        try:
            import nats.errors
        except ImportError as exc:
            raise MissingExtraError("nats", "nats") from exc
        async with self._one_at_a_time:
            try:
                client, js = self._client, self._js
                if client is None or js is None or client.is_closed:
                    client, js = await self._connect()
                if not self._is_set_up:
                    await self._set_up(js)
                    self._is_set_up = True
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                raise self.failed(exc) from exc
            return client, js

    def failed(self, why: BaseException) -> LogUnavailableError:
        """Say it once; what to raise."""
        reason = str(why) or type(why).__name__
        if getattr(why, "err_code", None) == NO_STREAM_ROOM:
            error = LogUnavailableError(
                f"the log is full: {reason}", hint="are the ingesters up? Else raise log.max_bytes"
            )
        else:
            self._is_set_up = False
            error = LogUnavailableError(f"the log is unavailable: {reason}")
        self.unavailable, self._failed_s = error.message, time.monotonic()
        if not self._said_unavailable:
            self._said_unavailable = True
            self._log.warning("%s; messages stay with the broker", error.message)
        return error

    def worked(self) -> None:
        """Say it once, after a failure: when one server takes over from another, the first successes prove little."""
        if self._said_unavailable and time.monotonic() - self._failed_s > STEADY_S:
            self._said_unavailable = False
            self.unavailable = ""
            self._log.warning("the log is back")

    async def watch(self) -> None:
        """For ever: what was said to be unavailable is looked at until it is back, whether or not messages come."""
        import nats.errors

        while True:
            await asyncio.sleep(AGAIN_S)
            if not self._said_unavailable:
                continue
            try:
                _, js = await self.ready()
                info = await js.stream_info(self.options.stream)
            except LogUnavailableError:
                continue
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                self.failed(exc)
                continue
            if takes_messages(info, self.options.max_bytes):
                self.worked()

    async def aclose(self) -> None:
        """Leave."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connect(self) -> tuple[Client, JetStreamContext]:
        from nats.aio.client import Client

        options = self.options
        client = Client()
        await client.connect(
            servers=list(options.servers),
            name=options.name,
            user=options.username or None,
            password=options.password or None,
            tls=_tls(options) if options.tls else None,
            connect_timeout=CONNECT_TIMEOUT_S,
            reconnect_time_wait=AGAIN_S,
            max_reconnect_attempts=2,  # of each server; then it is closed, and `ready` connects anew
            ping_interval=PING_S,
            max_outstanding_pings=2,
            error_cb=_quiet,
        )
        if client.max_payload < MOST_BYTES + HEADERS_BYTES:
            await client.close()
            raise self.failed(
                OSError(
                    f"its servers take {client.max_payload} bytes a message: set max_payload to 2MB"
                )
            )
        self._client, self._js = client, client.jetstream(timeout=REQUEST_TIMEOUT_S)
        return self._client, self._js

    async def _set_up(self, js: JetStreamContext) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import NotFoundError

        options = self.options
        wanted = _stream(options)
        try:
            found = (await js.stream_info(options.stream)).config
        except NotFoundError:
            await js.add_stream(wanted)
        else:
            if _differs(found, wanted):
                await js.update_stream(wanted)
        for lane in self._lanes:
            await js.add_consumer(
                options.stream,
                ConsumerConfig(
                    durable_name=consumer(lane),
                    filter_subject=f"{options.stream}.{lane}",
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=options.ack_wait_s,
                    max_ack_pending=options.max_ack_pending,
                ),
            )


def consumer(lane: int) -> str:
    """The durable consumer of a lane; several ingesters may pull from it."""
    return f"ingest-{lane}"


def _stream(options: LogOptions) -> StreamConfig:
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

    return StreamConfig(
        name=options.stream,
        subjects=[f"{options.stream}.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        num_replicas=options.replicas,
        max_bytes=options.max_bytes,
        discard=DiscardPolicy.NEW,  # full refuses, so that nothing older is dropped and the broker feels it
        duplicate_window=options.duplicate_window_s,
    )


def takes_messages(info: StreamInfo, max_bytes: int) -> bool:
    """Whether most replicas hear the one that leads, and the largest message has room."""
    others = [] if info.cluster is None else info.cluster.replicas or []
    here = 1 + sum(bool(peer.current) and not peer.offline for peer in others)
    return here * 2 > 1 + len(others) and info.state.bytes <= max_bytes - MOST_BYTES


def _differs(found: StreamConfig, wanted: StreamConfig) -> bool:
    names = ("subjects", "num_replicas", "max_bytes", "discard", "duplicate_window")
    return any(getattr(found, name) != getattr(wanted, name) for name in names)


def _tls(options: LogOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca and str(options.ca))
    if options.cert is not None and options.key is not None:
        context.load_cert_chain(options.cert, options.key)
    return context


async def _quiet(_error: Exception) -> None:
    """What fails is said where it is noticed, once."""
