"""A gateway process of its own on a broker of its own, and every row that it sends, with what it cost."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec

from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.catalogue import Value
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import NS_PER_UNIT, Batch
from tocsin.lab import site
from tocsin.lab.children import Children, LabError, Usage
from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.ingester import TestIngester


class Recording(msgspec.Struct, frozen=True):
    """Rows by device, in the order of their numbers, all of them stamped in the window; what the gateway used in it."""

    rows: dict[str, list[tuple[int, tuple[Value, ...]]]]
    seconds: float
    start_s: float
    before: Usage
    after: Usage

    @property
    def cpu_share(self) -> float:
        """Of one core."""
        return (self.after.cpu_s - self.before.cpu_s) / self.seconds


def record(
    folder: Path,
    drivers: str,
    *,
    devices: set[str],
    warm_up_s: float,
    seconds: float,
    start_timeout_s: float = 60.0,
) -> Recording:
    """Runs `tocsin edge run` with these driver tables; the window begins `warm_up_s` after all `devices` were heard.

    Raises:
        LabError: a device was not heard in time, or the gateway died.
    """
    password = secrets.token_hex(16)
    (folder / "password.secret").write_text(password, "utf-8")
    (folder / "command_key.secret").write_text(secrets.token_hex(32), "utf-8")
    account = Account(site.GATEWAY, password)
    with (
        throwaway_broker(accounts=[account]) as broker,
        TestIngester(
            broker.port, INGESTER.user, INGESTER.password, site=site.SITE, gateway=site.GATEWAY
        ) as ingester,
        Children(folder / "logs") as children,
    ):
        config = folder / "gateway.toml"
        config.write_text(site.gateway_head(broker.port) + drivers, "utf-8")
        began_s = time.monotonic()
        edge = children.start("edge", "tocsin.cli", "edge", "run", "-c", str(config), "--json")
        heard: set[str] = set()
        read = 0
        while not devices <= heard:
            children.check()
            messages = ingester.received(topics.TELEMETRY)
            heard |= {group.device for batch in _batches(messages[read:]) for group in batch.groups}
            read = len(messages)
            if time.monotonic() - began_s > start_timeout_s:
                missing = sorted(devices - heard)
                text = f"{len(missing)} of {len(devices)} devices were not heard: {missing[0]}, ..."
                raise LabError(text, hint=edge.tail())
            time.sleep(0.1)
        start_s = time.monotonic() - began_s
        time.sleep(warm_up_s)
        first_ns, window_s, before = time.time_ns(), time.monotonic(), edge.usage()
        end_s = window_s + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            children.check()
            time.sleep(min(0.5, left_s))
        last_ns, after, took_s = time.time_ns(), edge.usage(), time.monotonic() - window_s
        edge.process.terminate()
        edge.read_rest(30.0)
        rows = _rows(ingester.received(topics.TELEMETRY), first_ns, last_ns)
    return Recording(rows, took_s, start_s, before, after)


def _batches(messages: list[tuple[str, bytes]]) -> list[Batch]:
    return [decode_body(decode_header(payload), payload, Batch) for _, payload in messages]


def _rows(
    messages: list[tuple[str, bytes]], first_ns: int, last_ns: int
) -> dict[str, list[tuple[int, tuple[Value, ...]]]]:
    found: dict[str, list[tuple[int, tuple[Value, ...]]]] = {}
    seen: set[int] = set()
    for batch in sorted(_batches(messages), key=lambda batch: batch.first_seq):
        if batch.first_seq in seen:
            continue  # sent again
        seen.add(batch.first_seq)
        per_unit = NS_PER_UNIT[batch.tu]
        for group in batch.groups:
            columns = zip(*group.columns, strict=True)
            for offset, values in zip(group.times, columns, strict=True):
                stamp_ns = batch.t0 + offset * per_unit
                if first_ns <= stamp_ns <= last_ns:
                    found.setdefault(group.device, []).append((stamp_ns, values))
    return found


class Kept(msgspec.Struct, frozen=True):
    """How well sample times kept their period: intervals' deviation in per cent of it, and what is missing."""

    samples: int
    missed_polls: int
    p50_percent: float
    p95_percent: float
    p99_percent: float
    max_percent: float


def kept(stamps: dict[str, list[int]], period_s: float) -> Kept:
    """Over all devices.

    Raises:
        LabError: no device has two stamps.
    """
    off: list[float] = []
    counts: Counter[str] = Counter()
    for times in stamps.values():
        counts["samples"] += len(times)
        for a, b in pairwise(times):
            steps = (b - a) / 1e9 / period_s
            missed = max(0, round(steps) - 1)
            counts["missed"] += missed
            off.append(abs(steps - 1 - missed) * 100)
    if not off:
        raise LabError("no device was read twice")
    off.sort()
    at = [off[min(len(off) - 1, int(len(off) * share))] for share in (0.5, 0.95, 0.99)]
    p50, p95, p99, most = (round(value, 2) for value in (*at, off[-1]))
    return Kept(counts["samples"], counts["missed"], p50, p95, p99, most)
