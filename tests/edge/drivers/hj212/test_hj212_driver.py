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
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.hj212.config import Hj212Config
from edge.drivers.hj212.driver import Hj212Driver
from edge.pipeline import Pipeline
from firmware_bridges.hj212.frames import encode_frame
from firmware_bridges.hj212.samples import PERIODS_S, Plan, standard
from firmware_bridges.hj212.segment import Segment, parse, segment
from firmware_bridges.hj212.splitter import Splitter
from tocsin.contract.quality import Quality
from tocsin.errors import DeviceFaultError, LinkError, UsageError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import FaultProxy, Process, free_port, run_process, wait_until

MN = "010000A8900016F000169DC0"
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
            name="environment",
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

    def driver(self, *devices: dict[str, Any], **config: object) -> Hj212Driver:
        given = {
            "devices": devices or ({"id": "air-01", "mn": MN},),
            "listen": f"127.0.0.1:{self.port}",
        }
        return Hj212Driver(
            Hj212Config(type="hj212", name="environment", **(given | config)),  # type: ignore[arg-type]
            self.context,
        )


def _values(sample: Sample) -> dict[str, Any]:
    pairs = zip(sample.spec.channels, sample.values, strict=True)
    return {c.quantity: v for c, v in pairs if v is not None}


class Client:
    """A station made of typed bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._splitter = Splitter()
        self._told: list[Segment] = []

    async def answer(self) -> Segment:
        while not self._told:
            data = await asyncio.wait_for(self._reader.read(4096), 20)
            if not data:
                raise EOFError
            items = self._splitter.feed(data)
            self._told += [parse(i[0].segment) for i in items if isinstance(i, tuple)]
        return self._told.pop(0)

    def tell(self, cn: str, parameters: str, qn: str = "20261124120000001", **head: Any) -> None:
        self.writer.write(encode_frame(_segment(cn, parameters, qn, **head)))

    async def closed(self) -> bool:
        try:
            await self.answer()
        except (EOFError, OSError):
            return True
        return False


def _segment(cn: str, parameters: str, qn: str, **head: Any) -> bytes:
    given: dict[str, str | int] = {
        "QN": qn,
        "ST": "22",
        "CN": cn,
        "PW": "123456",
        "MN": MN,
        "Flag": 5,
    }
    return segment(given | head, parameters)


NOON = "DataTime=20261124120000;"
SO2 = NOON + "a21026-Rtd=11.5,a21026-Flag=N"


@asynccontextmanager
async def _running(driver: Hj212Driver) -> AsyncIterator[None]:
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
    file = json.loads((shared_data / "protocols" / "hj212.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    return found


@pytest.mark.parametrize("crc", ["strict", "modbus", "any"])
async def test_known_frames_verbatim_are_kept_and_answered(shared_data: Path, crc: str) -> None:
    vectors = _vectors(shared_data)
    names = sorted({v["expected"]["head"]["MN"] for v in vectors})
    devices = [{"id": f"s-{i}", "mn": mn, "crc": crc} for i, mn in enumerate(names)]
    for device in devices:
        if device["mn"] == "81733553213013":
            device["measurement"] = "effluent"
    agent = Agent()
    refused = 0
    async with _running(agent.driver(*devices)), _connected(agent) as client:
        for vector in vectors:
            expected, before = vector["expected"], len(agent.samples)
            frames = len(agent.frames)
            client.writer.write(vector["frame"].encode())
            good = vector["frame_ok"] or (
                crc == "any"
                or (crc == "modbus" and expected["crc"].upper() == expected["modbus_crc_also"])
            )
            if not good:
                refused += 1
                await wait_until(lambda: agent.counts["hj212.checksum"] == refused)  # noqa: B023
                assert len(agent.samples) == before
                continue
            await wait_until(lambda: len(agent.frames) > frames)  # noqa: B023
            if expected.get("flag_bits", {}).get("needs_ack"):
                answer = await client.answer()
                assert answer.head["CN"] == "9014"
                assert answer.head["MN"] == expected["head"]["MN"]
                assert answer.qn == answer.fields["QN"] == expected["head"]["QN"]  # 2005
            elif "PNUM" not in expected["head"]:
                await wait_until(lambda: len(agent.samples) > before)  # noqa: B023
            if "DataTime" in expected["cp_fields"] and "PNUM" not in expected["head"]:
                _same(agent.samples[before:], expected, uncertain=not vector["frame_ok"])
    assert refused + sum(way == "rx" for _, way, _ in agent.frames) == len(vectors)


def _same(samples: list[Sample], expected: dict[str, Any], *, uncertain: bool) -> None:
    measurement = samples[0].spec.measurement
    known = standard()[measurement]
    suffix = {"Rtd": "", "Avg": "_avg", "Min": "_min", "Max": "_max"}
    rows = {s.source_ns: _values(s) for s in samples}
    assert len(rows) == len(samples)
    cn = expected["head"]["CN"]
    assert all(row.get("period") == PERIODS_S.get(cn) for row in rows.values())
    for code, parts in expected["factors"].items():
        told = parts.get("SampleTime", expected["cp_fields"]["DataTime"])
        at = datetime.fromisoformat(f"{told[:8]}T{told[8:]}+08:00")
        row = rows[int(at.timestamp()) * 10**9]
        for part, text in parts.items():
            if part in ("Flag", "SampleTime"):
                continue
            if code in known and part in suffix:
                assert row[known[code].quantity + suffix[part]] == float(text)
            else:
                assert f"{code}-{part}={text}" in row["extras"].split()
    marks = {q for s in samples for q in (s.quality or ())}
    assert marks <= ({0, Quality.UNCERTAIN} if uncertain else {0})


async def test_a_message_is_answered_only_when_it_is_durable() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        agent.hold.clear()
        client.tell("2011", SO2)
        answer = asyncio.create_task(client.answer())
        await asyncio.sleep(0.2)
        assert not answer.done()
        agent.hold.set()
        head = (await answer).head
        assert head == {
            "QN": "20261124120000001", "ST": "91", "CN": "9014", "PW": "123456", "MN": MN, "Flag": "4",
        }  # fmt: skip
    (sample,) = agent.samples
    assert (_values(sample), sample.source_ns) == ({"so2": 11.5}, NOON_NS)


async def test_a_message_sent_again_is_answered_again_and_stored_once() -> None:
    agent = Agent()
    async with _running(agent.driver()):
        for qn in ("20261124120000001", "20261124120000001", "20261124120030001"):
            async with _connected(agent) as client:
                client.tell("2011", SO2, qn)
                assert (await client.answer()).qn == qn
    assert len(agent.samples) == 1
    assert agent.counts["hj212.resent"] == 2


async def test_flags_become_quality_and_nothing_that_was_told_is_dropped() -> None:
    agent = Agent()
    told = (
        NOON + "a21026-Rtd=1.5,a21026-Flag=D;a34004-Rtd=9,a34004-Flag=T;a21005-Rtd=,a21005-Flag=B;"
        "a05024-Rtd=abc;a21004-Rtd=3,a21004-Flag=x;a01001-Rtd=-5;a21026-ZsRtd=2.5;zz9-Rtd=7;i1-Info=校准"
    )
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell("2011", told)
        await client.answer()
    (sample,) = agent.samples
    assert _values(sample) == {
        "so2": 1.5,
        "pm25": 9.0,
        "no2": 3.0,
        "temperature": -5.0,
        "extras": "a21026-ZsRtd=2.5 a05024-Rtd=abc zz9-Rtd=7 i1-Info=校准",
    }
    assert sample.quality is not None
    named = {c.quantity: q for c, q in zip(sample.spec.channels, sample.quality, strict=True) if q}
    assert named == {
        "so2": Quality.DEVICE_FAULT,
        "pm25": Quality.RANGE,
        "co": Quality.MISSING,
        "o3": Quality.BAD,
        "no2": Quality.UNKNOWN_CODE,
    }


async def test_an_alarm_and_a_message_of_an_unknown_kind_are_kept_at_their_times() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell("2072", "AlarmTime=20261124120000;a21026-Ala=98.5,AlarmType=1")
        await client.answer()
        client.tell("3020", "PolId=a21026,i11001-Info=ok")
        await client.answer()
    first, second = agent.samples
    assert _values(first) == {"alarm": "a21026=98.5 AlarmType=1"}
    assert first.source_ns == NOON_NS
    assert _values(second) == {"extras": "i11001-Info=ok PolId=a21026"}
    assert second.source_ns == NOON_NS  # of its QN


async def test_a_value_sampled_earlier_stands_at_its_own_time_once() -> None:
    agent = Agent()
    device = {"id": "outfall-01", "mn": MN, "measurement": "effluent"}
    text = (
        "DataTime=202611241200{:02d};w00000-Rtd=18.5;w01018-SampleTime=20261124110000,w01018-Rtd=25"
    )
    async with _running(agent.driver(device)), _connected(agent) as client:
        for second in (0, 30):
            client.tell("2011", text.format(second))
            await client.answer()
    told = [(_values(s), s.source_ns) for s in agent.samples]
    assert told == [
        ({"cod": 25.0}, NOON_NS - 3600 * 10**9),
        ({"flow": 18.5}, NOON_NS),
        ({"flow": 18.5}, NOON_NS + 30 * 10**9),
    ]


@pytest.mark.parametrize("cut", [None, 40, 45, 51, 55, 56, 70])
async def test_a_split_message_is_kept_whole_and_every_part_answered(cut: int | None) -> None:
    whole = SO2 + ";a34004-Rtd=35.5,a34004-Flag=N"
    pieces = [SO2, "a34004-Rtd=35.5,a34004-Flag=N"] if cut is None else [whole[:cut], whole[cut:]]
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        client.tell("2011", pieces[1], Flag=7, PNUM=2, PNO=2)
        client.tell("2011", pieces[0], Flag=7, PNUM=2, PNO=1)
        assert [(await client.answer()).head["CN"] for _ in pieces] == ["9014"] * 2
    (sample,) = agent.samples
    assert _values(sample) == {"so2": 11.5, "pm25": 35.5}


async def test_an_unknown_station_and_a_wrong_password_are_refused_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()
    async with _running(agent.driver({"id": "other", "mn": "X"})):
        for _ in range(2):
            async with _connected(agent) as client:
                client.tell("2011", SO2)
                assert await client.closed()
    told = [r.getMessage() for r in caplog.records if "not configured" in r.getMessage()]
    assert len(told) == 1
    assert f'mn = "{MN}"' in told[0]
    agent = Agent()
    async with _running(agent.driver({"id": "air-01", "mn": MN, "password": "secret"})):
        async with _connected(agent) as client:
            client.tell("2011", SO2)
            assert await client.closed()
        async with _connected(agent) as client:
            client.tell("2011", SO2, PW="secret")
            await client.answer()
    assert agent.counts["hj212.wrong_password"] == 1
    assert len(agent.samples) == 1


async def test_junk_and_half_frames_cost_only_themselves() -> None:
    agent = Agent()
    whole = encode_frame(_segment("2011", SO2, "20261124120000001"))
    async with _running(agent.driver()), _connected(agent) as client:
        client.writer.write(b"reg:0001\r\n" + b"##99" + b"##9999" + whole + whole[:30] + b"\r\n")
        assert (await client.answer()).head["CN"] == "9014"
        client.writer.write(whole)
        await client.answer()
    assert len(agent.samples) == 1
    assert agent.counts["hj212.resent"] == 1
    assert agent.counts["hj212.junk_bytes"] > 20


async def test_a_station_that_asks_for_the_time_is_answered_and_set_where_that_is_wanted() -> None:
    for set_clocks in (False, True):
        agent = Agent()
        async with _running(agent.driver(set_clocks=set_clocks)), _connected(agent) as client:
            client.tell("1013", "", ST="91")
            assert (await client.answer()).head["CN"] == "9013"
            if set_clocks:
                order = await client.answer()
                assert (order.head["CN"], order.head["ST"], order.head["Flag"]) == (
                    "1012",
                    "91",
                    "5",
                )
                assert len(order.fields["SystemTime"]) == 14
        assert agent.samples == []


def test_mistakes_of_the_configuration() -> None:
    one = {"id": "a", "mn": MN}
    with pytest.raises(ValidationError, match="two devices have the same mn"):
        Agent().driver(one, one | {"id": "b"})
    with pytest.raises(ValidationError, match="name some"):
        Agent().driver(one | {"measurement": "gas"})
    assert load_driver("hj212") is Hj212Driver


def test_averages_are_in_the_unit_of_their_quantity() -> None:
    plan = Plan("emission")
    told = parse(b"CN=2051;CP=&&DataTime=20261124120000;S08-Rtd=101.3,S08-Avg=101.2;a01013-Min=5&&")
    driver = Agent().driver({"id": "stack-01", "mn": MN, "measurement": "emission"})
    (sample,) = plan.rows(driver.devices[0], told, 0, datetime.fromtimestamp(0).astimezone().tzinfo)  # type: ignore[arg-type]
    (row,) = Pipeline(driver.devices).process(sample, 0).rows
    values = dict(zip(row.layout.quantities, row.values, strict=True))
    assert (values["pressure"], values["pressure_avg"], values["pressure_min"]) == (
        101_300,
        101_200,
        5,
    )


async def test_stations_that_stay_keep_their_links_when_the_configuration_changes() -> None:
    agent = Agent()
    air, other = {"id": "air-01", "mn": MN}, {"id": "air-02", "mn": "B" * 24}
    driver = agent.driver(air)
    async with _running(driver), _connected(agent) as client:
        client.tell("2011", SO2)
        assert (await client.answer()).head["CN"] == "9014"
        assert driver.reconfigure(agent.driver(air, other)._config)
        assert [spec.id for spec in driver.devices] == ["air-01", "air-02"]
        client.tell("2011", SO2)
        assert (await client.answer()).head["CN"] == "9014", "the same link"
        assert agent.counts["hj212.resent"] == 1, "and the same memory"
        assert driver.reconfigure(agent.driver(other)._config)
        assert await client.closed()
        assert agent.states == [("air-01", "ok")], "of what has left nothing more is told"
        assert not driver.reconfigure(agent.driver(other, max_connections=5)._config)
    assert len(agent.samples) == 1


@contextmanager
def _station(connect: str, ledger: Path, *arguments: str) -> Iterator[Process]:
    argv = [
        sys.executable, "-m", "firmware_bridges.hj212.device", "--connect", connect, "--ledger", str(ledger),
        "--period", "0.2", "--statistics-every", "3", "--answer-timeout", "1", "--retry", "0.2",
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
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    stored = [(s.source_ns, _values(s)) for s in agent.samples]
    assert len({at for at, _ in stored}) == len(stored)
    assert all(at is not None and told[at] == values for at, values in stored)
    answered = {m["of_ns"] for m in _marks(ledger, "answered") if m["of_ns"]}
    assert answered
    assert answered <= {at for at, _ in stored}


@pytest.mark.parametrize(
    "arguments",
    [(), ("--edition", "2005", "--modbus-crc"), ("--part-factors", "1", "--ask-time")],
)
async def test_a_station_reports_through_a_link_that_breaks_and_one_that_swallows(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    device = {"id": "air-01", "mn": MN, "crc": "modbus" if "2005" in arguments else "strict"}
    async with _running(agent.driver(device)):
        with (
            FaultProxy(agent.port) as proxy,
            _station(f"127.0.0.1:{proxy.port}", ledger, *arguments),
        ):
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 4, 30)
            proxy.cut()
            proxy.resume()
            await wait_until(lambda: len(_marks(ledger, "connected")) > 1, 30)
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 8, 30)
            agent.hold.clear()  # nothing becomes durable: no answer, so it is sent again
            await wait_until(lambda: bool(_marks(ledger, "resent")), 30)
            agent.hold.set()
            await wait_until(lambda: len(_marks(ledger, "answered")) >= 14, 30)
        await wait_until(lambda: agent.states[-1:] == [("air-01", "closed")])
    _check(agent, ledger)
    assert agent.counts["hj212.resent"] > 0
    assert bool(agent.counts["hj212.crc_variant"]) is ("--modbus-crc" in arguments)


@pytest.mark.parametrize("edition", ["2005", "2017"])
async def test_a_station_is_asked_stopped_and_its_clock_set(tmp_path: Path, edition: str) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    driver = agent.driver()
    with pytest.raises(LinkError):
        await driver.command("air-01", "read", {}, 10)
    async with _running(driver):
        with _station(f"127.0.0.1:{agent.port}", ledger, "--edition", edition):
            await wait_until(lambda: len(agent.samples) > 2)
            read = await driver.command("air-01", "read", {}, 10)
            assert read["values"]["a34004"]["Flag"] == "N"
            late = (await driver.command("air-01", "clock", {}, 10))["SystemTime"]
            await driver.command("air-01", "set-clock", {}, 10)
            now = (await driver.command("air-01", "clock", {}, 10))["SystemTime"]
            passed = datetime.fromisoformat(f"{now[:8]}T{now[8:]}") - datetime.fromisoformat(
                f"{late[:8]}T{late[8:]}"
            )
            assert 86_390 < passed.total_seconds() < 86_430
            assert await driver.command("air-01", "stop", {}, 10) == {}
            with pytest.raises(UsageError):
                await driver.command("air-01", "dance", {}, 10)


async def test_an_order_that_is_refused_or_not_answered_says_so() -> None:
    agent = Agent()
    driver = agent.driver(command_timeout_s=0.5)
    async with _running(driver), _connected(agent) as client:
        client.tell("2011", SO2)
        await client.answer()
        order = asyncio.create_task(driver.command("air-01", "read", {}, 10))
        asked = await client.answer()
        assert (asked.head["CN"], asked.head["ST"], asked.head["Flag"]) == ("2011", "22", "5")
        client.tell("9011", "QnRtn=3", asked.qn, ST="91", Flag=4)
        with pytest.raises(DeviceFaultError, match="QnRtn=3"):
            await order
        with pytest.raises(LinkError, match="no answer to clock"):
            await driver.command("air-01", "clock", {}, 10)


async def test_a_wrong_clock_costs_no_value_and_is_flagged(tmp_path: Path) -> None:
    agent = Agent()
    driver = agent.driver()
    async with _running(driver):
        with _station(f"127.0.0.1:{agent.port}", tmp_path / "ledger", "--clock-error", "864000"):
            await wait_until(lambda: len(agent.samples) > 0)
    sample = agent.samples[0]
    (row,) = Pipeline(driver.devices).process(sample, 0).rows
    assert (row.time_ns, row.source_ns) == (sample.ts_ns, sample.source_ns)
    pm25 = row.layout.quantities.index("pm25")
    assert row.values[pm25] == _values(sample)["pm25"]
    assert row.quality is not None
    assert row.quality[pm25] == Quality.SOURCE_TIME
