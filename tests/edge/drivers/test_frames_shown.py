"""What the drivers show of the wire, against virtual devices behind real ports."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import structs

from edge.survey import offline
from firmware_bridges.jt808.frames import Header, encode_frame
from tocsin.errors import CodecError, DriverError
from tocsin.sdk import FrameInput, load_codec, load_driver
from tocsin.testing import free_port, run_process, wait_until


class Shown:
    """The frames of one driver, as `tocsin trace` would read them."""

    def __init__(self, protocol: str) -> None:
        self._describe = load_codec(protocol)
        self.frames: list[tuple[str, str, bytes]] = []
        self.context = structs.replace(
            offline("line"), frame=lambda *frame: self.frames.append(frame)
        )

    def read(self, device: str, direction: str) -> list[dict[str, Any] | None]:
        """What the frames say; None for one that is refused."""
        out: list[dict[str, Any] | None] = []
        for name, way, data in self.frames:
            if (name, way) == (device, direction):
                try:
                    out.append(self._describe(FrameInput(data)))
                except CodecError:
                    out.append(None)
        return out

    def has(self, device: str, direction: str, **facts: object) -> bool:
        """Whether a frame said all of `facts`."""
        read = [frame for frame in self.read(device, direction) if frame is not None]
        return any(frame.items() >= facts.items() for frame in read)


@contextmanager
def _device(module: str, *arguments: str) -> Iterator[str]:
    argv = [sys.executable, "-m", f"firmware_bridges.{module}.device", *arguments]
    with run_process(argv) as process:
        yield str(json.loads(process.wait_line('"ready"'))["port"])


@asynccontextmanager
async def _running(shown: Shown, **config: object) -> AsyncIterator[None]:
    kind = load_driver(str(config["type"]))
    made = kind.Config.model_validate({"name": "line", **config})
    task = asyncio.create_task(kind(made, shown.context).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DriverError):
            await task


def _heads(*numbers: int, period_s: float = 0.1) -> list[dict[str, Any]]:
    profile = "four-gas-head"
    return [
        {"id": f"d{n}", "unit_id": n, "profile": profile, "period_s": period_s} for n in numbers
    ]


def _line(folder: Path, faults: str, *numbers: int) -> list[str]:
    out = ["--link", str(folder / "line"), "--fault", faults]
    for n in numbers:
        out += ["--unit", f"unit={n},device=d{n},model=gas-head,profile=four-gas-head"]
    return out


async def test_modbus_shows_requests_answers_and_garbage(tmp_path: Path) -> None:
    shown = Shown("modbus")
    line = _line(tmp_path, "unit=2,kind=garbage,after=1,times=1", 1, 2)
    with _device("modbus", *line) as port:
        config = {"rtu": {"port": port}, "timeout_s": 0.25, "retries": 0, "devices": _heads(1, 2)}
        async with _running(shown, type="modbus", **config):
            for name, unit in (("d1", 1), ("d2", 2)):
                ask = {"unit": unit, "function": 3, "kind": "read request"}
                await wait_until(lambda n=name, a=ask: shown.has(n, "tx", **a))
                answer = {"unit": unit, "kind": "response"}
                await wait_until(lambda n=name, a=answer: shown.has(n, "rx", **a))
            await wait_until(lambda: None in shown.read("d2", "rx"))
    assert None not in shown.read("d1", "tx") + shown.read("d2", "tx")


async def test_modbus_shows_an_answer_that_comes_after_its_time(tmp_path: Path) -> None:
    shown = Shown("modbus")
    line = _line(tmp_path, "unit=1,kind=late,after=1,times=1,delay=0.4", 1)
    with _device("modbus", *line) as port:
        heads = _heads(1, period_s=0.6)
        config = {"rtu": {"port": port}, "timeout_s": 0.25, "retries": 0, "devices": heads}
        async with _running(shown, type="modbus", **config):
            await wait_until(lambda: len(shown.frames) >= 4)
    assert [way for _, way, _ in shown.frames[:4]] == ["tx", "rx", "tx", "rx"]
    assert [f["kind"] for f in shown.read("d1", "rx")[:2] if f] == ["response", "response"]


async def test_modbus_tcp_shows_the_header_too() -> None:
    shown = Shown("modbus")
    unit = "unit=1,device=d1,model=gas-head,profile=four-gas-head"
    with _device("modbus", "--tcp", "127.0.0.1:0", "--unit", unit) as port:
        host, _, number = port.rpartition(":")
        device = {"id": "d1", "unit_id": 1, "profile": "four-gas-head", "period_s": 0.05}
        tcp = {"host": host, "port": int(number)}
        async with _running(shown, type="modbus", tcp=tcp, devices=[device]):
            await wait_until(lambda: shown.has("d1", "tx", protocol=0, kind="read request"))
            await wait_until(lambda: shown.has("d1", "rx", protocol=0, kind="response"))


async def test_nmea_shows_one_sentence_at_a_time_and_noise_without_an_end(tmp_path: Path) -> None:
    shown = Shown("nmea")
    noise = ("--fault", "garbage", "--fault-from", "1.0")
    with _device("nmea", "--pty", "--hz", "10", *noise) as port:
        async with _running(shown, type="nmea", device="truck-1", port=port):
            await wait_until(lambda: shown.has("truck-1", "rx", type="RMC"))
            sound = shown.read("truck-1", "rx")
            await wait_until(lambda: shown.read("truck-1", "rx").count(None) > sound.count(None))
    assert all(data.endswith(b"\n") for _, _, data in shown.frames[: len(sound) // 2])


async def test_a_board_shows_what_it_says_and_what_it_is_told() -> None:
    shown = Shown("mcu")
    channels = [{"sensor": "temp", "unit": "Cel"}, {"sensor": "h2s", "unit": "[ppm]"}]
    with _device("mcu", "--pty") as port:
        async with _running(shown, type="mcu", device="b1", port=port, channels=channels):
            await wait_until(lambda: shown.has("b1", "rx", message="hello"))
            await wait_until(lambda: shown.has("b1", "rx", message="data"))
            for message in ("who", "ack", "time"):
                await wait_until(lambda m=message: shown.has("b1", "tx", message=m))


async def test_a_terminal_shows_its_frames_and_an_unknown_one_belongs_to_nobody() -> None:
    shown, port = Shown("jt808"), free_port()
    device = {"id": "truck-1", "phone": "013800138000", "auth_code": "secret"}
    config = {"listen": f"127.0.0.1:{port}", "devices": [device]}
    async with _running(shown, type="jt808", **config):
        with _device(
            "jt808", "--connect", f"127.0.0.1:{port}", "--period", "0.2", "--retry", "0.1"
        ):
            for way, ids in (("rx", {0x0100, 0x0102, 0x0200}), ("tx", {0x8100, 0x8001})):
                await wait_until(lambda w=way, i=ids: i <= _ids(shown, "truck-1", w))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode_frame(Header(0x0002, "013900000000", 1)))
        await wait_until(lambda: _ids(shown, "", "rx") == {0x0002})
        writer.close()


def _ids(shown: Shown, device: str, direction: str) -> set[int]:
    return {
        data[1] << 8 | data[2]
        for name, way, data in shown.frames
        if (name, way) == (device, direction)
    }
