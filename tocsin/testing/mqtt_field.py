"""The field side of an MQTT source without hardware: a broker of its own, and devices that publish to it.

`python -m tocsin.testing.mqtt_field --port 18830 --messages field.jsonl --period 1`. Each line of the file is
`{"topic": ..., "json": ...}` or `{"topic": ..., "hex": ...}`; they are published in turn, over and over. In the texts
of a `json` line `{now_ms}` is the time in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tocsin.broker import Account, ChildBroker
from tocsin.testing.peer import Peer

FIELD = Account("field", "field-password", "field")


def payload_of(line: dict[str, Any]) -> bytes:
    """The bytes of one line of the file."""
    if "hex" in line:
        return bytes.fromhex(line["hex"])
    text = json.dumps(line["json"], ensure_ascii=False)
    return text.replace('"{now_ms}"', str(time.time_ns() // 1_000_000)).encode()


def _leased(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    ended.set()


def main() -> None:
    """Until standard input ends (`--stdin-lease`) or interrupted."""
    parser = argparse.ArgumentParser(description="A broker with devices that publish to it.")
    parser.add_argument("--port", type=int, required=True, help="port of the broker")
    parser.add_argument("--messages", type=Path, required=True, help="what is published, by line")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between messages")
    parser.add_argument("--stdin-lease", action="store_true", help="end with standard input")
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.messages.read_text("utf-8").splitlines() if line]
    ended = threading.Event()
    if given.stdin_lease:
        threading.Thread(target=_leased, args=(ended,), daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="tocsin-field-") as folder:
        broker = ChildBroker("auto", Path(folder), accounts=[FIELD], port=given.port)
        with (
            broker,
            Peer(given.port, FIELD.user, FIELD.password, client_id="field-devices") as peer,
        ):
            print('{"mark": "ready"}', flush=True)  # noqa: T201 - the line that says so
            number = 0
            while not ended.wait(given.period):
                line = lines[number % len(lines)]
                peer.publish(line["topic"], payload_of(line))
                number += 1


if __name__ == "__main__":
    main()
