"""A paho client that subscribes with QoS 1 and counts: what the transport alone costs. A process of its own, for the bench.

Says `ready` once subscribed; counts messages until standard input has a line, then prints how many.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Until a line comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of a broker on loopback")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--topic", required=True)
    given = parser.parse_args()
    count = 0

    def on_message(*_: Any) -> None:
        nonlocal count
        count += 1

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(given.topic, 1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-bare")
    client.username_pw_set(given.user, given.password)
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: _say('{"ready": true}')
    client.on_message = on_message
    client.connect("127.0.0.1", given.port)
    client.loop_start()
    while sys.stdin.readline():
        _say(f'{{"messages": {count}}}')
    client.disconnect()
    client.loop_stop()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
