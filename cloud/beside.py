"""`tocsin cloud ingest` and `forward`: processes beside `tocsin cloud run`; whoever starts them (systemd) starts them again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cloud.config import CloudConfig, InfluxStoreSection, LogSection
from cloud.log import LogOptions
from cloud.log.subjects import lanes_of
from cloud.owned import owned
from cloud.spine.__main__ import link_options
from cloud.spine.forwarder import Forwarder
from cloud.spine.ingester import Ingester
from tocsin.cli.output import note, stream_line
from tocsin.contract import topics
from tocsin.errors import ConfigError, ConfigProblem
from tocsin.sdk import SystemClock

EXTERNAL = "external: the broker is the cloud's"
INFLUX = "influx: the embedded store has one writer, the cloud"
Mistakes = list[tuple[str, str, str]]  # key, value, what is allowed


def ingest_filters(config: CloudConfig) -> list[str]:
    """What an ingester subscribes to; what comes by the log it does not ask of the broker."""
    mine = config.ingest.bucket_numbers
    resume = topics.resume_filters(mine)
    if config.log is not None:
        return resume
    return [*topics.telemetry_filters(mine, shared=config.ingest.share), *resume]


def log_options(section: LogSection, name: str) -> LogOptions:
    """What `[log]` says."""
    tls = section.tls
    return LogOptions(
        servers=tuple(section.servers),
        name=name,
        stream=section.stream,
        lanes=section.lanes,
        replicas=section.replicas,
        max_bytes=section.max_bytes,
        duplicate_window_s=section.duplicate_window_s,
        ack_wait_s=section.ack_wait_s,
        max_ack_pending=section.max_ack_pending,
        username=section.username,
        password=section.password.reveal() if section.password else "",
        tls=tls is not None,
        ca=tls.ca if tls else None,
        cert=tls.cert if tls else None,
        key=tls.key if tls else None,
    )


def run_ingester(config: CloudConfig, path: Path, *, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: `path` is not the configuration of one that may run beside the cloud.
        StoreError: another process owns the data directory.
        BrokerError: the broker gives no shared subscription.
        MissingExtraError: `nats-py` is not installed.
        SpineError: a thread failed.
    """
    mistakes = _of_broker(config)
    if not isinstance(config.store, InfluxStoreSection):
        mistakes.append(("store.type", config.store.type, INFLUX))
    if config.log is not None:
        if config.ingest.share:
            mistakes.append(("ingest.share", "true", "false: the log deals out by buckets"))
        try:
            lanes_of(config.ingest.bucket_numbers, config.log.lanes)
        except ValueError as exc:
            mistakes.append(("ingest.buckets", config.ingest.buckets or "", str(exc)))
    _check(mistakes, path)
    link = replace(link_options(config, filters=ingest_filters(config)), early_acks=False)
    log = log_options(config.log, config.cloud.name) if config.log else None
    asyncio.run(
        _run(config, lambda: Ingester(config, SystemClock(), link=link, log=log), as_json=as_json)
    )


def run_forwarder(config: CloudConfig, path: Path, *, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: `path` is not the configuration of a forwarder.
        StoreError: another process owns the data directory.
        BrokerError: the broker gives no shared subscription.
        MissingExtraError: `nats-py` is not installed.
    """
    mistakes = _of_broker(config)
    if config.log is None:
        mistakes.append(("log", "", "needed: where messages are forwarded to"))
    _check(mistakes, path)
    assert config.log is not None  # noqa: S101 - else it was a mistake
    shared, mine = config.ingest.share, config.ingest.bucket_numbers
    filters = topics.telemetry_filters(mine, shared=shared)
    link = replace(link_options(config, filters=filters), early_acks=False)
    log = log_options(config.log, config.cloud.name)
    asyncio.run(
        _run(config, lambda: Forwarder(config, SystemClock(), link=link, log=log), as_json=as_json)
    )


async def _run(
    config: CloudConfig, make: Callable[[], Ingester | Forwarder], *, as_json: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with owned(config.cloud.data_dir):
        process = make()
        ready = asyncio.create_task(_say_ready(process, config, as_json), name="readiness")
        try:
            await process.run(stop)
        finally:
            ready.cancel()


async def _say_ready(process: Ingester | Forwarder, config: CloudConfig, as_json: bool) -> None:
    await process.ready.wait()
    if as_json:
        stream_line({"name": config.cloud.name, "pid": os.getpid()})
    else:
        note(f"{config.cloud.name} is connected")


def _of_broker(config: CloudConfig) -> Mistakes:
    return [("broker.mode", "child", EXTERNAL)] if config.broker.mode == "child" else []


def _check(mistakes: Mistakes, path: Path) -> None:
    if mistakes:
        raise ConfigError(
            [
                ConfigProblem(file=str(path), line=0, key=key, value=value, allowed=allowed)
                for key, value, allowed in mistakes
            ]
        )
