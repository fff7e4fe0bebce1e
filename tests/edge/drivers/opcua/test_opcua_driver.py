"""The driver against asyncua's server in another process: subscribed, polled, secured, cut off."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from asyncua import Client, ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.drivers.opcua.config import OpcUaConfig
from edge.drivers.opcua.driver import OpcUaDriver
from tocsin.contract.quality import Quality
from tocsin.errors import DriverError, DriverReason, LinkError
from tocsin.sdk import Sample
from tocsin.testing import Process, run_process, wait_until
from tocsin.testing.conformance.surroundings import Surroundings

NS = "nsu=urn:tocsin:press;s=press."
Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Servers as processes of their own; (process, url)."""
    with ExitStack() as stack:

        def begin(*args: str) -> tuple[Process, str]:
            argv = [sys.executable, "-m", "firmware_bridges.opcua.device", *args]
            process = stack.enter_context(run_process(argv))
            port = json.loads(process.wait_line("ready"))["port"]
            return process, f"opc.tcp://{port}/press"

        yield begin


def _config(url: str, *names: str, **options: object) -> OpcUaConfig:
    kinds = {"strokes": "i", "running": "b", "recipe": "s"}
    nodes = [{"node": NS + n, "quantity": n, "type": kinds.get(n, "f")} for n in names]
    device = {"id": "press", "measurement": "press", "period_s": 0.1, "nodes": nodes}
    raw = {"type": "opcua", "name": "plc", "url": url, "devices": [device]}
    return OpcUaConfig.model_validate({**raw, **options})


@asynccontextmanager
async def _running(
    config: OpcUaConfig,
) -> AsyncIterator[tuple[Surroundings, asyncio.Task[None]]]:
    around = Surroundings("plc")
    task = asyncio.create_task(OpcUaDriver(config, around.context).run())
    try:
        yield around, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DriverError):
            await task


def _values(sample: Sample) -> dict[str, object]:
    names = [c.quantity for c in sample.spec.channels]
    return {n: v for n, v in zip(names, sample.values, strict=True) if v is not None}


async def test_a_subscription_tells_every_change_with_its_source_time(start: Start) -> None:
    _, url = start("--step-s", "0.02")
    async with _running(_config(url, "pressure", "strokes", "recipe")) as (around, _):
        await wait_until(lambda: len(around.samples) >= 40)
    seen = [s for s in around.samples if "strokes" in _values(s)]
    strokes = [int(str(_values(s)["strokes"])) for s in seen]
    assert strokes == list(range(strokes[0], strokes[0] + len(strokes)))
    for sample, count in zip(seen, strokes, strict=True):
        assert _values(sample)["pressure"] == pytest.approx(100 + count / 10)
    times = [s.source_ns or 0 for s in seen]
    assert times == sorted(set(times))
    assert {_values(s).get("recipe") for s in around.samples} == {"recipe A", None}
    assert around.up == {"press"}


async def test_polling_reads_all_under_one_stamp(start: Start) -> None:
    _, url = start("--step-s", "0.03")
    config = _config(url, "pressure", "strokes", "running", mode="poll")
    async with _running(config) as (around, _):
        await wait_until(lambda: len(around.samples) >= 5)
    for sample in around.samples:
        told = _values(sample)
        assert told["running"] is True
        assert told.keys() == {"pressure", "strokes", "running"}
    sources = [s.source_ns for s in around.samples if s.source_ns is not None]
    assert sources == sorted(set(sources))
    assert sources


async def test_values_that_stand_still_are_read_again_under_the_gateways_time(start: Start) -> None:
    _, url = start("--step-s", "0")
    config = _config(url, "recipe", refresh_s=0.1)
    async with _running(config) as (around, _):
        await wait_until(lambda: len(around.samples) >= 3)
    assert [s.source_ns is None for s in around.samples][1:] == [True] * (len(around.samples) - 1)
    assert {_values(s)["recipe"] for s in around.samples} == {"recipe A"}


async def test_a_status_that_another_client_sets_becomes_a_quality(start: Start) -> None:
    _, url = start("--step-s", "0")
    async with _running(_config(url, "pressure", "sensor")) as (around, _), Client(url) as other:
        await wait_until(lambda: around.up)
        sensor = next(s for s in around.samples if s.quality)
        assert sensor.quality == (0, int(Quality.SENSOR_FAULT))
        index = await other.get_namespace_index("urn:tocsin:press")
        node = other.get_node(ua.NodeId("press.pressure", index))
        doubtful = ua.StatusCode(ua.StatusCodes.UncertainSensorNotAccurate)
        at = datetime(2026, 11, 25, 12, 0, 0, 500_000, tzinfo=UTC)
        value = ua.Variant(55.5, ua.VariantType.Double)
        await node.write_value(ua.DataValue(Value=value, StatusCode=doubtful, SourceTimestamp=at))
        await wait_until(lambda: any(_values(s).get("pressure") == 55.5 for s in around.samples))
        gone = ua.StatusCode(ua.StatusCodes.BadNoCommunication)
        await node.write_value(ua.DataValue(Value=value, StatusCode=gone))
        await wait_until(lambda: around.errors)
    told = next(s for s in around.samples if _values(s).get("pressure") == 55.5)
    assert told.quality == (int(Quality.CALIBRATION_DUE), 0)
    assert told.source_ns == 1_795_608_000_500_000_000


async def test_an_unknown_variable_is_missing_and_leaves_the_others(start: Start) -> None:
    _, url = start()
    for mode in ("subscribe", "poll"):
        async with _running(_config(url, "pressure", "presure", mode=mode)) as (around, _):
            await wait_until(lambda around=around: around.up)
            await wait_until(lambda around=around: any(s.quality for s in around.samples))
        codes = {s.quality for s in around.samples if s.quality}
        assert codes == {(0, int(Quality.MISSING))}


async def test_a_server_that_dies_is_told_once_marked_in_the_data_and_found_again(
    start: Start,
) -> None:
    process, url = start()
    config = _config(url, "pressure", timeout_s=1.0)
    async with _running(config) as (around, task):
        await wait_until(lambda: around.up)
        process.kill9()
        with pytest.raises(LinkError) as caught:
            await asyncio.wait_for(task, 20)
    assert caught.value.reason in (DriverReason.CLOSED, DriverReason.NO_ANSWER)
    assert around.samples[-1].quality == (int(Quality.COMMS),)
    async with _running(config) as (_, task):
        with pytest.raises(LinkError) as caught:
            await task
    assert caught.value.reason is DriverReason.REFUSED
    start("--listen", url.removeprefix("opc.tcp://").removesuffix("/press"))
    async with _running(config) as (again, _):
        await wait_until(lambda: again.up)


async def test_the_probe_reads_every_device_once(start: Start) -> None:
    _, url = start()
    config = _config(url, "pressure", "sensor", "recipe")
    lines = await OpcUaDriver(config, Surroundings("plc").context).probe()
    assert [(line.device, line.ok) for line in lines] == [("press", True)]
    assert "pressure 100" in lines[0].text
    assert "sensor none (sensor_fault)" in lines[0].text
    assert "recipe recipe A" in lines[0].text


def _certificate(folder: Path, name: str, uri: str) -> dict[str, str]:
    """A self-signed certificate as OPC UA wants it, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.UniformResourceIdentifier(uri), x509.IPAddress(ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=False)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths = {"certificate": folder / f"{name}.pem", "key": folder / f"{name}.key.pem"}
    paths["certificate"].write_bytes(made.public_bytes(encoding.PEM))
    paths["key"].write_bytes(key.private_bytes(encoding.PEM, pkcs8, plain))
    return {kind: str(path) for kind, path in paths.items()}


async def test_a_secured_channel_takes_the_right_certificates_and_account_alone(
    start: Start, tmp_path: Path
) -> None:
    server = _certificate(tmp_path, "server", "urn:tocsin:virtual-press")
    ours = _certificate(tmp_path, "ours", "urn:tocsin:gateway")
    account = ("--user", "tocsin:right")
    _, url = start("--certificate", server["certificate"], "--key", server["key"], *account)
    security = {
        "certificate": ours["certificate"],
        "private_key": ours["key"],
        "server_certificate": server["certificate"],
    }
    good = {"security": security, "username": "tocsin", "password": "right"}
    for mode in ("sign", "sign-encrypt"):
        config = _config(url, "pressure", **{**good, "security": {**security, "mode": mode}})
        async with _running(config) as (around, _):
            await wait_until(lambda around=around: around.up)

    async def refused(**options: object) -> DriverReason:
        config = _config(url, "pressure", timeout_s=1.0, **options)
        with pytest.raises(LinkError) as caught:
            await OpcUaDriver(config, Surroundings("plc").context).run()
        assert "right" not in str(caught.value)
        return caught.value.reason

    assert await refused(**{**good, "password": "wrong"}) is DriverReason.PERMISSION
    assert await refused() is not DriverReason.PERMISSION
    pinned = {**security, "server_certificate": ours["certificate"]}
    await refused(**{**good, "security": pinned})


def test_without_the_extra_one_line_names_the_command_that_installs_it() -> None:
    code = (
        "import sys\nsys.modules['asyncua'] = None\n"
        "from tocsin.sdk import load_driver\nfrom tocsin.errors import TocsinError\n"
        "try: load_driver('opcua')\n"
        "except TocsinError as exc: print(exc.message, '|', exc.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "pip install 'tocsin[opcua]'" in done.stdout
