"""Spines that end themselves by SIGKILL at a chosen step. The product knows nothing of it: methods are wrapped here.

`python -m tests.cloud.spine.dying` reads lines `STEP CONFIG` and forks a spine for each (forking spares the imports);
it answers `pid N` and, once that one has ended, `ended STATUS`. The step `never` lets it live.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import cloud.ingest.worker
import cloud.stores.local.store
from cloud.alarms.book import AlarmBook
from cloud.ingest import piecemeal
from cloud.ingest.attempts import Attempts
from cloud.ingest.joined import Joined
from cloud.ingest.letters import DeadLetters
from cloud.ingest.worker import Ingest
from cloud.link import Handover, MqttLink, Received
from cloud.spine.__main__ import main
from cloud.stores.influx.keeper import SqlLedger
from cloud.stores.influx.transport import Transport
from tocsin.broker.leash import die_with_parent

When = Callable[..., bool]


def _die(after_s: float = 0.0) -> None:
    time.sleep(after_s)  # what was handed to the socket has left by then
    os.kill(os.getpid(), signal.SIGKILL)


def _always(*_: Any) -> bool:
    return True


def before(owner: Any, name: str, when: When = _always) -> Callable[[], None]:
    def wrap() -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any) -> Any:
            if when(*args):
                _die()
            return real(*args)

        setattr(owner, name, wrapped)

    return wrap


def after(owner: Any, name: str, when: When = _always, linger_s: float = 0.0) -> Callable[[], None]:
    def wrap() -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any) -> Any:
            result = real(*args)
            if when(*args):
                _die(linger_s)
            return result

        setattr(owner, name, wrapped)

    return wrap


def _telemetry(_self: object, *messages: Any) -> bool:
    return any(str(getattr(m, "topic", "")).endswith("/telemetry") for m in messages)


def _telemetry_among(_self: object, messages: list[Any], *_: object) -> bool:
    return _telemetry(_self, *messages)


def _die_between_pubacks() -> None:
    real = MqttLink.ack

    def wrapped(self: MqttLink, *messages: Received) -> None:
        real(self, messages[0])
        if _telemetry(self, *messages):
            _die(0.1)
        real(self, *messages[1:])

    MqttLink.ack = wrapped  # type: ignore[method-assign]


def _stored_some(ingest: Ingest, *_: object) -> bool:
    return ingest.counts["rows"] > 0


def _rows(_store: object, blocks: list[Any], *_: object) -> bool:
    return bool(blocks)


def _one_of_a_letter(_self: object, messages: list[Any]) -> bool:
    return any(message.letter for message in messages)


STEPS: dict[str, Callable[[], None]] = {
    "never": lambda: None,
    "received": before(MqttLink, "_received", _telemetry_among),
    "handed-over": after(Handover, "put", _telemetry),
    "decoded": after(cloud.ingest.worker, "decode", lambda topic, *_: topic.endswith("telemetry")),
    "joined": after(Joined, "add"),
    "letter-found": before(DeadLetters, "add"),
    "letter-kept": after(DeadLetters, "add"),
    "refusal-found": before(Ingest, "_refused"),
    "refusal-kept": after(Ingest, "_refused"),
    "stored": after(piecemeal, "write", _rows),
    "before-puback": before(MqttLink, "ack", _telemetry),
    "between-pubacks": _die_between_pubacks,
    "puback-left": after(MqttLink, "ack", _telemetry, linger_s=0.1),
    "before-commit-ack": before(Ingest, "_publish_ack", _stored_some),
    "commit-ack-left": after(Ingest, "_publish_ack", _stored_some, linger_s=0.1),
    "alarm-found": before(AlarmBook, "mirror_all"),
    "alarm-kept": after(AlarmBook, "mirror_all"),
    "alarm-passed-on": after(Handover, "pass_on"),
    "letter-stored": before(Attempts, "done", _one_of_a_letter),
    # of the embedded store: inside its one transaction
    "transaction-begun": before(cloud.stores.local.store, "insert"),
    "rows-inserted": after(cloud.stores.local.store, "insert"),
    # of InfluxDB: points first, the ledger after them
    "points-ready": before(Transport, "post"),
    "points-written": after(Transport, "post"),
    "before-ledger": before(SqlLedger, "append"),
    "ledger-kept": after(SqlLedger, "append"),
}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Until standard input ends."""
    me = os.getpid()
    for line in sys.stdin:
        step, config = line.rstrip("\n").split(" ", 1)
        child = os.fork()
        if not child:
            die_with_parent(me)
            STEPS[step]()
            sys.argv = ["cloud.spine", config]
            os._exit(main())
        _say(f"pid {child}")
        _, status = os.waitpid(child, 0)
        _say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    serve()
