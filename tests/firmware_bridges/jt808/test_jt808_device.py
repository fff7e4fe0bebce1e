"""The virtual terminal as a process, before a platform that is slow or says no."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware_bridges.jt808.frames import Frame, Header, encode_frame
from firmware_bridges.jt808.location import decode_batch, decode_location
from firmware_bridges.jt808.messages import (
    Ack,
    Id,
    RegisterAck,
    decode_auth,
    decode_register,
    encode_ack,
    encode_register_ack,
)
from firmware_bridges.jt808.splitter import Splitter
from tocsin.testing import Process, run_process


class Platform:
    """Accepts one link after the other and answers as it is told to."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._link: socket.socket | None = None
        self._splitter, self._frames = Splitter(), list[Frame]()

    def accept(self) -> None:
        self.drop()
        self._link, _ = self._server.accept()
        self._link.settimeout(30)
        self._splitter, self._frames = Splitter(), []

    def drop(self) -> None:
        if self._link is not None:
            self._link.close()

    def close(self) -> None:
        self.drop()
        self._server.close()

    def next(self, msg_id: int) -> Frame:
        """The next frame, which must be of this kind."""
        assert self._link is not None
        while not self._frames:
            data = self._link.recv(4096)
            assert data
            self._frames += [f for f in self._splitter.feed(data) if isinstance(f, Frame)]
        frame = self._frames.pop(0)
        assert frame.header.msg_id == msg_id
        return frame

    def say(self, to: Frame, msg_id: int, body: bytes) -> None:
        assert self._link is not None
        head = Header(msg_id, to.header.phone, 1, to.header.version)
        self._link.sendall(encode_frame(head, body))

    def ack(self, to: Frame, result: int = 0) -> None:
        self.say(to, Id.PLATFORM_ACK, encode_ack(Ack(to.header.serial, to.header.msg_id, result)))

    def let_in(self, code: str = "4711") -> None:
        register = self.next(Id.REGISTER)
        assert decode_register(register.body, register.header.version is not None).plate
        answer = RegisterAck(register.header.serial, 0, code)
        self.say(register, Id.REGISTER_ACK, encode_register_ack(answer))
        auth = self.next(Id.AUTH)
        assert decode_auth(auth.body, auth.header.version is not None).auth_code == code
        self.ack(auth)


@contextmanager
def _terminal(ledger: Path, *arguments: str) -> Iterator[tuple[Platform, Process]]:
    platform = Platform()
    argv = [
        sys.executable, "-m", "firmware_bridges.jt808.device", "--connect", f"127.0.0.1:{platform.port}",
        "--ledger", str(ledger), "--period", "0.2", "--answer-timeout", "0.3", "--retry", "0.1",
        "--resend", "1", *arguments,
    ]  # fmt: skip
    try:
        with run_process(argv) as process:
            process.wait_line('"ready"')
            platform.accept()
            yield platform, process
    finally:
        platform.close()


def _ledger(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_what_is_not_answered_is_sent_again_then_stored_and_sent_as_a_batch(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.ndjson"
    with _terminal(ledger, "--edition", "2019") as (platform, _):
        platform.let_in()
        first = platform.next(Id.BATCH)  # what it drove before it was let in
        assert decode_batch(first.body).kind == 1
        platform.ack(first)
        report = platform.next(Id.LOCATION)
        assert platform.next(Id.LOCATION) == report
        platform.accept()
        auth = platform.next(Id.AUTH)  # it kept its code
        platform.ack(auth)
        batch = decode_batch(platform.next(Id.BATCH).body)
        assert decode_location(report.body) == batch.items[0]
    told = [e["values"]["lat"] for e in _ledger(ledger) if "values" in e]
    assert {item.lat / 1e6 for item in batch.items} <= set(told)


def test_a_refused_code_makes_it_register_again(tmp_path: Path) -> None:
    with _terminal(tmp_path / "ledger.ndjson", "--auth-code", "old") as (platform, _):
        platform.ack(platform.next(Id.AUTH), result=1)
        platform.accept()
        platform.let_in("new")


def test_it_ends_when_its_lease_ends(tmp_path: Path) -> None:
    with _terminal(tmp_path / "ledger.ndjson", "--stdin-lease") as (platform, process):
        platform.next(Id.REGISTER)
        assert process.terminate() == 0
