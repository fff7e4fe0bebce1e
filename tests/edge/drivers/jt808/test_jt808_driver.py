"""The driver through its real port: known frames byte for byte, and a virtual terminal's whole life."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pydantic import ValidationError

from edge.drivers.jt808.config import Jt808Config
from edge.drivers.jt808.driver import Jt808Driver
from firmware_bridges.jt808.frames import Frame, Header, decode_frame, encode_frame, encode_parts
from firmware_bridges.jt808.location import decode_location
from firmware_bridges.jt808.messages import (
    Auth,
    Id,
    Register,
    decode_ack,
    decode_register_ack,
    decode_resend,
    encode_auth,
    encode_register,
)
from firmware_bridges.jt808.splitter import Splitter
from tocsin.contract.quality import Quality
from tocsin.contract.units import conversion
from tocsin.errors import DeviceFaultError, DriverReason, LinkError, UsageError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import FaultProxy, Process, free_port, run_process, wait_until

PHONE = "013800138000"
KMH = conversion("km/h", "m/s")


class Agent:
    """What the agent would see of one driver. `hold` keeps samples from becoming durable."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = free_port()
        self.context = DriverContext(
            name="vehicles",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=self._keep,
            available=lambda device: self._state("ok"),
            unavailable=lambda device, error: self._state(error.reason.value),
            count=lambda name, n: self.counts.update({name: n}),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def _keep(self, samples: Any) -> None:
        await self.hold.wait()
        self.samples.extend(samples)

    def _state(self, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    def driver(self, phones: dict[str, str] | None = None, **config: object) -> Jt808Driver:
        devices = [{"id": i, "phone": p} for i, p in (phones or {"truck-1": PHONE}).items()]
        given = {"auth_secret": "s3cret", "devices": devices, "listen": f"127.0.0.1:{self.port}"}
        return Jt808Driver(
            Jt808Config(type="jt808", name="vehicles", **(given | config)),  # type: ignore[arg-type]
            self.context,
        )


class Client:
    """A terminal made of typed bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._splitter = Splitter()
        self._frames: list[Frame] = []

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> Frame:
        while not self._frames:
            data = await asyncio.wait_for(self._reader.read(4096), 20)
            if not data:
                raise EOFError
            self._frames += [f for f in self._splitter.feed(data) if isinstance(f, Frame)]
        return self._frames.pop(0)

    async def ask(self, msg_id: int, body: bytes = b"", *, serial: int = 1) -> Frame:
        self.send(encode_frame(Header(msg_id, PHONE, serial), body))
        return await self.frame()

    async def closed(self) -> bool:
        try:
            await self.frame()
        except (EOFError, OSError):
            return True
        return False


@asynccontextmanager
async def _running(driver: Jt808Driver) -> AsyncIterator[None]:
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


async def _authenticated(client: Client) -> None:
    made = Register(44, 303, "TOCSN", "VT-1", "TC00001", 1, "粤B12345", "2013")
    answer = decode_register_ack((await client.ask(Id.REGISTER, encode_register(made))).body)
    assert answer.result == 0
    ack = decode_ack((await client.ask(Id.AUTH, encode_auth(Auth(answer.auth_code), False))).body)
    assert (ack.msg_id, ack.result) == (Id.AUTH, 0)


def _values(sample: Sample) -> dict[str, Any]:
    return {c.quantity: v for c, v in zip(sample.spec.channels, sample.values, strict=True)}


def _vectors(shared_data: Path) -> list[dict[str, Any]]:
    file = json.loads((shared_data / "protocols" / "jt808.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    return found


UP = (
    "0x0002",
    "0x0200",
    "0x0704",
    "0x0900",
    "0x0210",
    "0x1300",
    "0x0701",
    "0x1007",
    "0x0091",
    "0x0093",
)


async def test_known_frames_byte_for_byte_are_kept_and_answered(shared_data: Path) -> None:
    """Every good frame a terminal sends, verbatim; what is stored and answered follows from its known answer."""
    agent = Agent()
    vectors = [v for v in _vectors(shared_data) if v["frame_ok"] and v["expected"]["msg_id"] in UP]
    phones = sorted({v["expected"]["terminal_phone"].lstrip("0") or "0" for v in vectors})
    driver = agent.driver(
        {f"truck-{i}": phone for i, phone in enumerate(phones)}, require_auth=False
    )
    async with _running(driver):
        for vector in vectors:
            expected, before = vector["expected"], len(agent.samples)
            resent = agent.counts["jt808.resent"]
            async with _connected(agent) as client:
                client.send(bytes.fromhex(vector["hex"]) + b"\x7e")
                answer = await client.frame()
            assert answer.header.phone == expected["terminal_phone"], vector["id"]
            assert answer.header.version == expected.get("protocol_version")
            ack = decode_ack(answer.body)
            assert (ack.serial, f"0x{ack.msg_id:04X}") == (expected["serial"], expected["msg_id"])
            places = expected.get("batch", {}).get("items") or [
                p for p in [expected.get("location")] if p
            ]
            kept = places or expected["msg_id"] == "0x0002"
            assert ack.result == (0 if kept else 3), vector["id"]
            told_before = agent.counts["jt808.resent"] - resent
            new = agent.samples[before:]
            assert len(new) == len(places) - told_before, vector["id"]
            if len(new) == len(places):
                for sample, place in zip(new, places, strict=True):
                    _same_place(sample, place)


def _same_place(sample: Sample, place: dict[str, Any]) -> None:
    values = _values(sample)
    valid = (
        place["fix_valid"]
        and (place["lat"], place["lon"]) != (0, 0)
        and abs(place["lat"]) <= 90
        and abs(place["lon"]) <= 180
    )
    assert values["lat"] == (place["lat"] if valid else None)
    assert values["lon"] == (place["lon"] if valid else None)
    assert values["speed"] == (place["speed_kmh"] if valid else None)
    assert values["alarms"] == place["alarm_flags"]
    assert values["status"] == place["status_flags"]
    assert values["ignition"] is place["acc_on"]
    known = {k: x[k] for x in reversed(place["extras"]) for k in x if k not in ("id", "hex")}
    assert values["odometer"] == known.get("odometer_km")
    assert values["fuel"] == known.get("fuel_l")
    assert values["satellites"] == known.get("satellites")
    for item in place["extras"]:
        if len(item) == 2:
            assert f"{item['id'][2:]}:{item['hex']}" in values["extras"]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("0x0002", "0x0002"), ("0x0100", "0x8100"), ("0x0102", "0x0102"), ("0x0200", "0x0200"), ("0x0704", "0x0704")],
)  # fmt: skip
async def test_a_known_request_gets_its_known_answer_byte_for_byte(
    shared_data: Path, asked: str, answered: str
) -> None:
    """Requests and answers another platform's suite prints (2019 edition); only our serial is our own."""
    phone = "12345678901234562019"
    vectors = [v for v in _vectors(shared_data) if v["expected"]["terminal_phone"] == phone]

    def of(msg_id: str, acked: str | None = None) -> bytes:
        for v in vectors:
            expected = v["expected"]
            if (
                expected["msg_id"] == msg_id
                and expected["body_length"]
                and acked
                in (
                    None,
                    expected.get("ack", {}).get("msg_id"),
                )
            ):
                return bytes.fromhex(v["hex"])
        raise LookupError(msg_id)

    request = next(bytes.fromhex(v["hex"]) for v in vectors if v["expected"]["msg_id"] == asked)
    answer = decode_frame(of(answered) if answered == "0x8100" else of("0x8001", answered))
    agent = Agent()
    device = {"id": "truck-1", "phone": phone, "auth_code": "12345678901234562019"}
    driver = agent.driver(devices=[device], require_auth=False)
    async with _running(driver), _connected(agent) as client:
        client.send(request)
        ours = await client.frame()
    assert encode_frame(structs.replace(ours.header, serial=answer.header.serial), ours.body) == (
        encode_frame(answer.header, answer.body)
    )


async def test_known_bad_frames_cost_only_themselves(shared_data: Path) -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        await _authenticated(client)
        bad = [v for v in _vectors(shared_data) if not v["frame_ok"]]
        for vector in bad:
            client.send(b"$$(013800138000BP05)" + bytes.fromhex(vector["hex"]))
        assert decode_ack((await client.ask(Id.HEARTBEAT)).body).result == 0
        await wait_until(
            lambda: agent.counts["jt808.checksum"] + agent.counts["jt808.length"] == len(bad)
        )
    assert agent.samples == []


async def test_a_position_is_answered_only_when_it_is_durable() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        await _authenticated(client)
        agent.hold.clear()
        answer = asyncio.create_task(client.ask(Id.LOCATION, _position("261124165501"), serial=7))
        await asyncio.sleep(0.3)
        assert not answer.done()
        agent.hold.set()
        assert decode_ack((await answer).body).serial == 7
    assert len(agent.samples) == 1


async def test_a_position_sent_again_is_answered_again_and_stored_once() -> None:
    agent = Agent()
    async with _running(agent.driver()):
        for serial in (7, 7, 8):
            async with _connected(agent) as client:
                await _authenticated(client)
                ack = decode_ack(
                    (await client.ask(Id.LOCATION, _position("261124165501"), serial=serial)).body
                )
                assert (ack.serial, ack.result) == (serial, 0)
    assert len(agent.samples) == 1
    assert agent.counts["jt808.resent"] == 2
    assert agent.samples[0].source_ns == 1_795_510_501_000_000_000


async def test_a_new_link_that_sends_what_the_old_one_is_still_keeping_doubles_nothing() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as first:
        await _authenticated(first)
        agent.hold.clear()
        first.send(encode_frame(Header(Id.LOCATION, PHONE, 7), _position("261124165501")))
        async with _connected(agent) as second:
            await _authenticated(second)
            again = asyncio.create_task(
                second.ask(Id.LOCATION, _position("261124165501"), serial=9)
            )
            await asyncio.sleep(0.3)
            assert not again.done()
            agent.hold.set()
            assert decode_ack((await again).body).serial == 9
    assert len(agent.samples) == 1
    assert agent.counts["jt808.resent"] == agent.counts["listener.replaced"] == 1


def _position(stamp: str, *, status: int = 3) -> bytes:
    head = (0).to_bytes(4, "big") + status.to_bytes(4, "big")
    place = (22_543_100).to_bytes(4, "big") + (114_050_300).to_bytes(4, "big")
    return head + place + bytes.fromhex("000e01680087") + bytes.fromhex(stamp)


async def test_coordinates_without_a_fix_are_no_position() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        await _authenticated(client)
        await client.ask(Id.LOCATION, _position("261124165501", status=1))
    (sample,) = agent.samples
    values = _values(sample)
    assert (values["lat"], values["lon"], values["fix"]) == (None, None, 0)
    assert values["ignition"] is True
    assert sample.quality is not None
    assert sample.quality[0] == Quality.NO_FIX


async def test_an_unknown_terminal_is_refused_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()
    async with _running(agent.driver({"truck-1": "019900000000"})):
        for _ in range(3):
            async with _connected(agent) as client:
                answer = await client.ask(Id.REGISTER, bytes(45))
                assert decode_register_ack(answer.body).result == 4
                assert await client.closed()
    assert agent.counts["jt808.unknown_terminal"] == 3
    told = [r.getMessage() for r in caplog.records if "not configured" in r.getMessage()]
    assert len(told) == 1
    assert f'phone = "{PHONE}"' in told[0]


async def test_a_wrong_code_and_a_position_before_it_are_refused() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        ack = decode_ack((await client.ask(Id.LOCATION, _position("261124165501"))).body)
        assert ack.result == 1
        assert decode_ack((await client.ask(Id.AUTH, b"guess")).body).result == 1
        assert await client.closed()
    assert agent.samples == []
    assert agent.counts["jt808.wrong_auth_code"] == 1


async def test_other_terminals_are_taken_while_it_runs_and_those_that_stay_keep_their_links() -> (
    None
):
    agent = Agent()
    driver = agent.driver()
    other = agent.driver({"truck-1": PHONE, "truck-2": "13900139000"})._config
    async with _running(driver), _connected(agent) as client:
        await _authenticated(client)
        assert driver.reconfigure(other)
        assert [spec.id for spec in driver.devices] == ["truck-1", "truck-2"]
        ack = decode_ack((await client.ask(Id.LOCATION, _position("261124165501"))).body)
        assert ack.result == 0, "the same link, still authenticated"
        assert driver.reconfigure(agent.driver({"truck-2": "13900139000"})._config)
        assert await client.closed()
        assert agent.states == ["ok", "closed"]
        assert not driver.reconfigure(agent.driver(max_connections=5)._config), "the port anew"
    assert len(agent.samples) == 1


async def test_a_split_batch_is_asked_for_its_missing_part_and_answered_whole() -> None:
    agent = Agent()
    item = _position("261124165501")
    body = b"\x00\x01\x01" + len(item).to_bytes(2, "big") + item
    parts = [data for _, data in encode_parts(Header(Id.BATCH, PHONE, 100), body, 12)]
    async with _running(agent.driver(parts_wait_s=0.5)), _connected(agent) as client:
        await _authenticated(client)
        client.send(parts[0] + parts[2])
        asked = await client.frame()
        assert asked.header.msg_id == Id.RESEND_PARTS
        request = decode_resend(asked.body, False)
        assert (request.serial, request.parts) == (100, (2,))
        assert agent.samples == []
        client.send(parts[1])
        acks = [decode_ack((await client.frame()).body) for _ in parts]
        assert [a.serial for a in acks] == [100, 101, 102]
    (sample,) = agent.samples
    assert _values(sample)["lat"] == decode_location(item).lat / 1e6


@contextmanager
def _terminal(connect: str, ledger: Path, *arguments: str) -> Iterator[Process]:
    argv = [
        sys.executable, "-m", "firmware_bridges.jt808.device", "--connect", connect, "--ledger", str(ledger),
        "--period", "0.2", "--heartbeat", "1", "--answer-timeout", "1", "--retry", "0.2", *arguments,
    ]  # fmt: skip
    with run_process(argv) as process:
        process.wait_line('"ready"')
        yield process


def _ledger(path: Path) -> list[dict[str, Any]]:
    """Its whole lines; the terminal may be writing one."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _marks(path: Path, mark: str) -> list[dict[str, Any]]:
    return [entry for entry in _ledger(path) if entry.get("mark") == mark]


def _check(agent: Agent, ledger: Path) -> None:
    """Everything answered is stored once, with the values the terminal told."""
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    stored: dict[int, dict[str, Any]] = {}
    for sample in agent.samples:
        assert sample.source_ns is not None
        assert sample.source_ns not in stored
        stored[sample.source_ns] = _values(sample)
    answered = {t for mark in _marks(ledger, "answered") for t in mark["of_ns"]}
    assert answered <= set(stored) <= set(told)
    for t_ns, values in stored.items():
        for name, value in told[t_ns].items():
            ours = (
                KMH(values[name]) if name == "speed" and values[name] is not None else values[name]
            )
            assert ours == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize("edition", ["2011", "2013", "2019"])
async def test_a_terminals_whole_life_loses_and_doubles_nothing(
    edition: str, tmp_path: Path
) -> None:
    """Register, authenticate, report, lose the link, store, send what was stored, go on."""
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver()):
        with FaultProxy(agent.port) as proxy:
            arguments = ("--edition", edition, "--phone", PHONE, "--part-bytes", "300")
            with _terminal(f"127.0.0.1:{proxy.port}", ledger, *arguments):
                await wait_until(lambda: len(agent.samples) >= 5)
                proxy.cut()
                await wait_until(lambda: len(_marks(ledger, "stored")) >= 12)
                proxy.resume()
                await wait_until(lambda: _marks(ledger, "batch"))
                seen = len(agent.samples)
                await wait_until(lambda: len(agent.samples) >= seen + 3)
    _check(agent, ledger)
    assert len(_marks(ledger, "registered")) == 1
    assert len(_marks(ledger, "authenticated")) >= 2
    assert agent.states[:3] == ["ok", "closed", "ok"]


async def test_an_answer_that_comes_too_late_costs_a_resend_and_no_double(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver()):
        with _terminal(f"127.0.0.1:{agent.port}", ledger):
            await wait_until(lambda: len(agent.samples) >= 2)
            agent.hold.clear()
            await wait_until(lambda: _marks(ledger, "resent"))
            agent.hold.set()
            seen = len(agent.samples)
            await wait_until(lambda: len(agent.samples) >= seen + 5)
    _check(agent, ledger)
    assert agent.counts["jt808.resent"] >= 1


async def test_a_terminals_wrong_clock_is_handed_on_as_it_told_it(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver()):
        with _terminal(f"127.0.0.1:{agent.port}", ledger, "--clock-error", "86400"):
            await wait_until(lambda: len(agent.samples) >= 2)
    _check(agent, ledger)
    ahead_s = [(s.source_ns - s.ts_ns) / 1e9 for s in agent.samples if s.source_ns]
    assert all(86_000 < s < 86_800 for s in ahead_s)


async def test_commands_reach_the_terminal_and_its_answers_come_back(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    driver = agent.driver()
    async with _running(driver):
        with pytest.raises(LinkError):
            await driver.command("truck-1", "locate", {}, 5.0)
        with _terminal(f"127.0.0.1:{agent.port}", ledger, "--edition", "2019"):
            await wait_until(lambda: len(agent.samples) >= 2)
            assert await driver.command("truck-1", "text", {"text": "前方封路"}, 5.0) == {
                "result": 0
            }
            located = await driver.command("truck-1", "locate", {}, 5.0)
            assert located["location"]["fix_valid"] is True
            assert await driver.command("truck-1", "report-interval", {"seconds": 1}, 5.0) == {
                "result": 0
            }
            read = await driver.command("truck-1", "parameters", {}, 5.0)
            assert read == {"parameters": [{"id": "0x0029", "hex": "00000001"}]}
            await driver.command("truck-1", "track", {"interval_s": 2, "valid_s": 60}, 5.0)
            with pytest.raises(DeviceFaultError):
                await driver.command("truck-1", "attributes", {}, 5.0)
            for name, args in (
                ("text", {}),
                ("text", {"text": "长" * 501}),
                ("track", {"interval_s": 70_000}),
                ("explode", {}),
            ):
                with pytest.raises(UsageError):
                    await driver.command("truck-1", name, args, 5.0)
    assert [mark["text"] for mark in _marks(ledger, "text")] == ["前方封路"]


async def test_a_terminal_that_goes_before_it_answers_leaves_the_outcome_unknown_at_once() -> None:
    agent = Agent()
    driver = agent.driver(command_timeout_s=300)
    async with _running(driver):
        async with _connected(agent) as client:
            await _authenticated(client)
            asked = asyncio.create_task(driver.command("truck-1", "text", {"text": "?"}, 5.0))
            assert (await client.frame()).header.msg_id == Id.TEXT
        with pytest.raises(LinkError, match="went before it answered") as caught:
            await asked
    assert caught.value.reason is DriverReason.NO_ANSWER


def test_codes_must_come_from_somewhere_and_phones_be_different() -> None:
    devices = [{"id": "a", "phone": "138"}, {"id": "b", "phone": "0138"}]
    with pytest.raises(ValidationError, match="same phone"):
        Agent().driver(devices=devices)
    with pytest.raises(ValidationError, match="auth_secret"):
        Agent().driver(auth_secret=None)
    with pytest.raises(ValidationError, match=r"\+08:00"):
        Agent().driver(time_zone="CST")


def test_the_driver_is_found_under_its_name() -> None:
    assert load_driver("jt808") is Jt808Driver
    assert decode_frame(encode_frame(Header(2, PHONE, 1))).header.msg_id == Id.HEARTBEAT
