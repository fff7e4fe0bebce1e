"""`python -m cloud.spine CONFIG`: started by `tocsin cloud run`. The broker's account comes by the environment."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud.config import CloudConfig, load_cloud
from cloud.link import LinkOptions, Protocol
from cloud.spine.process import Spine
from tocsin.cli.logs import setup_logging
from tocsin.cli.output import fail
from tocsin.contract import topics
from tocsin.errors import TocsinError
from tocsin.sdk import SystemClock

PASSWORD_ENV = "TOCSIN_SPINE_BROKER_PASSWORD"  # noqa: S105 - the name of a variable

GC_ALLOCATIONS = 50_000


def link_options(
    config: CloudConfig,
    port: int | None = None,
    protocol: Protocol = "auto",
    password: str | None = None,
    *,
    filters: Sequence[str],
) -> LinkOptions:
    """Where the broker is; `port`, `protocol` and `password` of a child broker come from the supervisor."""
    broker = config.broker
    if broker.mode == "child":
        tls = broker.listener_tls
        return LinkOptions(
            host="127.0.0.1" if broker.bind in ("0.0.0.0", "") else broker.bind,
            port=port or broker.port,
            client_id=config.cloud.name,
            username=config.cloud.name,
            password=password or "",
            keepalive_s=broker.keepalive_s,
            window_messages=broker.window_messages,
            protocol=protocol,
            filters=filters,
            tls=tls is not None,
            ca=tls.ca if tls else None,
        )
    return LinkOptions(
        host=broker.host,
        port=broker.port,
        client_id=config.cloud.name,
        username=broker.username or config.cloud.name,
        password=broker.password.reveal() if broker.password else "",
        keepalive_s=broker.keepalive_s,
        window_messages=broker.window_messages,
        protocol=broker.protocol,
        filters=filters,
        share=config.ingest.share,
        tls=broker.tls is not None,
        ca=broker.tls.ca if broker.tls else None,
        cert=broker.tls.cert if broker.tls else None,
        key=broker.tls.key if broker.tls else None,
    )


async def _run(config: CloudConfig, link: LinkOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A commit in the making is tens of thousands of live objects without cycles: to look for those less often is a quarter less CPU.
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)
    spine = Spine(config, SystemClock(), link=link)
    gc.freeze()  # what is here now stays: one walk through it would hold up everything for 100 ms
    await spine.run(stop)


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="cloud.spine")
    parser.add_argument("config", type=Path)
    parser.add_argument("--broker-port", type=int)
    parser.add_argument("--broker-protocol", choices=["auto", "5", "3.1.1"], default="auto")
    given = parser.parse_args()
    setup_logging()
    try:
        config = load_cloud(given.config).value
        password = os.environ.pop(PASSWORD_ENV, None)
        filters = topics.cloud_filters(config.ingest.bucket_numbers)
        link = link_options(
            config, given.broker_port, given.broker_protocol, password, filters=filters
        )
        asyncio.run(_run(config, link))
    except TocsinError as exc:
        return fail(exc, as_json=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
