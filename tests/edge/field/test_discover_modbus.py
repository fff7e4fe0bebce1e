"""`tocsin discover modbus` and `serial` at real pseudo-terminals and TCP ports."""

from __future__ import annotations

import json
import os
import pty
import struct
import termios
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import ModbusDeviceIdentification
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edge.field.discover import serial_ports
from edge.field.discover.command import unit_numbers
from edge.field.discover.modbus_block import to_toml
from edge.field.discover.modbus_fit import Fit, rank
from edge.field.discover.modbus_scan import Found, Search, Unit, search
from edge.field.discover.modbus_wire import Setting
from edge.field.discover.ownership import ports_of
from edge.ports import SerialLink
from firmware_bridges.modbus.crc import crc16, with_crc
from tests.edge.field.conftest import Run, Start
from tocsin.cli.root import dispatch
from tocsin.errors import LinkError, UsageError
from tocsin.testing import Process, free_port

GATEWAY = 'schema = 1\n[gateway]\nid = "gw-1"\nsite = "plant"\ndata_dir = "data"\n'
LINE = (
    ("gas-head", "four-gas-head"),
    ("gas-head", "four-gas-head-int"),
    ("rain-gauge", "rain-gauge"),
    ("river-gauge", "river-gauge"),
    ("power-meter", "power-meter"),
    ("gas-head", "gas-block-head"),
)


def _units() -> list[str]:
    out = []
    for i, (model, profile) in enumerate(LINE):
        out += ["--unit", f"unit={i + 1},device=d{i},model={model},profile={profile}"]
    return out


@pytest.mark.parametrize("tcp", [False, True])
def test_every_unit_of_a_line_is_found_and_the_block_can_be_pasted(
    tcp: bool, tmp_path: Path, start: Start, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--tcp", "127.0.0.1:0") if tcp else ("--link", str(tmp_path / "rs485"))
    ready = start("-m", "firmware_bridges.modbus.device", *where, *_units())
    port = str(json.loads(ready.wait_line('"ready":true'))["port"])
    code, objects, err = run("discover", "modbus", port, "--units", "1-6", "--timeout", "3")
    found = objects[0]
    assert (code, found["complete"], found["noise"]) == (0, True, []), err
    assert [u["unit"] for u in found["units"]] == [1, 2, 3, 4, 5, 6]
    assert [u["fits"][0]["profile"] for u in found["units"]] == [profile for _, profile in LINE]
    assert found["units"][0]["functions"] == {"3": "answers", "4": "exception 2"}
    assert found["units"][1]["functions"] == {"3": "exception 2", "4": "answers"}
    driver = tomllib.loads(found["toml"])["drivers"][0]
    assert len(driver["devices"]) == 6
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY + found["toml"], "utf-8")
    assert dispatch(["check", "-c", str(path)]) == 0
    assert dispatch(["test", "gas-01", "-n", "1", "-c", str(path)]) == 0
    assert "sample 1 of 1" in capsys.readouterr().out


def test_a_line_that_an_agent_reads_is_left_alone(
    config: Path, agent: Process, line: str, run: Run, tmp_path: Path
) -> None:
    for port in (line, os.path.realpath(line)):
        code, objects, _ = run("discover", "modbus", port, "-c", str(config))
        assert code == 5
        assert "gw-1 owns" in objects[0]["error"]["message"]
        assert "driver rs485-1" in objects[0]["error"]["message"]
    nowhere = tmp_path / "elsewhere.toml"
    nowhere.write_text('[gateway]\ndata_dir = "elsewhere"\n', "utf-8")
    code, objects, _ = run("discover", "modbus", line, "-c", str(nowhere))
    assert (code, objects[0]["error"]["message"]) == (5, f"{line}: in use")
    code, objects, _ = run("discover", "serial", line)
    assert objects[0]["ports"][0]["state"] == "busy"
    assert "process" in objects[0]["ports"][0]["owner"]


def test_nobody_there_is_exit_code_5_within_the_limit(line: str, run: Run) -> None:
    code, objects, err = run("discover", "modbus", line, "--units", "20-22", "--baud", "9600",
                             "--parity", "N", "--timeout", "0.03")  # fmt: skip
    assert (code, objects[0]["error"]["code"]) == (5, "driver.link")
    assert "A and B" in objects[0]["error"]["hint"]
    assert "3 units at 1 settings" in err
    code, objects, err = run("discover", "modbus", line, "--units", "20-247", "--timeout", "0.05",
                             "--limit", "1")  # fmt: skip
    assert code == 5
    assert "before all was tried" in err
    code, objects, _ = run("discover", "modbus", f"127.0.0.1:{free_port()}")
    assert code == 5


@contextmanager
def _answering(reply: Callable[[list[Any], bytes], bytes]) -> Iterator[str]:
    """A pseudo-terminal whose other side answers each frame with `reply(settings of the line, frame)`."""
    ours, theirs = pty.openpty()
    stop = threading.Event()

    def serve() -> None:
        heard = b""
        while not stop.is_set():
            try:
                heard += os.read(ours, 256)
            except OSError:
                return
            while len(heard) >= 8 or (len(heard) >= 7 and heard[1] == 0x2B):
                size = 7 if heard[1] == 0x2B else 8
                frame, heard = heard[:size], heard[size:]
                assert crc16(frame) == 0
                os.write(ours, reply(termios.tcgetattr(ours), frame))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        stop.set()
        os.close(theirs)
        os.close(ours)
        thread.join(5)


def test_the_baud_rate_is_found_who_it_is_and_noise_on_the_way(run: Run) -> None:
    identity = bytes((5, 0x2B, 0x0E, 1, 1, 0, 0, 2, 0, 4)) + b"ACME" + bytes((1, 4)) + b"GD-4"

    def reply(settings: list[Any], frame: bytes) -> bytes:
        if settings[5] != termios.B19200:
            return b"\xfe\x00\xff"
        if frame[0] != 5:
            return b""
        if frame[1] == 0x2B:
            return with_crc(identity)
        return with_crc(bytes((5, frame[1] | 0x80, 3)))  # says no to every read

    with _answering(reply) as port:
        code, objects, _ = run(
            "discover", "modbus", port, "--units", "4-5", "--baud", "9600", "--baud", "19200",
            "--parity", "N", "--timeout", "0.3",
        )  # fmt: skip
    found = objects[0]
    assert code == 0
    (unit,) = found["units"]
    assert (unit["unit"], unit["baudrate"], unit["fits"]) == (5, 19200, [])
    assert unit["functions"] == {"3": "exception 3", "4": "exception 3"}
    assert unit["identity"] == {"vendor": "ACME", "product": "GD-4"}
    assert found["noise"][0].startswith("9600 baud, parity N: ")
    assert tomllib.loads(found["toml"]) == {}  # nothing fits: comments only
    assert "unit 5 is ACME GD-4" in found["toml"]


def _meter(values: bytes) -> Callable[[list[Any], bytes], bytes]:
    """Unit 5 with these input registers from 0 on, and no others."""

    def reply(_: list[Any], frame: bytes) -> bytes:
        if frame[0] != 5:
            return b""
        address, count = struct.unpack(">HH", frame[2:6])
        body = values[2 * address : 2 * (address + count)]
        if frame[1] != 4 or len(body) != 2 * count:
            return with_crc(bytes((5, frame[1] | 0x80, 2)))
        return with_crc(bytes((5, 4, len(body))) + body)

    return reply


METER = struct.pack(">ffffd", 230.0, 11.0, 2.5, 50.0, 1234.5)


def test_an_answer_whose_first_bytes_have_a_right_checksum_by_chance_is_read_to_its_end(
    run: Run,
) -> None:
    start = bytes((5, 4, len(METER))) + METER[:2]
    values = METER[:2] + with_crc(start)[-2:] + METER[4:]
    with _answering(_meter(values)) as port:
        code, objects, _ = run(
            "discover", "modbus", port, "--units", "5", "--baud", "9600", "--parity", "N",
            "--timeout", "3",
        )  # fmt: skip
    (unit,) = objects[0]["units"]
    assert (code, unit["fits"][0]["profile"]) == (0, "power-meter")


def test_a_block_whose_answer_got_lost_is_asked_for_once_more(run: Run) -> None:
    asked: list[bytes] = []
    meter = _meter(METER)

    def reply(settings: list[Any], frame: bytes) -> bytes:
        asked.append(frame)
        is_first = struct.unpack(">H", frame[4:6]) == (12,) and asked.count(frame) == 1
        return b"" if is_first else meter(settings, frame)

    with _answering(reply) as port:
        code, objects, _ = run(
            "discover", "modbus", port, "--units", "5", "--baud", "9600", "--parity", "N",
            "--timeout", "1",
        )  # fmt: skip
    (unit,) = objects[0]["units"]
    assert (code, unit["fits"][0]["profile"]) == (0, "power-meter")


def test_a_setting_that_a_port_does_not_take_is_a_clear_error() -> None:
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    try:
        SerialLink(name, 9600).close()
        with pytest.raises(LinkError, match="does not take this baud rate or parity"):
            SerialLink(name, 9600, "E")
    finally:
        os.close(ours)
        os.close(theirs)


def test_units_that_only_say_no_are_one_line_when_there_are_many() -> None:
    said_no = {"3": "exception 4", "4": "exception 4"}
    units = [Unit(n, 9600, "N", said_no, {}, []) for n in (1, 2, 3, 4)]
    toml = to_toml(Found("/dev/x", True, 1.0, units, []), rtu_over_tcp=False)
    assert "# units 1, 2, 3, 4 refuse every read" in toml
    assert toml.count("exception") == 0
    few = to_toml(Found("/dev/x", True, 1.0, units[:3], []), rtu_over_tcp=False)
    assert few.count("function 3: exception 4") == 3


@pytest.mark.parametrize("text", ["", "0", "3-1", "1-256", "a", "1,,2"])
def test_unit_numbers_that_are_none_are_told(text: str) -> None:
    with pytest.raises(UsageError):
        unit_numbers(text)


def test_unit_numbers_are_taken_once_and_in_order() -> None:
    assert unit_numbers("3-5, 4,1") == [3, 4, 5, 1]


def test_the_profile_with_the_most_to_tell_comes_first() -> None:
    few = Fit("few", {"a": 1.0}, {"a": ""})
    zeroes = Fit("zeroes", {"a": 1.0, "b": 0.0}, {"a": "", "b": ""})
    all_there = Fit("all", {"a": 1.0, "b": 2.0}, {"a": "", "b": "m"})
    assert [f.profile for f in rank([few, zeroes, all_there])] == ["all", "zeroes", "few"]
    assert all_there.told == "a 1, b 2 m"


def test_serial_ports_are_named_by_what_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    ours, theirs = pty.openpty()
    device = os.ttyname(theirs)
    by_id = tmp_path / "usb-FTDI_A10-if00-port0"
    by_id.symlink_to(device)
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number = 0x0403, 0x6001, "A10"
    info.manufacturer, info.product = "FTDI", "FT232R\n[[x]]"
    os.close(theirs)
    monkeypatch.setattr(list_ports, "comports", lambda: [info])
    monkeypatch.setattr(serial_ports, "by_id", lambda device: str(by_id))
    code, objects, _ = run("discover", "serial")
    port = {"path": str(by_id), "device": device, "state": "free", "owner": "",
            "usb": "0403:6001", "serial": "A10", "title": "FTDI FT232R?[[x]]"}  # fmt: skip
    assert (code, objects) == (0, [{"ports": [port]}])
    toml = serial_ports.to_toml(serial_ports.ports())
    assert tomllib.loads(toml)["drivers"][0]["rtu"]["port"] == str(by_id)
    assert "FTDI FT232R?[[x]], 0403:6001, serial A10 (free)" in toml
    os.close(ours)
    assert serial_ports.ports([device])[0].state == "absent"
    monkeypatch.setattr(list_ports, "comports", list)
    code, objects, _ = run("discover", "serial")
    assert (code, objects[0]["error"]["message"]) == (5, "no serial port is there")


def test_a_lasting_name_is_the_link_to_the_port(tmp_path: Path) -> None:
    target = tmp_path / "ttyUSB7"
    target.touch()
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-x").symlink_to(target)
    assert serial_ports.by_id(str(target), tmp_path / "by-id") == str(tmp_path / "by-id" / "usb-x")
    assert serial_ports.by_id("/dev/other", tmp_path / "by-id") == ""
    assert serial_ports.by_id("/dev/other", tmp_path / "none") == ""


def test_the_ports_of_a_configuration_are_found_wherever_drivers_name_them(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[[drivers]]\nname = "a"\nrtu = { port = "/dev/a" }\n'
        '[[drivers]]\nname = "b"\ntcp = { host = "h" }\n'
        '[[drivers]]\nname = "c"\nport = "/dev/c"\n'
        '[[drivers]]\nname = "d"\nconnect = "h:9"\n',
        "utf-8",
    )
    assert list(ports_of(path)) == [("a", "/dev/a"), ("b", "h:502"), ("c", "/dev/c"), ("d", "h:9")]


@pytest.mark.parametrize("framing", [FramerType.SOCKET, FramerType.RTU])
async def test_another_makers_server_is_found_with_its_name_and_profile(
    framing: FramerType,
) -> None:
    registers = [0, 0, 0x4148, 0, 0x4048, 0xF5C3, 0x4248, 0, 0x41A7, 0x3333]
    device = SimDevice(2, SimData(0, values=registers, datatype=DataType.REGISTERS))
    who = ModbusDeviceIdentification(  # type: ignore[no-untyped-call]
        info_name={"VendorName": "pymodbus", "ProductCode": "PM", "MajorMinorRevision": "3.16"})  # fmt: skip
    server = ModbusTcpServer(device, framer=framing, identity=who, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    listener: Any = server.transport
    target = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    said: list[str] = []
    plan = Search(target, [2], [Setting()], rtu=framing is FramerType.RTU, timeout_s=0.3,
                  limit_s=30, every_setting=False)  # fmt: skip
    try:
        found = await search(plan, said.append)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
    (unit,) = found.units
    assert unit.identity == {"vendor": "pymodbus", "product": "PM", "revision": "3.16"}
    assert unit.fits[0].profile == "four-gas-head"
    assert unit.fits[0].values["h2s"] == pytest.approx(3.14)
    assert "  unit 2 answers: four-gas-head?" in said
