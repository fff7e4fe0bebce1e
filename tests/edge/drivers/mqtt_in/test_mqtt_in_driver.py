"""Devices publish to a real broker; the driver keeps, then acknowledges."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trustme
from pydantic import ValidationError

from edge.drivers.mqtt_in.topics import TopicFilter
from tests.edge.drivers.mqtt_in.conftest import Agent, T
from tocsin.broker import ChildBroker, ListenerTls
from tocsin.contract.quality import Quality
from tocsin.errors import LinkError
from tocsin.mqtt import packets
from tocsin.testing import throwaway_broker, wait_until
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

EUI = "70b3d57ba0000bf4"
RAIN = "0202f8000300040258409a00000c54"
RAIN_VALUES = [
    {"from": "Precipitation", "quantity": "rain", "unit": "mm"},
    {"from": "Cumulative precipitation", "quantity": "rain_total", "unit": "mm"},
    {"from": "lorawan.rssi", "quantity": "rssi", "unit": "{dBm}"},
]
GAUGE = {
    "id": "rain-4",
    "source": EUI,
    "measurement": "weather",
    "payload": "decentlab",
    "model": "DL-TBRG",
    "values": RAIN_VALUES,
}


async def subscribed(agent: Agent, sender: Peer, topic: str, payload: bytes) -> None:
    """Publish until the first sample came: the subscription stands."""
    while not agent.samples:
        await asyncio.to_thread(sender.publish, topic, payload)
        await asyncio.sleep(0.02)


def chirpstack(**changes: Any) -> bytes:
    event = {
        "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        "time": "2026-11-24T09:34:15.775023242+00:00",
        "deviceInfo": {"deviceName": "roof rain", "devEui": EUI.upper()},
        "devAddr": "00189440",
        "fCnt": 7,
        "fPort": 1,
        "data": base64.b64encode(bytes.fromhex(RAIN)).decode(),
        "rxInfo": [{"rssi": -48, "snr": 9}, {"rssi": -110, "snr": 1.5}],
    }
    return json.dumps(event | changes).encode()


async def test_values_are_found_by_their_path_and_named_levels_name_the_device(
    agent: Agent, sender: Peer
) -> None:
    topics = [{"topic": "plant/{device}/+/data", "format": "json", "time_path": "meta.at"}]
    values = [
        {"from": "gas.h2s", "quantity": "h2s", "unit": "[ppm]", "scale": 0.1},
        {"from": "ok", "quantity": "status", "type": "i"},
        {"from": "label", "quantity": "label", "type": "s"},
        {"from": "gone", "quantity": "o2", "unit": "%{vol}"},
    ]
    devices = [{"id": "gas-1", "source": "Head 1", "measurement": "gas", "values": values}]
    payload = {"meta": {"at": 1764000000123}, "gas": {"h2s": "15"}, "ok": 3, "label": 7}
    async with agent.running(subscriptions=topics, devices=devices):
        await subscribed(agent, sender, "plant/Head 1/x/data", json.dumps(payload).encode())
    sample = agent.samples[0]
    assert sample.spec.id == "gas-1"
    assert sample.values == (15.0, 3, "7", None)
    assert sample.quality is None
    assert sample.source_ns == 1764000000123 * 10**6
    assert agent.frames[0] == ("gas-1", "rx", json.dumps(payload).encode())
    assert agent.states == [("gas-1", "ok")]


@pytest.mark.parametrize("form", ["json", "cbor"])
async def test_senml_packs_become_rows_by_device_and_time(
    agent: Agent, sender: Peer, form: str
) -> None:
    pack: Any = [
        {"bn": "urn:dev:mac:0024:", "bt": 1764000000, "n": "t", "u": "K", "v": 294.65},
        {"n": "t", "t": 60, "v": 295.65, "u": "K"},
    ]
    if form == "cbor":
        short = {"bn": -2, "bt": -3, "n": 0, "u": 1, "v": 2, "t": 6}
        payload = cbor2.dumps([{short[k]: v for k, v in r.items()} for r in pack])
    else:
        payload = json.dumps(pack).encode()
    devices = [{"id": "d1", "source": "urn:dev:mac:0024", "measurement": "weather", "values": T}]
    async with agent.running(
        subscriptions=[{"topic": "senml", "format": "senml"}], devices=devices
    ):
        await subscribed(agent, sender, "senml", payload)
    assert [s.values[0] for s in agent.samples[:2]] == pytest.approx([21.5, 22.5])
    assert [s.source_ns for s in agent.samples[:2]] == [1764000000 * 10**9, 1764000060 * 10**9]


async def test_thingsboard_gateway_telemetry_names_its_devices(agent: Agent, sender: Peer) -> None:
    told = {"d1": [{"ts": 1764000000001, "values": {"t": 20}}, {"t": 21}], "other": [{"t": 1}]}
    topic = "v1/gateway/telemetry"
    async with agent.running(subscriptions=[{"topic": topic, "format": "thingsboard"}]):
        await subscribed(agent, sender, topic, json.dumps(told).encode())
    assert [(s.values, s.source_ns) for s in agent.samples[:2]] == [
        ((20,), 1764000000001 * 10**6),
        ((21,), None),
    ]
    assert agent.counts["mqtt_in.unknown_device"] >= 1


async def test_a_lorawan_uplink_is_read_by_its_model_and_stored_once(
    agent: Agent, sender: Peer
) -> None:
    topic = f"application/1/device/{EUI}/event/up"
    filters = [{"topic": "application/+/device/+/event/up", "format": "chirpstack"}]
    async with agent.running(subscriptions=filters, devices=[GAUGE]):
        await subscribed(agent, sender, topic, chirpstack())
        late = chirpstack(time="2026-11-24T09:34:16Z")  # heard again by a far gateway
        await asyncio.to_thread(sender.publish, topic, late)
        await asyncio.to_thread(sender.publish, topic, chirpstack(fCnt=8))
        await wait_until(lambda: len(agent.samples) == 2)
    assert agent.counts["mqtt_in.duplicates"] >= 1
    assert list(agent.samples[0].values) == pytest.approx([0.4, 1653.8, -48])
    assert agent.samples[0].source_ns == 1795512855775023242


async def test_a_ttn_uplink_gives_what_its_codec_decoded(agent: Agent, sender: Peer) -> None:
    uplink = {
        "f_port": 2,
        "f_cnt": 4,
        "frm_payload": "AQ==",
        "decoded_payload": {"t": 21.5},
        "rx_metadata": [{"rssi": -70, "snr": 8}],
        "received_at": "2026-11-24T09:34:15.5Z",
    }
    ids = {"device_id": "d1", "dev_eui": "0004A30B001C0530", "dev_addr": "00BCB929"}
    message = {"end_device_ids": ids, "received_at": "x", "uplink_message": uplink}
    async with agent.running(subscriptions=[{"topic": "v3/+/devices/+/up", "format": "ttn"}]):
        await subscribed(agent, sender, "v3/a@ttn/devices/d1/up", json.dumps(message).encode())
        simulated = json.dumps(message | {"simulated": True}).encode()
        await asyncio.to_thread(sender.publish, "v3/a@ttn/devices/d1/up", simulated)
        await wait_until(lambda: agent.counts["mqtt_in.unsupported"])
    assert {s.values for s in agent.samples} == {(21.5,)}
    assert agent.samples[0].source_ns is not None


async def test_every_known_payload_comes_through_the_broker_as_its_maker_reads_it(
    agent: Agent, sender: Peer, shared_data: Path
) -> None:
    file = json.loads((shared_data / "protocols" / "lorawan_decentlab.json").read_text("utf-8"))
    devices, wanted = [], {}
    for row in file["vectors"]:
        device = row["device"].lower()
        names = [k for k, v in row["expected"].items() if isinstance(v, dict)]
        values = [{"from": n, "quantity": f"q{i}"} for i, n in enumerate(names)]
        devices.append(
            {"id": device, "measurement": "mixed", "payload": "decentlab", "model": row["device"]}
            | {"values": values}
        )
        wanted[device] = [row["expected"][n]["value"] for n in names]
    topics = [{"topic": "application/+/device/+/event/up", "format": "chirpstack"}]
    async with agent.running(subscriptions=topics, devices=devices):
        probe = chirpstack(deviceInfo={"devEui": "dl-sht21"}, data="AgMOAAIMYA==", fCnt=0)
        await subscribed(agent, sender, "application/1/device/x/event/up", probe)
        agent.samples.clear()
        for n, row in enumerate(file["vectors"]):
            data = base64.b64encode(bytes.fromhex(row["hex"])).decode()
            info = {"devEui": row["device"]}
            event = chirpstack(deviceInfo=info, data=data, fCnt=n + 1)
            await asyncio.to_thread(sender.publish, "application/1/device/x/event/up", event)
        await wait_until(lambda: len(agent.samples) >= len(wanted))
    got = {s.spec.id: list(s.values) for s in agent.samples}
    assert got == {k: pytest.approx(v, rel=1e-9) for k, v in wanted.items()}


async def test_what_cannot_be_read_is_counted_told_once_and_harms_nothing(
    agent: Agent, sender: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "test.mqtt_in")
    async with agent.running(max_message_bytes=300):
        await subscribed(agent, sender, "s/d1", b'{"t": 20}')
        for bad in (b"\xff", b"{", b"[" * 200, b'{"x": 1}', b"x" * 400, b'{"t": "warm"}'):
            await asyncio.to_thread(sender.publish, "s/d1", bad)
        for _ in range(2):
            await asyncio.to_thread(sender.publish, "s/stranger", b'{"t": 1, "u": {"v": 2}}')
        await asyncio.to_thread(sender.publish, "s/d1", b'{"t": 30}')
        await wait_until(lambda: agent.samples[-1].values == (30,))
    assert agent.counts["mqtt_in.framing"] == 3
    assert agent.counts["mqtt_in.no_values"] == 1
    assert agent.counts["mqtt_in.oversized"] == 1
    assert agent.counts["mqtt_in.unknown_device"] == 2
    assert [s.quality for s in agent.samples if s.values == (None,)] == [(Quality.MISSING,)]
    told = [r.getMessage() for r in caplog.records]
    assert len([t for t in told if "stranger" in t]) == 1
    assert any('source = "stranger"' in t and '{ from = "u.v"' in t for t in told)
    assert len([t for t in told if "refused" in t]) == 1


async def test_a_message_is_acknowledged_only_when_durable_and_comes_again_otherwise(
    agent: Agent, field: ChildBroker, sender: Peer
) -> None:
    async with agent.running():
        await subscribed(agent, sender, "s/d1", b'{"t": 0}')
        await wait_until(lambda: agent.asked == len(agent.samples))
        agent.hold.clear()
        await asyncio.to_thread(sender.publish, "s/d1", b'{"t": 1}')
        await wait_until(lambda: agent.asked > len(agent.samples))
    # the agent ended while it waited: the broker still has it
    assert agent.samples[-1].values == (0,)
    agent.hold.set()
    async with agent.running():
        await wait_until(lambda: agent.samples[-1].values == (1,))
        await asyncio.to_thread(sender.publish, "s/d1", b'{"t": 2}')
        await wait_until(lambda: agent.samples[-1].values == (2,))
    assert [s.values for s in agent.samples[-2:]] == [(1,), (2,)]


async def test_a_broker_restart_loses_nothing_and_doubles_nothing(
    agent: Agent, field: ChildBroker, sender: Peer
) -> None:
    async with agent.running():
        await subscribed(agent, sender, "s/d1", b'{"t": -1}')
        await wait_until(lambda: agent.asked == len(agent.samples))
        agent.samples.clear()
        agent.hold.clear()
        await asyncio.to_thread(sender.publish, "s/d1", b'{"t": 0}')
        await wait_until(lambda: agent.asked > 1)
        for n in range(1, 20):
            await asyncio.to_thread(sender.publish, "s/d1", b'{"t": %d}' % n)
        await asyncio.to_thread(field.restart)
        await wait_until(lambda: agent.counts["mqtt_in.reconnects"])
        agent.hold.set()
        with Peer(field.port, "field", "field-password", client_id="again") as peer:
            await asyncio.to_thread(peer.publish, "s/d1", b'{"t": 20}')
            await wait_until(lambda: (20,) in [s.values for s in agent.samples])
    asking = (-1,)  # what asked whether it listens
    told = sorted(s.values for s in agent.samples if s.values != asking)
    assert told == [(n,) for n in range(21)]
    assert agent.counts["mqtt_in.resent"] >= 1


async def test_more_than_may_be_in_hand_stays_at_the_broker(agent: Agent, sender: Peer) -> None:
    asking = (-1,)  # what asked whether it listens
    async with agent.running(version="3.1.1", in_flight=5):
        await subscribed(agent, sender, "s/d1", b'{"t": -1}')
        await wait_until(lambda: agent.asked == len(agent.samples))
        agent.samples.clear()
        agent.hold.clear()
        for n in range(40):
            await asyncio.to_thread(sender.publish, "s/d1", b'{"t": %d}' % n)
        await wait_until(lambda: agent.asked > 1)
        agent.hold.set()
        await wait_until(lambda: len({s.values for s in agent.samples} - {asking}) >= 40)
    told = sorted(s.values for s in agent.samples if s.values != asking)
    assert told == [(n,) for n in range(40)]
    assert agent.counts["mqtt_in.full"] >= 1


async def test_what_was_in_no_hand_when_the_connection_broke_comes_again_and_is_kept_once(
    agent: Agent, field: ChildBroker, sender: Peer
) -> None:
    async with agent.running(version="3.1.1", in_flight=5):
        await subscribed(agent, sender, "s/d1", b'{"t": -1}')
        await wait_until(lambda: agent.asked == len(agent.samples))
        agent.samples.clear()
        agent.hold.clear()
        for n in range(40):
            await asyncio.to_thread(sender.publish, "s/d1", b'{"t": %d}' % n)
        await wait_until(lambda: agent.counts["mqtt_in.full"])
        await asyncio.to_thread(field.restart)
        agent.hold.set()
        await wait_until(lambda: (39,) in [s.values for s in agent.samples])
        with Peer(field.port, "field", "field-password", client_id="again") as peer:
            await asyncio.to_thread(peer.publish, "s/d1", b'{"t": 40}')
            await wait_until(lambda: (40,) in [s.values for s in agent.samples])
    told = sorted(s.values for s in agent.samples)
    assert [t for t in told if t != (-1,)] == [(n,) for n in range(41)]


async def test_a_resumed_session_may_bring_more_than_may_be_in_hand_before_it_is_subscribed(
    agent: Agent,
) -> None:
    acked = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes.fromhex("20020100"))
        await reader.read(100)
        for n in range(1, 41):
            writer.write(packets.publish(4, "s/d1", b'{"t": %d}' % n, n))
            await writer.drain()
        writer.write(bytes.fromhex("9003 0001 01"))
        while data := await reader.read(100):
            acked.extend(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        agent.port = server.sockets[0].getsockname()[1]
        async with agent.running(version="3.1.1", in_flight=5):
            await wait_until(lambda: packets.pubacks(range(1, 41)) in acked)
    assert [s.values for s in agent.samples] == [(n,) for n in range(1, 41)]
    assert agent.counts["mqtt_in.full"]
    assert not agent.counts["mqtt_in.reconnects"]


async def test_a_broker_that_falls_silent_or_hangs_up_is_left_and_told_why(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "test.mqtt_in")
    answers = [bytes.fromhex("2006 00 00 03 130001"), bytes.fromhex("9004 0001 00 01")]
    ends = [b"", bytes.fromhex("e0018e"), b"\xff" * 9]  # silence, taken over, no MQTT

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = ends.pop(0) if ends else b""
        for answer in (*answers, last):  # to CONNECT: keep-alive 1 s; to SUBSCRIBE; to a ping
            await reader.read(100)
            writer.write(answer)
        while await reader.read(100):
            pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        agent.port = server.sockets[0].getsockname()[1]
        async with agent.running(version="5"):
            await wait_until(lambda: agent.counts["mqtt_in.reconnects"] >= 3)
    told = [r.getMessage() for r in caplog.records]
    assert [t for t in told if "the session ended" in t] == [
        "the session ended: the broker does not answer",
        "the session ended: another client took our client_id (code 142)",
        "the session ended: an MQTT length of more than four bytes",
    ]


async def test_retained_messages_are_ignored_unless_asked_for(agent: Agent, sender: Peer) -> None:
    await asyncio.to_thread(sender.publish, "s/d1", b'{"t": 99}', retain=True)
    async with agent.running():
        await subscribed(agent, sender, "s/d1", b'{"t": 1}')
    assert {s.values for s in agent.samples} == {(1,)}
    assert agent.counts["mqtt_in.retained"] == 1
    topics = [{"topic": "s/{device}", "format": "json", "retained": "take"}]
    async with agent.running(subscriptions=topics, client_id="another"):
        await wait_until(lambda: (99,) in {s.values for s in agent.samples})


async def test_without_a_broker_or_a_right_it_says_why(agent: Agent, field: ChildBroker) -> None:
    with pytest.raises(LinkError, match=r"(?i)authori") as refused:
        await agent.driver(password="wrong").run()
    assert "password" in refused.value.hint
    assert (await agent.driver().probe())[0].ok
    await asyncio.to_thread(field.stop)
    with pytest.raises(LinkError, match="no session"):
        await agent.driver().run()
    assert not (await agent.driver().probe())[0].ok


async def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1() -> None:
    with throwaway_broker("amqtt", accounts=[FIELD]) as broker:
        agent = Agent(broker.port)
        with Peer(broker.port, FIELD.user, FIELD.password, client_id="sender") as sender:
            async with agent.running():
                await subscribed(agent, sender, "s/d1", b'{"t": 1}')
    assert agent.samples[0].values == (1,)


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_the_broker_s_certificate_is_verified(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    made = theirs.issue_cert("127.0.0.1")
    certificate, key, ca = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    tls = ListenerTls(certificate, key)
    with throwaway_broker("mosquitto", accounts=[FIELD], tls=tls) as broker:
        agent = Agent(broker.port)
        ours.cert_pem.write_to_path(ca)
        with pytest.raises(LinkError, match="certificate"):
            await agent.driver(tls={"ca": str(ca)}).run()
        theirs.cert_pem.write_to_path(ca)
        context = ssl.create_default_context(cafile=ca)
        peer = Peer(broker.port, FIELD.user, FIELD.password, client_id="sender", tls=context)
        with peer as sender:
            async with agent.running(tls={"ca": str(ca)}):
                await subscribed(agent, sender, "s/d1", b'{"t": 1}')


async def test_other_devices_are_taken_while_it_runs_over_the_same_session(
    agent: Agent, sender: Peer
) -> None:
    first = {"id": "d1", "measurement": "weather", "values": T}
    second = {"id": "d2", "source": "Mast 2", "measurement": "weather", "values": T}
    topics = [{"topic": "s/{device}", "format": "json", "time_path": "ts"}]
    told = b'{"t": 1, "ts": 1764000000123}'
    async with agent.running(subscriptions=topics, devices=[first]) as driver:
        await subscribed(agent, sender, "s/d1", told)
        (spec,) = driver.devices
        both = agent.driver(subscriptions=topics, devices=[second, first])._config
        assert driver.reconfigure(both)
        assert [s.id for s in driver.devices] == ["d2", "d1"]
        assert driver.devices[1] is spec
        await asyncio.to_thread(sender.publish, "s/d1", told)
        await asyncio.to_thread(sender.publish, "s/Mast 2", told)
        await wait_until(lambda: agent.samples[-1].spec.id == "d2")
        warmer = first | {"values": [T[0] | {"offset": 1.0}]}
        assert driver.reconfigure(agent.driver(subscriptions=topics, devices=[warmer])._config)
        await asyncio.to_thread(sender.publish, "s/Mast 2", b'{"t": 2, "ts": 1764000000124}')
        await asyncio.to_thread(sender.publish, "s/d1", told)
        await wait_until(lambda: agent.samples[-1].spec == driver.devices[0] != spec)
        other = agent.driver(subscriptions=topics, devices=[warmer], in_flight=7)._config
        assert not driver.reconfigure(other), "another session"
    assert [s.spec.id for s in agent.samples] == ["d1", "d2", "d1"], "what stays knows what it told"
    assert agent.counts["mqtt_in.unknown_device"] == 1
    assert agent.counts["mqtt_in.reconnects"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"subscriptions": [{"topic": "a/b#", "format": "senml"}]}, "whole level"),
        ({"subscriptions": [{"topic": "a/#/b", "format": "senml"}]}, "at the end"),
        ({"subscriptions": [{"topic": "a", "format": "json"}]}, "names the device"),
        ({"devices": [GAUGE | {"model": "DL-TBR"}]}, "model of the payload file"),
        ({"devices": [GAUGE | {"values": [{"from": "Rain", "quantity": "rain"}]}]}, "sends no"),
        ({"devices": [GAUGE | {"parameters": {"k": 1}}]}, "no parameter k"),
        ({"devices": [GAUGE, GAUGE]}, "same id"),
    ],
)
async def test_mistakes_in_the_configuration_are_named(
    agent: Agent, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        agent.driver(**change)


def test_named_levels_are_kept_and_the_rest_is_as_in_mqtt() -> None:
    found = TopicFilter("a/{device}/+/{what}/#")
    assert found.mqtt == "a/+/+/+/#"
    assert found.match("a/x/y/z") == {"device": "x", "what": "z"}
    assert found.match("a/x/y/z/1/2") == {"device": "x", "what": "z"}
    assert found.match("b/x/y/z") is None
    assert found.match("a/x/y") is None
    assert TopicFilter("a").match("a/b") is None
