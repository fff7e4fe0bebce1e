"""Dead letters by the command line: listed, explained, tried again by the same way, dropped; never lost, never doubled."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.cloud.scripted_influx import STORED, Reply, scripted_influx
from tests.cloud.spine.running import GATEWAY, SpineProcess
from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.messages import VERSION, Batch
from tocsin.testing import run_process, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[SpineProcess]]
Scan = Callable[[int, int], list[Row]]


def tocsin(spine: SpineProcess, *words: str, status: int = 0) -> Any:
    """`tocsin deadletters ... --json`, its object."""
    argv = [sys.executable, "-m", "tocsin.cli", "deadletters", *words]
    with run_process([*argv, "--data", str(spine.data), "--json"]) as done:
        assert done.wait(60.0) == status, done.stderr
        return json.loads("".join(done.stdout))


def again(spine: SpineProcess, toml: tuple[str, str]) -> None:
    """Restart it with one thing changed in its file."""
    assert spine.process.terminate(10.0) == 0
    text = spine.config.read_text("utf-8")
    assert toml[0] in text
    spine.config.write_text(text.replace(*toml), "utf-8")
    spine.start()


def test_what_was_mended_is_stored_and_what_was_not_stays(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    stranger = Account("gw-9", "gw-9-password")
    now = time.time_ns() // 1_000_000 * 1_000_000
    wide = Layout("gas-01", "gas", ("h2s", "extra"), "ff")
    with (
        throwaway_broker("auto", accounts=[gateway_account, stranger]) as broker,
        spine_on(broker, '[store]\ntype = "local"\nmax_columns = 4\n') as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
        WireGateway(broker.port, "gw-9", "plant", stranger.password) as other,
    ):
        gateway.put(scan(3, 0))  # four quantities: the table is full
        gateway.put([Row(wide, now + 10_000, (3.0, 33.0)), Row(wide, now + 11_000, (4.0, 44.0))])
        gateway.put([Row(Layout("gas-01", "gas", ("h2s",), "f"), now + 12_000, ("no number",))])
        other.put(scan(2, 100))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "what can be stored")
        wait_until_sync(
            lambda: len(spine.call("deadletters", limit=9, gateway="gw-9")) == 3, 30.0, "gw-9"
        )
        mine = {r["reason"]: r["id"] for r in tocsin(spine, "list", "--gateway", "gw-1")}
        assert sorted(mine) == ["bad-reading", "store-rejected"]
        counted = tocsin(spine, "list", "--counts", "--since", "-1h")
        assert {(r["gateway"], r["reason"]): r["letters"] for r in counted} == {
            ("gw-1", "bad-reading"): 1,
            ("gw-1", "store-rejected"): 1,
            ("gw-9", "unknown-gateway"): 3,  # its state, its resume, its chunk
        }
        told = tocsin(spine, "explain", str(mine["bad-reading"]))
        assert told["cell"] == {"quantity": "h2s", "value": "no number"}
        assert (told["line"]["number"], told["line"]["device"]) == (5, "gas-01")
        assert "type" in told["mend"]
        assert (
            "max_columns"
            in tocsin(spine, "show", str(mine["store-rejected"]))["explanation"]["mend"]
        )
        # nothing was mended: all is refused again, and nothing changes
        told = tocsin(spine, "requeue", "--all", status=9)
        assert [one["outcome"] for one in told["letters"]] == ["refused"] * 5
        assert len(tocsin(spine, "list")) == 5
        # the gateway is registered, the table may grow
        again(spine, ("max_columns = 4", "max_columns = 5"))
        again(spine, ("[[gateways]]", '[[gateways]]\nid = "gw-9"\nsite = "plant"\n[[gateways]]'))
        told = tocsin(spine, "requeue", "--all", status=9)
        outcomes = {one["id"]: one["outcome"] for one in told["letters"]}
        assert outcomes.pop(mine["bad-reading"]) == "refused"
        assert set(outcomes.values()) == {"stored"}
        (left,) = tocsin(spine, "list")
        assert left["reason"] == "bad-reading"
        wait_until_sync(lambda: not other.uncommitted, 30.0, "the other gateway")
        found = spine.call(
            "query", sql="SELECT seq, h2s, extra, extra_q FROM gas ORDER BY h2s, seq"
        )
        assert list(zip(*found["data"], strict=True)) == [
            *((i, float(i), None, None) for i in range(3)),
            (3, 3.0, 33.0, 0),
            (4, 4.0, 44.0, 0),
            (0, 100.0, None, None),
            (1, 101.0, None, None),
            (5, None, None, None),
        ]
        # a letter on its way out for ever
        told = tocsin(spine, "drop", str(left["id"]), status=2)
        assert "--yes" in told["error"]["hint"]
        assert tocsin(spine, "drop", str(left["id"]), "--yes") == {"dropped": 1}
        tocsin(spine, "drop", str(left["id"]), "--yes", status=9)
        assert tocsin(spine, "list") == []
        assert tocsin(spine, "requeue", "99", status=9)["letters"][0]["outcome"] == "unknown"
        told = tocsin(spine, "list", "--reason", "bad-redding", status=2)
        assert "bad-reading" in told["error"]["hint"]
        spine.process.terminate(10.0)
        assert "is `tocsin cloud run` running" in tocsin(spine, "list", status=7)["error"]["hint"]


def test_rows_that_the_store_refused_are_stored_once_when_it_takes_them(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    def refusing(body: bytes) -> Reply:
        return (400, {}, '{"error":"no"}') if b"seq=7i" in body else STORED

    with (
        scripted_influx() as influx,
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
    ):
        influx.answering = refusing
        store = f'[store]\ntype = "influx"\nurl = "{influx.url}"\nversion = "v2"\n'
        with (
            spine_on(broker, store) as spine,
            WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
        ):
            gateway.put(scan(10, 0))
            wait_until_sync(lambda: list(gateway.rejected) == [(7, 8)], 30.0, "a refusal")
            (letter,) = tocsin(spine, "list")
            influx.answering = lambda _: STORED
            assert tocsin(spine, "requeue", "--reason", "store-rejected")["stored"] == 1
            assert influx.values("h2s") == [float(i) for i in range(10)]
            assert tocsin(spine, "list") == []
            assert tocsin(spine, "requeue", str(letter["id"]), status=9)["stored"] == 0
            spine.process.kill9()
            spine.start()  # and it knows that the row is no longer refused
            gateway.put(scan(1, 10))
            wait_until_sync(lambda: not gateway.uncommitted, 30.0, "the next row")
            told: list[Any] = spine.call("audit", gateway="gw-1")["streams"]
            assert "rejected" not in json.dumps(told)


def test_every_refused_row_of_a_message_is_in_a_letter_however_many_there_are(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    def refusing(body: bytes) -> Reply:
        lines = [int(n) for n in re.findall(rb",seq=(\d+)i", body)]
        bad = [at for at, n in enumerate(lines, 1) if n % 2]
        data = [{"line_number": at, "error_message": "odd", "original_line": "?"} for at in bad]
        told = {"error": "partial write of line protocol occurred", "data": data}
        return (400, {}, json.dumps(told)) if bad else STORED

    with (
        scripted_influx() as influx,
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
    ):
        influx.answering = refusing
        store = f'[store]\ntype = "influx"\nurl = "{influx.url}"\nversion = "v2"\n'
        with (
            spine_on(broker, store) as spine,
            WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
        ):
            gateway.put(scan(400, 0))
            wait_until_sync(lambda: gateway.rejected.count == 200, 30.0, "refusals")
            letters = tocsin(spine, "list", "--limit", "999")
            assert len(letters) == 101
            (rest,) = [row for row in letters if row["hi"] - row["lo"] > 1]
            assert (rest["lo"], rest["hi"], rest["detail"][:12]) == (201, 400, "100 of them:")
            gaps = [g for s in spine.call("audit", gateway="gw-1")["streams"] for g in s["gaps"]]
            assert len(gaps) == 200
            assert all(gap["letters"] for gap in gaps)
            assert not spine.call("counters").get("dead_letters_cut")
            influx.answering = lambda _: STORED
            assert tocsin(spine, "requeue", "--all")["stored"] == 101
            assert influx.values("h2s") == [float(i) for i in range(400)]
            assert spine.call("audit", gateway="gw-1")["missing"] == 0


def test_a_message_refused_as_a_whole_is_judged_again_and_its_neighbours_are_left_alone(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password) as gateway,
    ):
        t0, unit, groups = group_rows(scan(2, 0))
        batch = Batch(VERSION, "plant", "gw-other", gateway.stream, 0, t0, groups, unit)
        gateway.put_sealed(2, topics.TELEMETRY, lambda _: encode(batch))
        gateway.put(scan(2, 2))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "both")
        assert list(gateway.rejected) == [(0, 2)]
        (letter,) = tocsin(spine, "list")
        assert letter["reason"] == "wrong-topic"
        (told,) = tocsin(spine, "requeue", str(letter["id"]), status=9)["letters"]
        assert (told["outcome"], told["reason"]) == ("refused", "wrong-topic")
        (same,) = tocsin(spine, "list")
        assert (same["id"], same["n"]) == (letter["id"], 2)
        assert spine.column("SELECT h2s FROM gas ORDER BY seq") == [2.0, 3.0]
