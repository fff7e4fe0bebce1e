"""The driver through its real port: known frames byte for byte, and a virtual transmitter's whole life."""

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
from pydantic import ValidationError

from edge.drivers.gb26875.config import Gb26875Config
from edge.drivers.gb26875.driver import Gb26875Driver
from firmware_bridges.gb26875.app_data import encode_app
from firmware_bridges.gb26875.frames import Command, Frame, decode_frame, encode_frame
from firmware_bridges.gb26875.splitter import Splitter
from tocsin.errors import DeviceFaultError, LinkError, UsageError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import FaultProxy, Process, free_port, run_process, wait_until

ADDRESS = "672b00000000"
NOON = "2026-11-24T12:00:00"
PANEL = {"system_type": 1, "system_addr": 3, "time": NOON}
SMOKE = {**PANEL, "component_type": 42, "component_addr": 393433, "description": "三层走廊"}


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
            name="fire",
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

    def driver(self, *addresses: str, **config: object) -> Gb26875Driver:
        devices = [
            {"id": f"site-{i}", "address": a, "parts": [{"id": f"smoke-{i}", "part": "1/3/393433"}]}
            for i, a in enumerate(addresses or (ADDRESS,))
        ]
        given = {"devices": devices, "listen": f"127.0.0.1:{self.port}"} | config
        return Gb26875Driver(Gb26875Config(type="gb26875", name="fire", **given), self.context)  # type: ignore[arg-type]

    def of(self, device: str) -> list[dict[str, Any]]:
        return [_values(s) for s in self.samples if s.spec.id == device]


def _values(sample: Sample) -> dict[str, Any]:
    pairs = zip(sample.spec.channels, sample.values, strict=True)
    return {c.quantity: v for c, v in pairs if v is not None}


class Client:
    """A transmitter made of typed bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._splitter = Splitter()
        self._frames: list[Frame] = []
        self._serial = 0

    async def frame(self) -> Frame:
        while not self._frames:
            data = await asyncio.wait_for(self._reader.read(4096), 20)
            if not data:
                raise EOFError
            self._frames += [f for f in self._splitter.feed(data) if isinstance(f, Frame)]
        return self._frames.pop(0)

    async def tell(
        self, kind: int, *objects: dict[str, Any], serial: int | None = None, app: bytes = b""
    ) -> Frame:
        self._serial += 1
        data = app or encode_app(kind, objects)
        number = self._serial if serial is None else serial
        head = bytes((0, 0, 12, 24, 11, 26)), bytes.fromhex(ADDRESS), bytes(6)
        self.writer.write(encode_frame(Frame(number, (1, 1), *head, Command.DATA, data)))
        return await self.frame()


@asynccontextmanager
async def _running(driver: Gb26875Driver) -> AsyncIterator[None]:
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


async def test_known_frames_and_data_verbatim_are_kept_and_answered(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols" / "gb26875.json").read_text("utf-8"))["vectors"]
    agent = Agent()
    async with _running(agent.driver(ADDRESS, "000000000000")), _connected(agent) as client:
        for number, vector in enumerate(vectors):
            data, expected = bytes.fromhex(vector["hex"]), vector["expected"]
            before = len(agent.samples)
            if vector["kind"] == "app_data":
                answer = await client.tell(0, app=data, serial=1000 + number)
                assert (answer.command, answer.serial) == (Command.CONFIRM, 1000 + number)
                _same(agent.samples[before:], expected)
                continue
            client.writer.write(data)
            answer = await client.frame()
            told = Command.CONFIRM if vector["frame_ok"] else Command.DENY
            assert (answer.command, answer.serial) == (told, expected["serial"])
            assert answer.destination.hex() == expected["source"]
            assert answer.source.hex() == expected["destination"]
            assert len(agent.samples) == before
    assert ("site-0", "rx", bytes.fromhex(vectors[-1]["hex"])) in agent.frames
    assert any(way == "tx" and decode_frame(data).command == 3 for _, way, data in agent.frames)


def _same(samples: list[Sample], expected: dict[str, Any]) -> None:
    assert len(samples) == expected["count"]
    for sample, one in zip(samples, expected["objects"], strict=True):
        values = _values(sample)
        assert sample.spec.id == "site-0"
        if "status" in one:
            assert values["status"] == one["status"] == 0x0204  # fault, and a reserved bit
            assert values["fault"] is True
            assert "fire" not in values or values["fire"] is False
        if "uitd_status" in one:
            assert (values["status"], values["main_power_fault"]) == (one["uitd_status"], True)
        assert values.get("description") == one.get("description")
        if "analog_raw" in one:
            quantity, per_unit = {3: ("temperature", 10), 2: ("height", 100)}[one["analog_type"]]
            assert values[quantity] == one["analog_raw"] / per_unit
        for name in ("version", "config"):
            if name in one:
                assert values["info"] == f"{name} {one[name]}"
        if expected["type"] == 28:
            assert sample.source_ns is None
            assert values["clock_error"] < -86_400
        elif "time" in one:
            assert sample.source_ns == (1_625_187_604 + int(one["time"][-1]) - 4) * 10**9


async def test_a_message_is_confirmed_only_when_it_is_durable() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        agent.hold.clear()
        answer = asyncio.create_task(client.tell(1, PANEL | {"status": 3}))
        await asyncio.sleep(0.2)
        assert not answer.done()
        agent.hold.set()
        assert (await answer).command == Command.CONFIRM
    assert agent.of("site-0")[0]["fire"] is True


async def test_fire_stands_until_the_last_part_takes_it_back() -> None:
    agent = Agent()
    other = SMOKE | {"component_addr": 8}
    async with _running(agent.driver()), _connected(agent) as client:
        for one in (
            SMOKE | {"status": 3},
            other | {"status": 3},
            SMOKE | {"status": 1},
            other | {"status": 5},
            other | {"status": 1},
        ):
            assert (await client.tell(2, one)).command == Command.CONFIRM
    site = agent.of("site-0")
    assert [v.get("fire") for v in site] == [True, True, True, False, None]
    assert [v.get("fault") for v in site] == [None, None, None, True, False]
    assert [v["fire"] for v in agent.of("smoke-0")] == [True, False]
    assert site[0] | {"description": "三层走廊", "part": "1/3/393433"} == site[0]


async def test_a_part_that_never_told_fire_ends_no_fire_and_the_panels_word_does() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        await client.tell(2, SMOKE | {"status": 1})  # after a restart nobody knows who burns
        await client.tell(21, {"uitd_status": 1, "time": NOON})
        await client.tell(1, PANEL | {"status": 1})
        await client.tell(2, SMOKE | {"status": 3})
        await client.tell(4, PANEL | {"operation": 1, "operator": 5})
    site = agent.of("site-0")
    assert [v.get("fire") for v in site] == [None, None, False, True, False]
    assert (site[4]["operation"], site[4]["operator"]) == ("reset", 5)
    assert (
        site[1]["link_fault"] is site[1]["main_power_fault"] is False
    )  # its own: no one else tells them


async def test_the_same_message_again_is_confirmed_again_and_stored_once() -> None:
    agent = Agent()
    async with _running(agent.driver()):
        for serial in (5, 5, 6):
            async with _connected(agent) as client:
                answer = await client.tell(1, PANEL | {"status": 3}, serial=serial)
                assert (answer.command, answer.serial) == (Command.CONFIRM, serial)
    assert len(agent.samples) == 2
    assert agent.counts["gb26875.resent"] == 1


async def test_transmitters_that_stay_keep_their_links_when_the_configuration_changes() -> None:
    agent = Agent()
    driver = agent.driver(ADDRESS)
    async with _running(driver), _connected(agent) as client:
        await client.tell(1, PANEL | {"status": 3}, serial=5)
        assert driver.reconfigure(agent.driver(ADDRESS, "0" * 12)._config)
        assert [s.id for s in driver.devices] == ["site-0", "smoke-0", "site-1", "smoke-1"]
        await client.tell(1, PANEL | {"status": 3}, serial=5)
        assert agent.counts["gb26875.resent"] == 1, "the same link, the same memory"
        kept = len(agent.samples)
        assert driver.reconfigure(agent.driver("1" * 12)._config)
        with pytest.raises((EOFError, OSError)):
            await client.frame()
        assert not driver.reconfigure(agent.driver("1" * 12, max_connections=5)._config)
    assert len(agent.samples) == kept
    assert {state for _, state in agent.states} == {"ok"}, "of what has left nothing more is told"


async def test_a_state_that_returns_with_the_same_words_is_kept() -> None:
    """A transmitter whose clock and serial stand still still tells its second fire."""
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        for status in (3, 1, 3):
            await client.tell(1, PANEL | {"status": status}, serial=0)
    assert [v["fire"] for v in agent.of("site-0")] == [True, False, True]


async def test_what_is_spoilt_or_not_understood_is_denied_and_costs_only_itself() -> None:
    agent = Agent()
    async with _running(agent.driver()), _connected(agent) as client:
        for app in (b"\x02\x01\x01", b"\x80\x01\x05", bytes((61, 1, 1, 3)), b"\x01"):
            assert (await client.tell(0, app=app)).command == Command.DENY
        spoilt = bytearray(
            encode_frame(
                Frame(9, (1, 1), bytes(6), bytes.fromhex(ADDRESS), bytes(6), Command.DATA, b"\x01")
            )
        )
        spoilt[-3] ^= 1
        client.writer.write(b"noise" + bytes(spoilt))
        answer = await client.frame()
        assert (answer.command, answer.serial) == (Command.DENY, 9)
        assert (await client.tell(1, PANEL | {"status": 1})).command == Command.CONFIRM
    assert len(agent.samples) == 1
    assert agent.counts["gb26875.checksum"] == 1
    assert agent.counts["gb26875.not_kept"] == 2
    assert agent.counts["gb26875.truncated"] == 2


async def test_a_fire_is_kept_whatever_stands_beside_it() -> None:
    agent = Agent()
    fire = encode_app(2, [SMOKE | {"status": 3}])
    async with _running(agent.driver()), _connected(agent) as client:
        padded = await client.tell(0, app=fire + b"\x00\x00")
        assert padded.command == Command.CONFIRM
        cut = await client.tell(0, app=b"\x02\x02" + fire[2:] + b"\x01\x03", serial=8)
        again = await client.tell(0, app=b"\x02\x02" + fire[2:] + b"\x01\x03", serial=8)
        assert cut.command == again.command == Command.DENY
    assert [v["fire"] for v in agent.of("site-0")] == [True, True]
    assert agent.counts["gb26875.resent"] == 1


async def test_an_unknown_transmitter_is_refused_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()
    async with _running(agent.driver("010203040506")):
        for _ in range(3):
            async with _connected(agent) as client:
                assert (await client.tell(1, PANEL | {"status": 1})).command == Command.DENY
                with pytest.raises((EOFError, OSError)):
                    await client.frame()
    assert agent.samples == []
    assert agent.counts["gb26875.unknown_transmitter"] == 3
    told = [r.getMessage() for r in caplog.records if "not configured" in r.getMessage()]
    assert len(told) == 1
    assert f'address = "{ADDRESS}"' in told[0]


@contextmanager
def _device(connect: str, ledger: Path, *arguments: str) -> Iterator[Process]:
    argv = [
        sys.executable, "-m", "firmware_bridges.gb26875.device", "--connect", connect, "--ledger", str(ledger),
        "--period", "0.2", "--heartbeat", "1", "--answer-timeout", "1", "--retry", "0.2", *arguments,
    ]  # fmt: skip
    with run_process(argv) as process:
        process.wait_line('"ready"')
        yield process


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _marks(path: Path, mark: str) -> list[dict[str, Any]]:
    return [entry for entry in _ledger(path) if entry.get("mark") == mark]


def _check(agent: Agent, ledger: Path) -> None:
    """Everything confirmed is stored once, with the values that were told; states as they stand for the whole site."""
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    stored = {s.source_ns: _values(s) for s in agent.samples if s.spec.id == "site-0"}
    assert len(stored) == len([s for s in agent.samples if s.spec.id == "site-0"])
    confirmed = {mark["of_ns"] for mark in _marks(ledger, "confirmed")}
    assert confirmed <= set(stored) <= set(told)
    for t_ns, values in stored.items():
        for name, value in values.items():
            if name in told[t_ns] and not isinstance(value, bool):
                assert told[t_ns][name] == value
        for name, value in told[t_ns].items():
            assert value is None or isinstance(value, bool) or values[name] == value


async def test_a_transmitters_whole_life_loses_and_doubles_nothing(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver()):
        with FaultProxy(agent.port) as proxy:
            arguments = ("--fire-after", "1", "--fire-for", "2")
            with _device(f"127.0.0.1:{proxy.port}", ledger, *arguments):
                await wait_until(lambda: any(v.get("fire") for v in agent.of("site-0")))
                proxy.cut()
                await wait_until(lambda: bool(_marks(ledger, "reset")))
                proxy.resume()
                await wait_until(
                    lambda: any(v.get("operation") == "reset" for v in agent.of("site-0"))
                )
                await wait_until(
                    lambda: [v["fire"] for v in agent.of("site-0") if "fire" in v][-1] is False
                )
                seen = len(agent.samples)
                await wait_until(lambda: len(agent.samples) >= seen + 3)
    _check(agent, ledger)
    fires = [v["fire"] for v in agent.of("site-0") if "fire" in v]
    assert fires[0] is True
    assert fires[-1] is False
    assert agent.of("smoke-0")[0]["fire"] is True
    assert [s for d, s in agent.states if d == "smoke-0"][:3] == ["ok", "closed", "ok"]


async def test_a_confirmation_that_comes_too_late_costs_a_resend_and_no_double(
    tmp_path: Path,
) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    async with _running(agent.driver()):
        with _device(f"127.0.0.1:{agent.port}", ledger):
            await wait_until(lambda: len(agent.samples) >= 2)
            agent.hold.clear()
            await wait_until(lambda: bool(_marks(ledger, "resent")))
            agent.hold.set()
            seen = len(agent.samples)
            await wait_until(lambda: len(agent.samples) >= seen + 5)
    _check(agent, ledger)
    assert agent.counts["gb26875.resent"] >= 1


async def test_commands_reach_the_transmitter_and_set_its_wrong_clock(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    driver = agent.driver()
    async with _running(driver):
        with pytest.raises(LinkError):
            await driver.command("site-0", "sync-clock", {}, 5.0)
        with _device(f"127.0.0.1:{agent.port}", ledger, "--clock-error", "86400"):
            await wait_until(lambda: len(agent.samples) >= 2)
            ahead_s = [(s.source_ns - s.ts_ns) / 1e9 for s in agent.samples if s.source_ns]
            assert all(86_000 < s < 86_800 for s in ahead_s)
            clock = await driver.command("site-0", "read", {"what": "clock"}, 5.0)
            assert clock["type"] == 28
            await wait_until(lambda: any("clock_error" in v for v in agent.of("site-0")))
            (error_s,) = [v["clock_error"] for v in agent.of("site-0") if "clock_error" in v]
            assert error_s == pytest.approx(86_400, abs=5)
            assert await driver.command("site-0", "sync-clock", {}, 5.0) == {"confirmed": True}
            seen = len(agent.samples)
            await wait_until(lambda: len(agent.samples) >= seen + 4)
            last = agent.samples[-1]
            assert last.source_ns is not None
            assert abs(last.source_ns - last.ts_ns) < 60e9
            await driver.command("site-0", "attendance", {"minutes": "5"}, 5.0)
            await wait_until(
                lambda: any(v.get("operation") == "attendance" for v in agent.of("site-0"))
            )
            status = await driver.command("site-0", "read", {"part": "1/3"}, 5.0)
            assert status["objects"][0]["states"] == ["normal"]
            for name, args in (
                ("explode", {}),
                ("read", {"part": "1"}),
                ("read", {"part": "1/3", "what": "analog"}),
                ("read", {"part": "1/300"}),
                ("attendance", {"minutes": 0}),
            ):
                with pytest.raises(UsageError):
                    await driver.command("site-0", name, args, 5.0)
            with pytest.raises(UsageError):
                await driver.command("smoke-0", "sync-clock", {}, 5.0)
            with pytest.raises(DeviceFaultError):
                await driver.command("site-0", "read", {"part": "1/3", "what": "version"}, 5.0)


@pytest.mark.parametrize(
    "change",
    [
        {"devices": []},
        {"devices": [{"id": "a", "address": "12"}]},
        {"devices": [{"id": "a", "address": ADDRESS}, {"id": "b", "address": ADDRESS.upper()}]},
        {"devices": [{"id": "a", "address": ADDRESS, "parts": [{"id": "a", "part": "1/3"}]}]},
        {"devices": [{"id": "a", "address": ADDRESS, "parts": [{"id": "b", "part": "1"}]}]},
        {"time_zone": "Shanghai"},
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object]) -> None:
    devices = [{"id": "a", "address": ADDRESS}]
    given = {"type": "gb26875", "name": "fire", "listen": "127.0.0.1:7600", "devices": devices}
    Gb26875Config.model_validate(given)
    with pytest.raises(ValidationError):
        Gb26875Config.model_validate(given | change)


def test_it_comes_through_the_same_door_as_any_driver() -> None:
    assert load_driver("gb26875") is Gb26875Driver
