"""The driver through its real port: known frames byte for byte, and a virtual station's whole life."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.sl651.config import Sl651Config
from edge.drivers.sl651.driver import Sl651Driver
from edge.pipeline import Pipeline
from firmware_bridges.sl651.body import element, head, parse, report
from firmware_bridges.sl651.frames import (
    ACK,
    EOT,
    ESC,
    ETB,
    ETX,
    NAK,
    STX,
    SYN,
    Frame,
    encode_frame,
)
from firmware_bridges.sl651.samples import standard
from firmware_bridges.sl651.splitter import Splitter
from tocsin.contract.quality import Quality
from tocsin.errors import LinkError, UsageError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import FaultProxy, Process, free_port, run_process, wait_until

STATION = "0012345678"
NOON = datetime(2026, 11, 24, 12, 0, 0)  # noqa: DTZ001 - a station's clock has no zone
NOON_NS = 1_795_492_800_000_000_000


class Agent:
    """What the agent would see of one driver. `hold` keeps samples from becoming durable."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: list[tuple[str, str]] = []
        self.frames: list[tuple[str, str, bytes]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = free_port()
        self.context = DriverContext(
            name="hydrology",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=self._keep,
            available=lambda device: self._state(device, "ok"),
            unavailable=lambda device, error: self._state(device, error.reason.value),
            count=lambda name, n: self.counts.update({name: n}),
            frame=lambda device, way, data: self.frames.append((device, way, data)),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def _keep(self, samples: Any) -> None:
        await self.hold.wait()
        self.samples.extend(samples)

    def _state(self, device: str, state: str) -> None:
        if [s for d, s in self.states if d == device][-1:] != [state]:
            self.states.append((device, state))

    def driver(self, *devices: dict[str, Any], **config: object) -> Sl651Driver:
        given = {
            "devices": devices or ({"id": "river-01", "station": STATION},),
            "listen": f"127.0.0.1:{self.port}",
        }
        return Sl651Driver(
            Sl651Config(type="sl651", name="hydrology", **(given | config)),  # type: ignore[arg-type]
            self.context,
        )


def _values(sample: Sample) -> dict[str, Any]:
    pairs = zip(sample.spec.channels, sample.values, strict=True)
    return {c.quantity: v for c, v in pairs if v is not None}


def _missing(sample: Sample) -> set[str]:
    pairs = zip(sample.spec.channels, sample.quality or (), strict=sample.quality is not None)
    return {c.quantity for c, q in pairs if q == Quality.MISSING}


class Client:
    """A station made of typed bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._splitter = Splitter()
        self._frames: list[Frame] = []

    async def frame(self) -> Frame:
        while not self._frames:
            data = await asyncio.wait_for(self._reader.read(4096), 20)
            if not data:
                raise EOFError
            self._frames += [i[0] for i in self._splitter.feed(data) if isinstance(i, tuple)]
        return self._frames.pop(0)

    def tell(self, body: bytes, function: int = 0x32, **changes: Any) -> None:
        self.writer.write(_frame(body, function, **changes))

    async def closed(self) -> bool:
        try:
            await self.frame()
        except (EOFError, OSError):
            return True
        return False


def _frame(
    body: bytes,
    function: int = 0x32,
    *,
    part: Any = None,
    password: str = "1234",  # noqa: S107
) -> bytes:
    index, total = part or (None, None)
    start, end = (SYN, ETX if index == total else ETB) if part else (STX, ETX)
    key = bytes.fromhex(password)
    return encode_frame(Frame(True, "01", STATION, key, function, start, end, body, index, total))


def _report(told: bytes, serial: int = 1, at: datetime = NOON) -> bytes:
    return report(serial, at, STATION, 0x48, at, told)


LEVEL = element("39", 12.345, 4, 3)


@asynccontextmanager
async def _running(driver: Sl651Driver) -> AsyncIterator[None]:
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _connected(agent: Agent) -> AsyncIterator[Client]:
    reader = writer = None
    while writer is None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        except OSError:
            await asyncio.sleep(0.05)
    assert reader is not None
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def _vectors(shared_data: Path) -> list[dict[str, Any]]:
    file = json.loads((shared_data / "protocols" / "sl651.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    return found


async def test_known_frames_verbatim_are_kept_and_answered(shared_data: Path) -> None:
    vectors = _vectors(shared_data)
    addresses = sorted({v["expected"]["station"] for v in vectors})
    devices = [{"id": f"s-{a}", "station": a} for a in addresses]
    agent = Agent()
    async with _running(agent.driver(*devices)):
        for vector in vectors:
            expected, before = vector["expected"], len(agent.samples)
            async with _connected(agent) as client:
                client.writer.write(bytes.fromhex(vector["hex"]))
                answered = (
                    vector["frame_ok"]
                    and expected["direction"] == "up"
                    and expected["function"] in ("32", "33", "34", "35")
                )
                if answered:
                    answer = await client.frame()
                    assert (answer.up, answer.end) == (False, ESC)
                    assert f"{answer.function:02X}" == expected["function"]
                    assert (answer.station, answer.centre) == (
                        expected["station"],
                        expected["centre"],
                    )
                    assert parse(answer.body).serial == expected["serial"]
                elif "elements" in expected and vector["frame_ok"]:
                    await wait_until(lambda: len(agent.samples) > before)  # noqa: B023
            if vector["frame_ok"] and "elements" in expected:
                _same(agent.samples[before:], expected)
            else:
                assert len(agent.samples) == before, vector["id"]
        await wait_until(
            lambda: agent.counts["sl651.checksum"] == agent.counts["sl651.not_up"] == 1
        )
        up = [v for v in vectors if v["frame_ok"] and v["expected"]["direction"] == "up"]
        await wait_until(lambda: sum(way == "rx" for _, way, _ in agent.frames) == len(up))
    told = {data for _, way, data in agent.frames if way == "rx"}
    good = {bytes.fromhex(v["hex"]) for v in vectors if v["frame_ok"]}
    assert good - told == {
        bytes.fromhex(v["hex"]) for v in vectors if v["expected"]["direction"] == "down"
    }


def _same(samples: list[Sample], expected: dict[str, Any]) -> None:
    always, _ = standard()
    observed = int(datetime.fromisoformat(expected["obs_time"] + "+08:00").timestamp()) * 10**9
    by_time = {s.source_ns: s for s in samples}
    assert len(by_time) == len(samples)
    for one in expected["elements"]:
        code, row = one["id"], by_time.get(observed)
        slots = one.get("rain_5min_mm") or one.get("level_5min_m")
        if slots:
            quantity = "rain_5min" if code == "F4" else "level_5min"
            rows = [s for s in samples if quantity in _values(s) or quantity in _missing(s)]
            assert [_values(s).get(quantity) for s in rows] == slots
            assert [quantity in _missing(s) for s in rows] == [v is None for v in slots]
            assert {b.source_ns - a.source_ns for a, b in pairwise(rows)} == {  # type: ignore[operator]
                300_000_000_000
            }
        elif row is None:
            raise AssertionError(expected)
        elif "status_alarm" in one:
            assert _values(row)["status"] == int(one["status_alarm"], 16)
        elif code in always:
            assert _values(row)[always[code].quantity] == one["value"]
        else:
            assert f"{code}={one['value']}" in _values(row)["extras"].split()


async def test_a_report_is_answered_only_when_it_is_durable() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        agent.hold.clear()
        client.tell(_report(LEVEL, 7))
        answer = asyncio.create_task(client.frame())
        await asyncio.sleep(0.2)
        assert not answer.done()
        agent.hold.set()
        assert parse((await answer).body).serial == 7
    (sample,) = agent.samples
    assert (_values(sample), sample.source_ns) == ({"level": 12.345}, NOON_NS)


async def test_a_report_sent_again_is_answered_again_and_stored_once() -> None:
    agent = Agent()
    async with _running(agent.driver()):
        for serial in (7, 7, 9):  # some stations number it anew
            async with _connected(agent) as client:
                client.tell(_report(LEVEL, serial))
                assert parse((await client.frame()).body).serial == serial
    assert len(agent.samples) == 1
    assert agent.counts["sl651.resent"] == 2


async def test_stations_that_stay_keep_their_links_when_the_configuration_changes() -> None:
    agent = Agent()
    river, other = {"id": "river-01", "station": STATION}, {"id": "river-02", "station": "9" * 10}
    driver = agent.driver(river)
    async with _running(driver), _connected(agent) as client:
        client.tell(_report(LEVEL))
        await client.frame()
        assert driver.reconfigure(agent.driver(river, other)._config)
        assert [spec.id for spec in driver.devices] == ["river-01", "river-02"]
        client.tell(_report(LEVEL))
        await client.frame()
        assert agent.counts["sl651.resent"] == 1, "the same link, the same memory"
        assert driver.reconfigure(agent.driver(river | {"model": "another"}, other)._config)
        assert await client.closed(), "a changed one begins anew"
        assert not driver.reconfigure(agent.driver(other, max_connections=5)._config)
    assert len(agent.samples) == 1


async def test_missing_values_negative_ones_and_what_cannot_be_read() -> None:
    agent = Agent()
    devices = {
        "id": "river-01",
        "station": STATION,
        "elements": {"10": {}, "FF92": {"quantity": "soil_temperature", "unit": "Cel"}},
    }
    told = (
        element("39", None, 4, 3)
        + element("03", -1.5, 2, 1)
        + element("10", 24.6, 2, 1)
        + element("FF92", 20.1, 3, 1)
        + element("FF33", 20.5, 2, 1)
        + b"\x38\x12\x12"
    )
    async with _running(agent.driver(devices)), _connected(agent) as client:
        client.tell(_report(told))
        await client.frame()
        client.tell(b"\x00\x02" + b"\xff" * 30)
        await client.frame()
    first, second = agent.samples
    assert _values(first) == {
        "temperature": -1.5,
        "soil_moisture_10cm": 24.6,
        "soil_temperature": 20.1,
        "extras": "FF33=20.5 ?=381212",
    }
    assert _missing(first) == {"level"}
    assert _values(second) == {"extras": "?=0002" + "ff" * 30}
    assert second.source_ns is None
    assert agent.counts["sl651.not_read"] == 1


async def test_the_state_word_is_told_bit_by_bit_and_a_faulty_gauge_marks_its_values() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell(_report(LEVEL + element("38", 11.9, 2, 2) + bytes.fromhex("452000000046")))
        await client.frame()
    (sample,) = agent.samples
    values = _values(sample)
    said = {name for name, value in values.items() if value is True}
    assert said == {"battery_low", "level_alarm", "level_gauge_fault", "door_open"}
    assert (values["status"], values["level"]) == (0x46, 12.345)
    pairs = zip(sample.spec.channels, sample.quality or (), strict=True)
    assert {c.quantity: q for c, q in pairs if q} == {"level": Quality.DEVICE_FAULT}


async def test_a_link_of_nothing_but_broken_frames_is_closed() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        client.writer.write(bytes.fromhex("7e7e0100123456781234320fff02") * 4000)
        assert await client.closed()
        await wait_until(lambda: agent.counts["sl651.closed_noisy"] == 1)
    assert agent.counts["sl651.checksum"] <= 33


async def test_what_an_observer_typed_is_kept_as_text() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell(head(5, NOON) + b"\xf2\xf2" + "水位1.25".encode("gb18030"), 0x35)
        assert (await client.frame()).function == 0x35
    (sample,) = agent.samples
    assert (_values(sample), sample.source_ns) == ({"text": "水位1.25"}, None)


async def test_five_minute_values_stand_at_their_own_times() -> None:
    agent = Agent()
    rain = b"\xf4\x60" + bytes((1, 2)) + b"\xff" * 10
    early = datetime(2026, 11, 24, 11, 0)  # noqa: DTZ001
    hour = {"id": "river-01", "station": STATION, "slots": "clock-hour"}
    for at, sent, config, first in (
        (early, NOON, None, "11:00"),  # the first one's time
        (NOON, NOON, None, "11:05"),  # the last one's
        (datetime(2026, 11, 24, 11, 5), NOON, hour, "11:00"),  # noqa: DTZ001
    ):
        agent = Agent()
        async with (
            _running(agent.driver(*([config] if config else []))),
            _connected(agent) as client,
        ):
            client.tell(report(3, sent, STATION, 0x50, at, rain), 0x34)
            await client.frame()
        begins = int(datetime.fromisoformat(f"2026-11-24T{first}+08:00").timestamp()) * 10**9
        assert agent.samples[0].source_ns == begins
        assert [_values(s).get("rain_5min") for s in agent.samples[:2]] == [0.1, 0.2]
        assert len(agent.samples) == (2 if config else 12)


async def test_a_series_with_a_step_stands_at_its_own_times() -> None:
    agent = Agent()
    levels = [f"{1000 + i:08d}" for i in range(12)]
    told = bytes.fromhex("0418000005" + "3923" + "".join(levels) + "38121234")
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell(report(3, NOON, STATION, 0x48, datetime(2026, 11, 24, 11, 0), told), 0x31)  # noqa: DTZ001
        await client.frame()
    rows = [(_values(s)["level"], s.source_ns) for s in agent.samples]
    assert rows == [(1 + i / 1000, NOON_NS - (12 - i) * 300 * 10**9) for i in range(12)]
    assert _values(agent.samples[0])["voltage"] == 12.34


async def test_an_unknown_station_and_a_wrong_password_are_refused_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()
    async with _running(agent.driver({"id": "other", "station": "0000000001"})):
        for _ in range(2):
            async with _connected(agent) as client:
                client.tell(_report(LEVEL))
                assert await client.closed()
    told = [r.getMessage() for r in caplog.records if "not configured" in r.getMessage()]
    assert len(told) == 1
    assert f'station = "{STATION}"' in told[0]
    agent = Agent()
    device = {"id": "river-01", "station": STATION, "password": "ABCD"}
    async with _running(agent.driver(device)):
        async with _connected(agent) as client:
            client.tell(_report(LEVEL))
            assert await client.closed()
        async with _connected(agent) as client:
            client.tell(_report(LEVEL), password="abcd")
            assert (await client.frame()).function == 0x32
    assert agent.counts["sl651.wrong_password"] == 1
    assert len(agent.samples) == 1


async def test_junk_and_half_frames_cost_only_themselves() -> None:
    agent = Agent()
    async with _running(agent.driver(stay_online=False)), _connected(agent) as client:
        whole = _frame(_report(LEVEL))
        forged = bytearray(whole)
        forged[11:13] = b"\x0f\xff"  # waits for 4095 bytes that never come
        client.writer.write(b"DTU-REG 13800138000\r\n" + whole[:-1] + b"\0" + bytes(forged) + whole)
        assert (await client.frame()).end == EOT
    assert len(agent.samples) == 1
    assert agent.counts["sl651.junk_bytes"] > 20
    assert agent.counts["sl651.checksum"] == agent.counts["sl651.truncated"] == 1
    assert agent.states == [("river-01", "ok")]  # it was told to leave


async def test_a_lost_part_is_asked_for_and_the_whole_answered_once() -> None:
    agent = Agent()
    body = _report(LEVEL + b"\xf3\xf3" + bytes(300))
    pieces = [body[:100], body[100:200], body[200:]]
    async with _running(agent.driver(parts_wait_s=0.5)), _connected(agent) as client:
        client.tell(pieces[0], 0x36, part=(1, 3))
        client.tell(pieces[2], 0x36, part=(3, 3))
        asked = await client.frame()
        assert (asked.end, asked.part, asked.parts) == (NAK, 2, 3)
        client.tell(pieces[1], 0x36, part=(2, 3))
        answer = await client.frame()
        assert (answer.end, answer.part, answer.parts) == (ACK, 3, 3)
        assert parse(answer.body).serial == 1
    (sample,) = agent.samples
    assert _values(sample) == {"level": 12.345}
    assert agent.counts["sl651.pictures"] == 1


def test_two_stations_of_one_address_and_an_unknown_element_are_mistakes() -> None:
    one = {"id": "a", "station": STATION}
    with pytest.raises(ValidationError, match="two devices have the same station"):
        Agent().driver(one, one | {"id": "b"})
    with pytest.raises(ValidationError, match="give its quantity"):
        Agent().driver(one | {"elements": {"FF92": {}}})
    assert load_driver("sl651") is Sl651Driver


@contextmanager
def _station(connect: str, ledger: Path, *arguments: str) -> Iterator[Process]:
    argv = [
        sys.executable, "-m", "firmware_bridges.sl651.device", "--connect", connect, "--ledger", str(ledger),
        "--period", "0.2", "--keepalive", "1", "--answer-timeout", "1", "--retry", "0.2",
        "--clock-error", "-86400", *arguments,
    ]  # fmt: skip
    with run_process(argv) as process:
        process.wait_line('"ready"')
        yield process


def _ledger(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _marks(path: Path, mark: str) -> list[dict[str, Any]]:
    return [entry for entry in _ledger(path) if entry.get("mark") == mark]


def _check(agent: Agent, ledger: Path) -> None:
    """Everything answered is stored, once, with the values the station told; nothing else is."""
    told = [
        (e["t_ns"], frozenset((k, v) for k, v in e["values"].items() if v is not None))
        for e in _ledger(ledger)
        if "values" in e
    ]
    stored = [(s.source_ns, frozenset(_values(s).items())) for s in agent.samples]
    assert not Counter(stored) - Counter(told)
    answered = {m["of_ns"] for m in _marks(ledger, "answered") if "of_ns" in m}
    assert answered
    assert answered <= {t for t, _ in stored}


async def test_a_station_reports_through_a_link_that_breaks_and_one_that_swallows(
    tmp_path: Path,
) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver(parts_wait_s=0.3)):
        with (
            FaultProxy(agent.port) as proxy,
            _station(
                f"127.0.0.1:{proxy.port}", ledger, "--picture-bytes", "3000", "--lose-part",
                "--hourly-every", "3",
            ),
        ):  # fmt: skip
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 5, 30)
            proxy.cut()
            proxy.resume()
            before = 1
            await wait_until(lambda: len(_marks(ledger, "connected")) > before, 30)
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 10, 30)
            agent.hold.clear()  # nothing becomes durable: no answer, so it is sent again
            await wait_until(lambda: bool(_marks(ledger, "resent")), 30)
            agent.hold.set()
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 16, 30)
        await wait_until(lambda: agent.states[-1:] == [("river-01", "closed")])
    _check(agent, ledger)
    assert agent.counts["sl651.resent"] > 0
    assert _marks(ledger, "asked-again")[0]["part"] == 2
    assert agent.counts["sl651.pictures"] >= 1


async def test_a_station_is_asked_and_its_clock_set(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    driver = agent.driver()
    with pytest.raises(LinkError):
        await driver.command("river-01", "read", {}, 10)
    async with _running(driver):
        with _station(f"127.0.0.1:{agent.port}", ledger):
            await wait_until(lambda: len(agent.samples) > 2)
            read = await driver.command("river-01", "read", {}, 10)
            assert read["values"]["38"] == 12.6
            assert read["values"]["45"] == "00600481"
            late = datetime.fromisoformat(
                (await driver.command("river-01", "clock", {}, 10))["time"]
            )
            told = await driver.command("river-01", "set-clock", {}, 10)
            set_to = datetime.fromisoformat(told["time"])
            assert 86_390 < (set_to - late).total_seconds() < 86_430
            version = await driver.command("river-01", "version", {}, 10)
            assert version["text"] == "TOCSIN-VS1"
            with pytest.raises(UsageError):
                await driver.command("river-01", "dance", {}, 10)
            await wait_until(lambda: any(_on_time(s) for s in agent.samples))


def _on_time(sample: Sample) -> bool:
    return sample.source_ns is not None and abs(sample.source_ns - sample.ts_ns) < 3600 * 10**9


async def test_a_wrong_clock_costs_no_value_and_is_flagged(tmp_path: Path) -> None:
    agent = Agent()
    driver = agent.driver()
    async with _running(driver):
        with _station(f"127.0.0.1:{agent.port}", tmp_path / "ledger", "--clock-error", "864000"):
            await wait_until(lambda: len(agent.samples) > 0)
    sample = agent.samples[0]
    (row,) = Pipeline(driver.devices).process(sample, 0).rows
    assert row.time_ns == sample.ts_ns
    assert row.source_ns == sample.source_ns
    level = row.layout.quantities.index("level")
    assert row.values[level] == _values(sample)["level"]
    assert row.quality is not None
    assert row.quality[level] == Quality.SOURCE_TIME


async def test_an_order_without_an_answer_ends_in_time() -> None:
    agent = Agent()
    driver = agent.driver(command_timeout_s=0.3)
    async with _running(driver), _connected(agent) as client:
        client.tell(_report(LEVEL))
        await client.frame()
        with pytest.raises(LinkError, match="no answer to read"):
            await driver.command("river-01", "read", {}, 10)
        assert (await client.frame()).function == 0x37
