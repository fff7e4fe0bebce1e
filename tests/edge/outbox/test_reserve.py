"""An outbox opens on a disk that others have filled: a gateway whose disk is full still sounds its alarms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.own_mounts import OWN_MOUNTS

SCRIPT = """
import asyncio, subprocess, sys
from pathlib import Path

from tests.own_mounts import OWN_MOUNTS
from edge.options import OutboxOptions
from edge.outbox import Outbox
from tocsin.sdk import SystemClock

place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=True)

async def opened():
    outbox = await Outbox.open(
        place / "outbox", site="east", gateway="gw-1", clock=SystemClock(), options=OutboxOptions()
    )
    try:
        await outbox.put_event("tried", "", "is it durable?")
    finally:
        await outbox.aclose()

def fill():
    with (place / "others").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            pass

asyncio.run(opened())
print("reserve", (place / "outbox" / "reserve").stat().st_size)
fill()
asyncio.run(opened())
print("opened; reserve left:", (place / "outbox" / "reserve").exists())
(place / "others").unlink()
asyncio.run(opened())
print("again", (place / "outbox" / "reserve").stat().st_size)
"""


def test_on_a_full_disk_the_reserve_is_given_up_and_taken_again_later(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OWN_MOUNTS, sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "reserve 1048576",
        "opened; reserve left: False",
        "again 1048576",
    ], done.stderr
