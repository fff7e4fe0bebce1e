"""A small synchronous MQTT client, on paho (extra `edge` or `cloud`)."""

from __future__ import annotations

import ssl
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tocsin.testing import wait_until_sync


class Peer:
    """Connects, subscribes, publishes and remembers what it got."""

    def __init__(
        self,
        port: int,
        user: str,
        password: str,
        *,
        client_id: str = "",
        clean: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connected: list[bool] = []
        self.got: list[tuple[str, bytes]] = []
        self.granted: list[bool] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"peer-{user}",
            clean_session=clean,
            reconnect_on_failure=False,
        )
        if password:
            self._client.username_pw_set(user, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._port = port

    def _on_connect(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self.connected.append(not reason.is_failure)

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, _reason: Any, _p: Any) -> None:
        if not self.connected:  # hung up instead of an answer
            self.connected.append(False)

    def _on_message(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        self.got.append((message.topic, bytes(message.payload)))

    def _on_subscribe(self, _c: Any, _u: Any, _mid: Any, reasons: Any, _p: Any) -> None:
        self.granted += [not r.is_failure for r in reasons]

    def will(self, topic: str, payload: bytes) -> None:
        """Set the last will; before connecting."""
        self._client.will_set(topic, payload, qos=1)

    def connect(self) -> bool:
        """Whether the broker accepted us."""
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        wait_until_sync(lambda: self.connected, 10.0, "a CONNACK")
        return self.connected[-1]

    def subscribe(self, topic: str, qos: int = 1) -> bool:
        """Whether the broker granted it."""
        before = len(self.granted)
        self._client.subscribe(topic, qos)
        wait_until_sync(lambda: len(self.granted) > before, 10.0, "a SUBACK")
        return self.granted[-1]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """QoS 1; returns after the PUBACK."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10.0)

    @property
    def is_connected(self) -> bool:
        """Whether the session still stands."""
        return self._client.is_connected()

    def drop(self) -> None:
        """Close the socket without a DISCONNECT."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._client.loop_stop()

    def close(self) -> None:
        """Disconnect in order."""
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_connect = self._client.on_disconnect = (
            None  # nothing leads back to us, so that
        )
        self._client.on_message = self._client.on_subscribe = (
            None  # the client's sockets are closed with it
        )

    def __enter__(self) -> Self:
        assert self.connect(), "refused"  # noqa: S101
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
