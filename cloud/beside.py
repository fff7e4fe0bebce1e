"""`tocsin cloud ingest`: a process beside `tocsin cloud run`; whoever starts it (systemd) starts it again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from cloud.config import CloudConfig, InfluxStoreSection
from cloud.owned import owned
from cloud.spine.__main__ import link_options
from cloud.spine.ingester import Ingester
from tocsin.cli.output import note, stream_line
from tocsin.contract import topics
from tocsin.errors import ConfigError, ConfigProblem
from tocsin.sdk import SystemClock


def ingest_filters(config: CloudConfig) -> list[str]:
    """What an ingester subscribes to."""
    mine = config.ingest.bucket_numbers
    telemetry = topics.telemetry_filters(mine, shared=config.ingest.share)
    return [*telemetry, *topics.resume_filters(mine)]


def run_ingester(config: CloudConfig, path: Path, *, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: `path` is not the configuration of one that may run beside the cloud.
        StoreError: another process owns the data directory.
        BrokerError: the broker gives no shared subscription.
        SpineError: a thread failed.
    """
    _check(config, path, store=True)
    asyncio.run(_run(config, as_json))


async def _run(config: CloudConfig, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with owned(config.cloud.data_dir):
        link = link_options(config, filters=ingest_filters(config))
        ingester = Ingester(config, SystemClock(), link=link)
        ready = asyncio.create_task(_say_ready(ingester, config, as_json), name="readiness")
        try:
            await ingester.run(stop)
        finally:
            ready.cancel()


async def _say_ready(ingester: Ingester, config: CloudConfig, as_json: bool) -> None:
    await ingester.ready.wait()
    if as_json:
        stream_line({"ingester": config.cloud.name, "pid": os.getpid()})
    else:
        note(f"ingester {config.cloud.name} is connected")


def _check(config: CloudConfig, path: Path, *, store: bool) -> None:
    problems: list[tuple[str, str, str]] = []
    if config.broker.mode != "external":
        problems.append(("broker.mode", config.broker.mode, "external: the broker is the cloud's"))
    if store and not isinstance(config.store, InfluxStoreSection):
        allowed = "influx: the embedded store has one writer, the cloud"
        problems.append(("store.type", config.store.type, allowed))
    if problems:
        raise ConfigError(
            [
                ConfigProblem(file=str(path), line=0, key=key, value=value, allowed=allowed)
                for key, value, allowed in problems
            ]
        )
