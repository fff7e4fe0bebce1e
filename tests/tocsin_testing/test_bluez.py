from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from tocsin.testing import bluez
from tocsin.testing.waiting import wait_until

SERVICE = "0000aa00-0000-1000-8000-00805f9b34fb"
ECHO = "0000aa01-0000-1000-8000-00805f9b34fb"
SAYS = "0000aa02-0000-1000-8000-00805f9b34fb"


class Parrot:
    """Says what it is told; 0xFF it refuses."""

    services = (
        bluez.Service(
            SERVICE,
            (
                bluez.Characteristic(ECHO, ("read", "write")),
                bluez.Characteristic(SAYS, ("notify",)),
            ),
        ),
    )

    def __init__(self, number: int = 1) -> None:
        self.address = f"C0:FF:EE:00:00:{number:02X}"
        self.heard: list[bytes] = []
        self.link: bluez.Link | None = None
        self.makers = {0xFFFF: bytes([number])}

    def advertisement(self) -> bluez.Advertisement | None:
        return bluez.Advertisement((SERVICE,), self.makers, "parrot")

    def connected(self, link: bluez.Link) -> None:
        self.link = link

    def disconnected(self) -> None:
        self.link = None

    def read(self, uuid: str) -> bytes:
        return b"".join(self.heard)

    def write(self, uuid: str, value: bytes) -> None:
        if value == b"\xff":
            raise bluez.AttError(0x86)
        self.heard.append(value)
        assert self.link is not None
        self.link.send(SAYS, value)


@pytest.fixture
async def adapter(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[bluez.Adapter]:
    with bluez.private_bus() as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        async with bluez.Adapter().run(address) as running:
            yield running


async def _said(client: BleakClient) -> list[bytes]:
    said: list[bytes] = []

    def hear(_: BleakGATTCharacteristic, value: bytearray) -> None:
        said.append(bytes(value))

    await client.start_notify(SAYS, hear)
    return said


async def test_unmodified_bleak_finds_it_reads_writes_and_is_notified(
    adapter: bluez.Adapter,
) -> None:
    parrot = Parrot()
    adapter.place(parrot)
    device = await BleakScanner.find_device_by_address(parrot.address, 5)
    assert device is not None
    async with BleakClient(device) as client:
        said = await _said(client)
        for word in (b"one", b"two"):
            await client.write_gatt_char(ECHO, word, response=True)
        await wait_until(lambda: said == [b"one", b"two"])
        assert await client.read_gatt_char(ECHO) == b"onetwo"
        characteristic = client.services.get_characteristic(ECHO)
        assert characteristic is not None
        assert characteristic.max_write_without_response_size == 244
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(ECHO, b"\xff", response=True)
        assert refused.value.code == 0x86
    assert parrot.link is None


async def test_twenty_are_told_apart_on_one_adapter(adapter: bluez.Adapter) -> None:
    for number in range(1, 21):
        adapter.place(Parrot(number))
    found = await BleakScanner.discover(0.5, return_adv=True)
    assert {told.manufacturer_data[0xFFFF][0] for _, told in found.values()} == set(range(1, 21))


async def test_what_it_advertises_changes_while_it_is_listened_to(adapter: bluez.Adapter) -> None:
    parrot = Parrot()
    adapter.place(parrot)
    heard: list[bytes] = []
    async with BleakScanner(lambda _, told: heard.append(told.manufacturer_data.get(0xFFFF, b""))):
        await wait_until(lambda: b"\x01" in heard)
        parrot.makers = {0xFFFF: b"\x77"}
        await wait_until(lambda: heard[-1] == b"\x77")


async def test_a_lost_connection_is_told_and_the_next_one_works(adapter: bluez.Adapter) -> None:
    parrot = Parrot()
    adapter.place(parrot)
    device = await BleakScanner.find_device_by_address(parrot.address, 5)
    assert device is not None
    lost = asyncio.Event()
    client = BleakClient(device, lambda _: lost.set())
    await client.connect()
    assert parrot.link is not None
    parrot.link.drop()
    await asyncio.wait_for(lost.wait(), 5)
    assert not client.is_connected
    async with BleakClient(device) as again:
        await again.write_gatt_char(ECHO, b"still here", response=True)
    assert parrot.heard == [b"still here"]


async def test_a_write_is_lost_before_or_after_it_arrives(adapter: bluez.Adapter) -> None:
    parrot = Parrot()
    faults = adapter.place(parrot)
    for knob, arrived in (("drop_before_write", []), ("drop_after_write", [b"word"])):
        parrot.heard.clear()
        device = await BleakScanner.find_device_by_address(parrot.address, 5)
        assert device is not None
        async with BleakClient(device) as client:
            setattr(faults, knob, 1)
            with pytest.raises(BleakError):
                await client.write_gatt_char(ECHO, b"word", response=True)
            await wait_until(lambda c=client: not c.is_connected)
        assert parrot.heard == arrived


async def test_answers_come_twice_swapped_late_spoilt_or_never(adapter: bluez.Adapter) -> None:
    parrot = Parrot()
    faults = adapter.place(parrot)
    device = await BleakScanner.find_device_by_address(parrot.address, 5)
    assert device is not None
    async with BleakClient(device) as client:
        said = await _said(client)

        async def tell(*words: bytes) -> None:
            said.clear()
            for word in words:
                await client.write_gatt_char(ECHO, word, response=True)

        faults.twice = True
        await tell(b"a")
        await wait_until(lambda: said == [b"a", b"a"])
        faults.twice, faults.swapped = False, True
        await tell(b"a", b"b")
        await wait_until(lambda: said == [b"b", b"a"])
        faults.swapped, faults.spoil = False, lambda value: value[::-1]
        await tell(b"abc")
        await wait_until(lambda: said == [b"cba"])
        faults.spoil, faults.late_s = None, 0.05
        await tell(b"late")
        await wait_until(lambda: said == [b"late"])
        faults.late_s, faults.silent = 0.0, True
        await tell(b"lost")
        faults.silent = False
        await client.write_gatt_char(ECHO, b"next", response=True)
        await wait_until(lambda: said == [b"next"])


async def test_a_refused_connection_and_one_out_of_range_are_told_apart(
    adapter: bluez.Adapter,
) -> None:
    parrot = Parrot()
    faults = adapter.place(parrot, bluez.Faults(refuse_connect="le-connection-abort-by-peer"))
    device = await BleakScanner.find_device_by_address(parrot.address, 5)
    assert device is not None
    with pytest.raises(BleakDBusError, match="abort-by-peer"):
        await BleakClient(device).connect()
    faults.refuse_connect, faults.out_of_range = "", True
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=0.3).connect()
    faults.out_of_range = False
    async with BleakClient(device) as client:
        assert client.is_connected
