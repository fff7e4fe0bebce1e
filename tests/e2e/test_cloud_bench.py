"""The benches of the cloud run and their counts are clean. They mostly wait, so all of them run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.test_bench import bench
from tocsin.contract.codec import CODECS

RUNS = {
    "ingest": ("--seconds", "1"),
    "store": ("--rows", "120000", "--devices", "50", "--repeats", "3"),
    "alarm": ("--alarms", "5", "--seconds", "1", "--per-s", "1000"),
    "drain": ("--readings", "50000"),
    "wire": ("--seconds", "0.02"),
}
Ran = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """What a bench printed."""
    with ThreadPoolExecutor(len(RUNS)) as pool:
        running = {
            name: pool.submit(bench, tmp_path_factory.mktemp(name), name, *args)
            for name, args in RUNS.items()
        }
        yield lambda name: running[name].result()


def test_the_ingest_bench_reads_back_every_reading_it_sent(ran: Ran) -> None:
    result = ran("ingest")
    for size, figure in ((100, result["batched"]), (4, result["unbatched"])):
        count = figure["count"]
        assert figure["readings_per_message"] == size
        assert count["readings_read_back"] >= 1000
        assert (count["wrong"], count["missing"], count["duplicates"]) == (0, 0, 0), count
        assert figure["processes"].keys() >= {"load", "spine", "web"}
        assert all(limit > 0 for limit in figure["limits"].values())


def test_the_store_bench_finds_every_row_hot_and_cold(ran: Ran) -> None:
    result = ran("store")
    write, cold = result["write"], result["cold"]
    assert write["rows"] == cold["rows"] > 100_000
    assert (write["wrong"], cold["wrong"]) == (0, 0)
    assert result["queries"]["last_of_every_device"]["rows"] == 50
    assert cold["bytes_per_reading"] > 0
    for question in (*result["queries"].values(), cold["mean_of_a_day"]):
        assert question["wrong"] == 0, question


def test_the_alarm_bench_hears_every_alarm_once(ran: Ran) -> None:
    result = ran("alarm")
    for figure in (result["idle"], result["loaded"]):
        assert (figure["alarms"], figure["missing"], figure["wrong"]) == (5, 0, 0)
        assert 0 < figure["sample_to_subscriber_ms"]["p50"] <= figure["device_to_screen_ms"]["p99"]
    load = result["load"]
    assert load["readings_read_back"] > 0
    assert (load["wrong"], load["missing"], load["duplicates"]) == (0, 0, 0)


def test_the_drain_bench_finds_all_that_was_acquired(ran: Ran) -> None:
    result = ran("drain")
    count = result["count"]
    assert result["acquired_readings"] >= count["readings_read_back"] > result["backlog_readings"]
    assert result["backlog_readings"] > 1000
    assert (count["wrong"], count["missing"], count["duplicates"]) == (0, 0, 0)
    assert result["live_probes"] > 0


def test_the_wire_bench_reads_back_what_each_format_wrote(ran: Ran) -> None:
    result = ran("wire")
    formats = result["formats"]
    assert set(formats) == {
        *(f"tocsin {codec}" for codec in CODECS),
        *("SenML JSON", "SenML CBOR", "Sparkplug B", "ThingsBoard JSON", "line protocol"),
    }
    for name, figure in formats.items():
        assert figure["wrong"] == 0, name
        assert (figure["decode_us"] is None) == (name == "line protocol")
        assert figure["bytes_per_reading"] > 0
