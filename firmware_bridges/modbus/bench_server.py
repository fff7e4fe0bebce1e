"""pymodbus's own TCP server with counting registers, for benches: another implementation than our virtual devices."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


class CountingUnit:
    """A unit whose read number n answers n, n + 1, n + 2, ... (16 bits) from its first register on."""

    def __init__(self, unit: int, registers: int) -> None:
        self.unit = unit
        self.reads = 0
        self.device = SimDevice(
            id=unit,
            simdata=[SimData(0, values=[0] * registers, datatype=DataType.REGISTERS)],
            action=self._count,
        )

    async def _count(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if set_values is None and function_code in (3, 4):
            self.reads += 1
            first = self.reads
            low = address - start_address
            current_registers[low : low + count] = [
                (first + i) & 0xFFFF for i in range(low, low + count)
            ]
        return None


async def serve(host: str, units: int, registers: int) -> None:
    """Opens one port, says so, answers until told to end, then says how many reads each unit answered."""
    counting = [CountingUnit(i + 1, registers) for i in range(units)]
    server = ModbusTcpServer([unit.device for unit in counting], address=(host, 0))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopped.set)
    await server.serve_forever(background=True)
    transport = server.transport
    if not isinstance(transport, asyncio.Server):
        raise SystemExit("the server did not open its port")
    port = transport.sockets[0].getsockname()[1]
    _say({"ready": True, "device": "bench", "port": f"{host}:{port}", "units": units})
    await stopped.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]
    _say({"reads": {str(unit.unit): unit.reads for unit in counting}, "t_ns": time.time_ns()})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Runs one server process."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.modbus.bench_server", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--registers", type=int, default=40)
    given = parser.parse_args()
    asyncio.run(serve(given.host, given.units, given.registers))


if __name__ == "__main__":
    main()
