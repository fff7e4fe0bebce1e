"""What InfluxDB may answer, told to a real spine: bad lines are letters, the rest is stored, nothing is lost or doubled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.cloud.scripted_influx import STORED, Reply, ScriptedInflux, late, reset, scripted_influx
from tocsin.broker import Account
from tocsin.contract.columns import Row
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]


class Plant:
    """A gateway, a broker, a spine, and an InfluxDB that does as it is told."""

    def __init__(
        self, influx: ScriptedInflux, spine: Any, gateway: WireGateway, scan: Scan
    ) -> None:
        self.influx, self.spine, self.gateway, self._scan = influx, spine, gateway, scan

    def put(self, rows: int) -> int:
        """Send a chunk; its first number."""
        return self.gateway.put(self._scan(rows, self.gateway.rows))

    def committed(self) -> None:
        wait_until_sync(lambda: not self.gateway.uncommitted, 30.0, "everything committed")

    def letters(self) -> list[tuple[int, int, str]]:
        found = self.spine.call("deadletters", limit=999)
        return sorted((r["lo"], r["hi"], r["detail"]) for r in found)

    def said(self) -> list[str]:
        return [line for line in self.spine.process.stderr if "cloud.ingest" in line]

    def waits(self, error: str) -> None:
        """Until the store is said to be away for this reason."""
        told = lambda: error in self.spine.call("counters")["store_error"]  # noqa: E731
        wait_until_sync(told, 30.0, error)

    def all_but(self, *refused: int) -> None:
        """Everything but these numbers is stored once."""
        good = [float(i) for i in range(self.gateway.rows) if i not in refused]
        assert self.influx.values("h2s") == good


@contextmanager
def plant(spine_on: Make, scan: Scan, account: Account, timeout_s: float = 10.0) -> Iterator[Plant]:
    with scripted_influx() as influx, throwaway_broker("auto", accounts=[account]) as broker:
        store = f'[store]\ntype = "influx"\nurl = "{influx.url}"\nversion = "v2"\n'
        store += f'token = "secret-token"\ntimeout_s = {timeout_s}\n'
        with (
            spine_on(broker, store) as spine,
            WireGateway(broker.port, "gw-1", "plant", account.password) as gateway,
        ):
            yield Plant(influx, spine, gateway, scan)


def numbers(body: bytes) -> list[int]:
    return [int(n) for n in re.findall(rb",seq=(\d+)i", body)]


def test_bad_lines_become_letters_by_line_and_the_rest_is_stored(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with plant(spine_on, scan, gateway_account) as site:
        site.put(100)
        site.committed()
        site.influx.bodies.clear()

        def refusing(bad: set[int], words: Callable[[list[int]], Reply]) -> None:
            def answer(body: bytes) -> Reply:
                lines = [i for i, n in enumerate(numbers(body), 1) if n in bad]
                return words(lines) if lines else STORED

            site.influx.answering = answer

        # InfluxDB 3 names each line
        def partial(lines: list[int]) -> Reply:
            data = [
                {"line_number": n, "error_message": f"no good {n}", "original_line": "?"}
                for n in lines
            ]
            told = {"error": "partial write of line protocol occurred", "data": data}
            return 400, {}, json.dumps(told)

        refusing({107, 150}, partial)
        site.put(100)
        site.committed()
        assert [(lo, hi) for lo, hi, _ in site.letters()] == [(107, 108), (150, 151)]
        assert "no good 1" in site.letters()[0][2]
        assert len(site.influx.bodies) == 4  # all, the two alone, the rest
        # InfluxDB 2 names one line, and not always the right one
        refusing(
            {220},
            lambda _: (400, {}, '{"code":"invalid","message":"error parsing line 7 (1-based)"}'),
        )
        site.put(100)
        site.committed()
        # nobody names any
        refusing({301, 303}, lambda _: (400, {}, '{"error":"no"}'))
        site.put(10)
        site.committed()
        # one line is too large for it, alone too
        refusing({311}, lambda _: (413, {}, '{"code":"request too large"}'))
        site.put(10)
        site.committed()
        site.influx.answering = lambda _: STORED
        refused = [107, 150, 220, 301, 303, 311]
        site.all_but(*refused)
        assert [lo for lo, _, _ in site.letters()] == refused
        assert list(site.gateway.rejected) == [(n, n + 1) for n in refused]
        assert site.said() == []


def test_a_server_that_is_busy_away_or_not_ours_to_write_costs_nothing_and_is_said_once(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with plant(spine_on, scan, gateway_account, timeout_s=0.5) as site:
        site.put(10)
        site.committed()
        for status, headers, words, hint in (
            (401, {}, '{"code":"unauthorized","message":"unauthorized access"}', "check the token"),
            (403, {}, '{"message":"forbidden"}', "may not write"),
            (404, {}, '{"message":"bucket not found"}', "does not exist"),
            (400, {}, "<html>plain HTTP request was sent to HTTPS port", "is the url right"),
            (429, {"Retry-After": "0"}, "busy", ""),
            (503, {}, "no", ""),
            (302, {"Location": "/"}, "", ""),
        ):  # fmt: skip
            before = len(site.said())
            site.influx.answering = lambda _, reply=(status, headers, words): reply  # type: ignore[misc]
            site.put(10)
            site.waits(f"InfluxDB answered {status}")
            assert site.gateway.uncommitted == 1
            site.influx.answering = lambda _: STORED
            site.committed()
            wait_until_sync(lambda n=before + 2: len(site.said()) >= n, 30.0, "both words")  # type: ignore[misc]
            away, back = site.said()[before:]
            assert hint in away
            assert "is back" in back
        site.influx.before_answer = reset  # it has stored them, and nobody knows
        site.put(10)
        site.waits("does not answer")
        site.influx.before_answer = late(2.0)
        wait_until_sync(lambda: "timed out" in site.spine.call("counters")["store_error"], 30.0)
        assert site.gateway.uncommitted == 1
        site.influx.before_answer = lambda _: None
        site.committed()
        site.all_but()
        assert site.letters() == []
        assert "secret-token" not in "".join(site.spine.process.stderr)
