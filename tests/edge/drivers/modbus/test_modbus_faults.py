"""Devices that answer with an exception, garbage, half a frame, too late or not at all: named, counted, on their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tocsin.contract.quality import Quality
from tocsin.testing import wait_until

HEAD = "four-gas-head"
KINDS = [
    ("exception", "exception-code"),
    ("garbage", "garbage"),
    ("half", "half-frame"),
    ("silent", "no-answer"),
    ("wrong-unit", "garbage"),
    ("late", "late-answer"),
]
ON_TCP = ("garbage", "half", "late")


def _devices(*numbers: int, profile: str = HEAD, period_s: float = 0.05) -> list[dict[str, Any]]:
    return [
        {"id": f"d{n}", "unit_id": n, "profile": profile, "period_s": period_s} for n in numbers
    ]


def _truth(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for text in (folder / "truth.ndjson").read_text("utf-8").splitlines():
        line = json.loads(text)
        if "values" in line:
            found.setdefault(line["device"], []).append(line["values"])
    return found


def _all_true(heard: Any, folder: Path, device: str) -> bool:
    """Every sample that was taken is one that the device's ledger holds, in its order."""
    truth = iter(_truth(folder)[device])
    for sample in heard.good(device):
        taken = {c.quantity: v for c, v in zip(sample.spec.channels, sample.values, strict=True)}
        if not any(line == taken for line in truth):
            return False
    return True


Case = tuple[str, str, bool]
CASES: list[Case] = [(*pair, False) for pair in KINDS]
CASES += [(*pair, True) for pair in KINDS if pair[0] in ON_TCP]


class Line:
    """One line with a fault in its middle device: its port, its folder, what the driver told, what went wrong."""

    def __init__(self, folder: Path, port: str, heard: Any) -> None:
        self.folder, self.port, self.heard = folder, port, heard
        self.error: BaseException | None = None


@pytest.fixture(scope="module")
def lines(
    tmp_path_factory: pytest.TempPathFactory,
    line_starter: Any,
    new_heard: Any,
    config: Any,
    running: Any,
) -> Iterator[dict[Case, Line]]:
    """Every case on a line of its own, all at once: most of their time is waiting."""

    async def play(line: Line, reason: str) -> None:
        heard = line.heard
        devices = _devices(1, 2, 3)
        devices[1]["timeout_s"] = 0.15
        settings = config(line.port, *devices, backoff_max_s=0.5, timeout_s=2.0)
        async with running(settings, heard):
            await wait_until(lambda: reason in heard.of("d2"))
            before = len(heard.good("d1"))
            await wait_until(lambda: len(heard.good("d1")) >= before + 3)
            await wait_until(lambda: heard.of("d2")[-1] == "available" and len(heard.of("d2")) > 2)
            recovered = len(heard.good("d2"))
            await wait_until(lambda: len(heard.good("d2")) >= recovered + 3)

    async def play_all(found: dict[Case, Line]) -> None:
        plays = (play(line, reason) for (_, reason, _), line in found.items())
        for line, error in zip(
            found.values(), await asyncio.gather(*plays, return_exceptions=True), strict=True
        ):
            line.error = error

    with ExitStack() as stack:
        found: dict[Case, Line] = {}
        for kind, reason, tcp in CASES:
            folder = tmp_path_factory.mktemp(kind)
            start = stack.enter_context(line_starter(folder))
            fault = f"unit=2,kind={kind},after=3,times=4,delay=0.2"
            units = [(n, "gas-head", HEAD) for n in (1, 2, 3)]
            _, port = start(*units, tcp=tcp, faults=(fault,))
            found[kind, reason, tcp] = Line(folder, port, new_heard())
        asyncio.run(play_all(found))
        yield found


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0]}-{'tcp' if case[2] else 'serial'}"
)
def test_a_faulty_device_is_named_counted_and_leaves_its_neighbours_alone(
    case: Case, lines: dict[Case, Line]
) -> None:
    line, (_, reason, _) = lines[case], case
    if line.error is not None:
        raise line.error
    heard = line.heard
    assert heard.counts[reason] >= 1
    assert heard.of("d1") == ["available"]
    assert heard.of("d3") == ["available"]
    assert heard.of("d2").count("available") == 2
    gaps = [s for s in heard.samples if s.spec.id == "d2" and s not in heard.good("d2")]
    assert [set(gap.quality or ()) for gap in gaps] == [{int(Quality.COMMS)}]
    for device in ("d1", "d2", "d3"):
        assert _all_true(heard, line.folder, device)


@pytest.mark.parametrize("kind", ["split", "echo"])
async def test_split_answers_and_an_echoing_adapter_lose_nothing(
    kind: str, heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    _, port = start_line((1, "gas-head", HEAD), faults=(f"unit=1,kind={kind}",))
    async with running(config(port, *_devices(1), timeout_s=5.0), heard):
        await wait_until(lambda: len(heard.good("d1")) >= 5)
    assert heard.of("d1") == ["available"]
    assert _all_true(heard, tmp_path, "d1")


async def test_a_damaged_checksum_is_never_accepted(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    _, port = start_line((1, "gas-head", HEAD), faults=("unit=1,kind=crc",))
    async with running(config(port, *_devices(1), timeout_s=0.1), heard):
        await wait_until(lambda: heard.counts["garbage"] >= 3)
    assert heard.samples == []


async def test_a_device_that_is_always_late_never_has_an_old_answer_taken_for_a_new_one(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    units = [(n, "gas-head", "four-gas-head-int") for n in (1, 2)]
    _, port = start_line(*units, faults=("unit=2,kind=late,delay=0.13",))
    devices = _devices(1, 2, profile="four-gas-head-int")
    devices[1]["timeout_s"] = 0.1
    async with running(config(port, *devices, backoff_max_s=0.06, timeout_s=2.0), heard):
        await wait_until(lambda: heard.counts["late-answer"] + heard.counts["no-answer"] >= 6)
        await wait_until(lambda: "late-answer" in heard.of("d2"))
    assert heard.good("d2") == []
    assert heard.of("d1") == ["available"]


async def test_nine_dead_devices_take_no_more_than_their_share_from_a_live_one(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    _, port = start_line((10, "gas-head", HEAD))
    devices = [{**d, "timeout_s": 0.05} for d in _devices(*range(1, 10))] + _devices(10)
    async with running(config(port, *devices, timeout_s=2.0, backoff_max_s=0.2), heard):
        await wait_until(lambda: heard.counts["no-answer"] >= 12)
        counted, seen = heard.counts["no-answer"], len(heard.good("d10"))
        await wait_until(lambda: heard.counts["no-answer"] >= counted + 4)
        reads = len(heard.good("d10")) - seen
    assert reads >= 4 * 4, "between two tries of dead devices the live one keeps its turns"
    assert heard.of("d10") == ["available"]


async def test_a_block_that_the_device_refuses_leaves_the_others(
    heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    profile = tmp_path / "wider.toml"
    profile.write_text(
        'schema = 1\n[profile]\nname = "wider"\nmeasurement = "gas"\n'
        '[[points]]\nquantity = "h2s"\naddress = 4\ntype = "f32"\nunit = "[ppm]"\n'
        '[[points]]\nquantity = "so2"\naddress = 400\nunit = "[ppm]"\n',
        "utf-8",
    )
    _, port = start_line((1, "gas-head", HEAD))
    async with running(config(port, *_devices(1, profile=str(profile))), heard):
        await wait_until(lambda: len(heard.samples) >= 3)
    sample = heard.samples[-1]
    assert isinstance(sample.values[0], float)
    assert sample.values[1] is None
    assert sample.quality == (0, int(Quality.COMMS))
    assert heard.of("d1") == ["exception-code"]
