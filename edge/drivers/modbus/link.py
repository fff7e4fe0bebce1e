"""One port with one owner: opens it, asks, and names every way in which an answer can fail to come."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from functools import partial

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edge.adapters import find_adapter
from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.framers import Listener, Rejected, StrictMbap, StrictRtu
from edge.drivers.modbus.plan import Block, Expected, Written
from firmware_bridges.modbus import pdu
from firmware_bridges.modbus.pdu import ExceptionCode, WriteRequest
from tocsin.errors import DeviceFaultError, DriverError, DriverReason, FrameError, LinkError
from tocsin.sdk import DriverContext

_REQUESTS: dict[int, type[ModbusPDU]] = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
_MOST_SHOWN = 4096  # bytes shown as one answer
_NEVER = 1 << 30  # pymodbus hangs up after so many silent requests; we decide that ourselves

logging.getLogger("pymodbus.logging").setLevel(
    logging.CRITICAL
)  # every failure is told once, by us


class ModbusLink:
    """The connection of one driver. Requests go one at a time; the caller is the only user."""

    def __init__(self, config: ModbusConfig, context: DriverContext) -> None:
        self._config = config
        self._clock = context.clock
        self._show = context.frame
        self._device = ""  # the one that was asked last
        self._asking = False
        self._received = b""
        self._listener = Listener()
        self._client: ModbusBaseClient | None = None
        self._quiet_until_ns = 0
        self._out_of_step = False
        self._asked = False  # whether the last request was sent

    @property
    def late(self) -> int:
        """Answers that came after their request had been given up."""
        return self._listener.late

    async def open(self) -> None:
        """Opens the port.

        Raises:
            LinkError: with the reason and, where there is one, what to do.
        """
        self.close()
        client = self._build()
        transaction = client.ctx
        # the framer sees what has gathered; this is the one place that sees each byte once
        transaction.data_received = partial(self._hear, transaction.data_received)  # type: ignore[method-assign]
        decoder = transaction.framer.decoder
        transaction.framer = (
            StrictMbap(decoder, self._listener)
            if self._config.has_transactions
            else StrictRtu(decoder, self._listener)
        )
        client.set_max_no_responses(_NEVER)
        try:
            async with asyncio.timeout(max(self._config.timeout_s, 3.0)):
                transaction.transport, _ = await transaction.call_create()
        except TimeoutError as exc:
            raise LinkError(
                DriverReason.NO_ANSWER, f"{self._config.address} does not answer"
            ) from exc
        except OSError as exc:
            raise _link_error(self._config.address, exc) from exc
        self._client = client
        self._out_of_step = False
        await asyncio.sleep(0)  # a serial port begins to read in the next step of the loop
        if self._config.post_connect_s:
            await self._clock.sleep(self._config.post_connect_s)

    def close(self) -> None:
        """Frees the port at once."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _sent(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._show(self._device, "tx", data)
        return data

    def _hear(self, take: Callable[[bytes], None], data: bytes) -> None:
        """All that comes, garbage too; an answer in pieces is shown as one."""
        self._received += data
        if not self._asking or len(self._received) > _MOST_SHOWN:
            self._show_received()
        take(data)

    def _show_received(self) -> None:
        if self._received:
            self._show(self._device, "rx", self._received)
            self._received = b""

    def _build(self) -> ModbusBaseClient:
        def hung_up(connected: bool) -> None:
            waiting = self._listener.block is not None and not client.ctx.response_future.done()
            if not connected and waiting:
                client.ctx.response_future.set_exception(ConnectionException("hung up"))

        config = self._config
        client: ModbusBaseClient
        if config.rtu is not None:
            client = AsyncModbusSerialClient(
                find_adapter(config.rtu.port),
                baudrate=config.rtu.baudrate,
                parity=config.rtu.parity,
                stopbits=config.rtu.stopbits,
                bytesize=config.rtu.bytesize,
                name=config.name,
                reconnect_delay=0,
                timeout=config.timeout_s,
                retries=0,
                trace_packet=self._sent,
                trace_connect=hung_up,
            )
            return client
        if config.tcp is None:
            raise LinkError(DriverReason.NO_PORT, f"{config.name} has no port")
        client = AsyncModbusTcpClient(
            config.tcp.host,
            port=config.tcp.port,
            framer=FramerType.SOCKET if config.has_transactions else FramerType.RTU,
            name=config.name,
            reconnect_delay=0,
            timeout=config.timeout_s,
            retries=0,
            trace_packet=self._sent,
            trace_connect=hung_up,
        )
        return client

    @property
    def connected(self) -> bool:
        """Whether the port is open."""
        return self._client is not None and self._client.connected

    @property
    def echo_known(self) -> bool:
        """Whether an answer to a write can be told from its echo: not before something was read on a serial line."""
        return self._config.has_transactions or self._listener.echoes is not None

    async def read(self, device: str, unit: int, block: Block, timeout_s: float) -> bytes:
        """The data bytes of the answer, exactly those asked for. What the line carries is shown as `device`'s.

        Raises:
            DeviceFaultError: the device refused.
            FrameError: garbage, half a frame or a late answer.
            LinkError: no answer, or the port is gone.
        """
        request = _REQUESTS[block.function](dev_id=unit, address=block.address, count=block.count)
        return await self._exchange(device, request, block, timeout_s)

    async def write(self, device: str, unit: int, order: WriteRequest, timeout_s: float) -> None:
        """Returns once the device has confirmed the write.

        Raises:
            DeviceFaultError: the device refused.
            FrameError: garbage, half a frame or a late answer: nobody knows whether it was written.
            LinkError: `NO_ANSWER` likewise; `CLOSED`: nothing was sent.
        """
        value = order.values[0] if order.function in (5, 6) else len(order.values)
        if order.function == 5:
            value *= 0xFF00
        head = pdu.encode_answer(pdu.Written(order.function, order.address, value))
        self._asked = False
        try:
            await self._exchange(
                device, _write(unit, order), Written(order.function, head), timeout_s
            )
        except LinkError as exc:
            if not self._asked:
                raise LinkError(DriverReason.CLOSED, exc.message, hint=exc.hint) from exc
            if exc.reason is DriverReason.NO_ANSWER:
                raise
            text = f"{exc.message} before it answered"
            raise LinkError(DriverReason.NO_ANSWER, text, hint=exc.hint) from exc

    async def _exchange(
        self, device: str, request: ModbusPDU, block: Expected, timeout_s: float
    ) -> bytes:
        """One request and the answer to it; the answer's bytes after its first two."""
        unit = request.dev_id
        if self._out_of_step:
            await self.open()
        client, listener = self._client, self._listener
        if client is None or not client.connected:
            raise self._gone()
        await self._silence()
        if not client.connected:
            raise self._gone()
        client.ctx.comm_params.timeout_connect = timeout_s
        serial = not self._config.has_transactions
        listener.expect(unit, block, client.ctx.framer.buildFrame(request) if serial else b"")
        self._asked = True
        self._device, self._asking = device, True
        try:
            answer = await client.ctx.execute(False, request)
        except ConnectionException as exc:
            raise self._gone() from exc
        except ModbusException as exc:
            if not client.connected:
                raise self._gone() from exc
            raise self._unanswered(request) from exc
        finally:
            listener.done()
            self._asking = False
            self._show_received()
            if self._config.pause_s:
                self._quiet_until_ns = self._clock.mono_ns() + int(self._config.pause_s * 1e9)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Python 3.11's wait_for, inside pymodbus, swallows a cancellation that meets an answer
            raise asyncio.CancelledError
        listener.late_from.discard(unit)
        if not answer.isError():
            return listener.body
        raise self._refused(answer)

    async def _silence(self) -> None:
        if self._config.pause_s:
            left_ns = self._quiet_until_ns - self._clock.mono_ns()
            if left_ns > 0:
                await self._clock.sleep(left_ns / 1e9)

    def _unanswered(self, request: ModbusPDU) -> DriverError:
        listener, client = self._listener, self._client
        if not self._config.has_transactions and client is not None:
            reason, text = listener.verdict(listener.asked)
        elif listener.heard:
            self._out_of_step = True
            shown = listener.heard[:16].hex(" ")
            reason, text = DriverReason.HALF_FRAME, f"{len(listener.heard)} bytes came: {shown}"
        else:
            self._out_of_step = listener.stale
            reason, text = DriverReason.NO_ANSWER, "no answer"
        if reason is not DriverReason.NO_ANSWER:
            return FrameError(reason, text)
        if request.dev_id in listener.late_from:
            hint = "raise timeout_s above the longest answer"
            text = "its answers come after the time-out"
            return FrameError(DriverReason.LATE_ANSWER, text, hint=hint)
        return LinkError(reason, text)

    def _refused(self, answer: ModbusPDU) -> DriverError:
        if isinstance(answer, Rejected):
            self._out_of_step = self._config.has_transactions
            return FrameError(answer.reason, answer.text)
        code = answer.exception_code
        known = code in set(ExceptionCode)
        name = ExceptionCode(code).name.lower().replace("_", " ") if known else "unknown"
        hint = "compare the profile's addresses and functions with the device's manual"
        text = f"refused with exception {code} ({name})"
        return DeviceFaultError(
            DriverReason.EXCEPTION_CODE,
            text,
            hint=hint if code in (1, 2, 3) else "",
            number=code,
        )

    def _gone(self) -> LinkError:
        return LinkError(DriverReason.CLOSED, f"{self._config.address} hung up")


def _write(unit: int, order: WriteRequest) -> ModbusPDU:
    address, values = order.address, list(order.values)
    match order.function:
        case 5:
            return WriteSingleCoilRequest(dev_id=unit, address=address, bits=[bool(values[0])])
        case 6:
            return WriteSingleRegisterRequest(dev_id=unit, address=address, registers=values)
        case 15:
            bits = [bool(value) for value in values]
            return WriteMultipleCoilsRequest(dev_id=unit, address=address, bits=bits)
        case _:
            return WriteMultipleRegistersRequest(dev_id=unit, address=address, registers=values)


def _link_error(address: str, exc: OSError) -> LinkError:
    text = f"{address}: {exc.strerror or exc}"
    if isinstance(exc, ConnectionRefusedError):
        return LinkError(DriverReason.REFUSED, text, hint="is the device on, and the port right?")
    if exc.errno in (errno.EACCES, errno.EPERM):
        hint = "add the agent's user to the group `dialout`"
        return LinkError(DriverReason.PERMISSION, text, hint=hint)
    if "exclusively lock" in str(exc):
        hint = "one process owns a port; put all devices of a line into one driver"
        return LinkError(DriverReason.REFUSED, f"{address} is in use", hint=hint)
    hint = (
        "`ls -l /dev/serial/by-id` shows the adapters that are plugged in" if "/dev" in text else ""
    )
    return LinkError(DriverReason.NO_PORT, text, hint=hint)
