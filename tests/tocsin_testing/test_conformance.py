"""The conformance kit: every installed driver passes it, and a driver that breaks a rule fails that rule."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path

import pytest

from tests.cli.foreign import lay_out
from tocsin.cli.root import dispatch
from tocsin.sdk.driver import driver_names
from tocsin.testing.conformance import ALL, problems

GOOD = """
import asyncio
from typing import ClassVar
from pydantic import Field
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Channel, DeviceSpec, DriverConfig, ProbeLine, Sample

open_for_ever = []


class Config(DriverConfig):
    device: str = Field(description="Device.")
    connect: str = Field(description="host:port.")
    password: str | None = None  # PASSWORD


class Driver:
    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Config

    def __init__(self, config, context):
        self.config, self.context = config, context
        self.devices = (DeviceSpec(config.device, "weather", (Channel("temperature", "Cel"),)),)

    async def open(self):
        host, port = self.config.connect.split(":")
        try:
            return await asyncio.open_connection(host, int(port))
        except OSError as exc:
            raise LinkError(DriverReason.REFUSED, str(exc)) from exc

    async def probe(self):
        _, writer = await self.open()
        writer.close()
        return [ProbeLine(self.config.device, True, "there")]

    async def run(self):
        reader, writer = await self.open()
        try:
            while line := await reader.readline():
                now = self.context.clock.now_ns()
                self.context.available(self.config.device)
                await self.context.emit(Sample(self.devices[0], now, (float(line),)))
        finally:
            writer.close()
        raise LinkError(DriverReason.CLOSED, "the other side closed")
""".replace("    password: str | None = None  # PASSWORD\n", "")

README = """# NAME
## What it reads
Lines.
## Configuration
`tocsin sample NAME`
## When something goes wrong
- nothing comes: power
## Limits
- one device
"""
SAMPLE = '[[drivers]]\ntype = "NAME"\nname = "one"\ndevice = "t-1"\nconnect = "127.0.0.1:1"\n'
LIVE = """[counterpart]
serve = "lines.txt"
again_s = 0.05
[[drivers]]
type = "NAME"
name = "live"
device = "t-1"
connect = "{address}"
"""

# rule -> (what is broken: file, text, replacement)
BREACHES = {
    "sdk": ("driver.py", "async def probe(self)", "async def prob(self)"),
    "strict": (
        "driver.py",
        "class Config(DriverConfig):\n",
        "class Config(DriverConfig):\n    model_config = {'extra': 'ignore'}\n",
    ),
    "described": ("driver.py", 'Field(description="host:port.")', "Field()"),
    "secrets": (
        "driver.py",
        '    connect: str = Field(description="host:port.")',
        '    connect: str = Field(description="host:port.")\n'
        '    password: str = Field(default="", description="Password.")',
    ),
    "sample": ("sample.toml", 'device = "t-1"\n', ""),
    "no-io": (
        "driver.py",
        "self.config, self.context = config, context",
        "self.config, self.context = config, context; open('/etc/hostname').close()",
    ),
    "devices": ("driver.py", 'Channel("temperature", "Cel")', 'Channel("temperature", "m")'),
    "commands": (
        "driver.py",
        'Channel("temperature", "Cel"),))',
        'Channel("temperature", "Cel"),), '
        'commands=(__import__("tocsin.sdk").sdk.CommandSpec("blink"),))',
    ),
    "readme": ("README.md", "## Limits\n", ""),
    "cases": ("cases/one/case.toml", 'error = "closed"', 'error = "opened"'),
    "probe": ("driver.py", "ProbeLine(self.config.device", 'ProbeLine("other"'),
    "samples": ("driver.py", "(float(line),)", "(float(line), 1.0)"),
    "back-pressure": (
        "driver.py",
        "await self.context.emit(",
        "await asyncio.sleep(0); globals().setdefault('t', []).append(asyncio.ensure_future("
        "self.context.emit(",
    ),
    "cancel": (
        "driver.py",
        "            writer.close()\n        raise",
        "            writer.close()\n            await asyncio.sleep(30)\n        raise",
    ),
    "cancel/port": (
        "driver.py",
        "            writer.close()\n        raise",
        "            open_for_ever.append(writer)\n        raise",
    ),
    "changes": (
        "driver.py",
        "    async def probe(self)",
        "    def reconfigure(self, config):\n        return True\n\n    async def probe(self)",
    ),
    "link-lost": (
        "driver.py",
        'raise LinkError(DriverReason.CLOSED, "the other side closed")',
        "raise RuntimeError('gone')",
    ),
}


def driver_package(folder: Path, name: str, breach: tuple[str, str, str] | None) -> Path:
    files = {
        "__init__.py": "",
        "driver.py": GOOD,
        "sample.toml": SAMPLE,
        "README.md": README,
        "cases/live/case.toml": LIVE,
        "cases/live/lines.txt": "1.5\n" * 3,
        "cases/one/case.toml": LIVE.replace('"live"', '"one"').replace(
            "again_s = 0.05", "close = true"
        )
        + '[expect]\nerror = "closed"\n',
        "cases/one/lines.txt": "1.5\n",
    }
    if breach is not None:
        file, old, new = breach
        assert old in files[file]
        files[file] = files[file].replace(old, new)
        if "ensure_future" in new:
            files[file] = files[file].replace("(float(line),)))", "(float(line),)))))")
    module = name.replace("-", "_")
    texts = {f"{module}/{path}": text.replace("NAME", name) for path, text in files.items()}
    return lay_out(folder, name, texts, {"tocsin.drivers": {name: f"{module}.driver:Driver"}})


# Open ports are a rule of the kit, which looks at the kernel's list; what a library under a driver leaves to the garbage
# collector when it was given up is collected here and not in the middle of another test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("driver", sorted(driver_names()))
async def test_every_installed_driver_keeps_the_contract(driver: str) -> None:
    found = await problems(driver)
    gc.collect()
    assert found == []


async def test_a_small_driver_of_somebody_else_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(driver_package(tmp_path, "good-one", None)))
    assert await problems("good-one") == []


@pytest.mark.parametrize("breach", sorted(BREACHES))
async def test_a_breach_of_a_rule_is_found_by_that_rule(
    breach: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, rule = "bad-" + breach.replace("/", "-"), breach.partition("/")[0]
    monkeypatch.syspath_prepend(str(driver_package(tmp_path, name, BREACHES[breach])))
    found = await problems(name, [rule])
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for writer in sys.modules[f"{name.replace('-', '_')}.driver"].open_for_ever:
        writer.close()
        await writer.wait_closed()
    assert found
    assert all(problem.startswith(f"{rule}: ") for problem in found)


def test_every_rule_is_broken_by_one_of_the_drivers_above() -> None:
    assert {breach.partition("/")[0] for breach in BREACHES} == set(ALL)


async def test_a_driver_without_a_live_case_is_told_what_was_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = driver_package(tmp_path, "lone-one", None)
    (site / "lone_one/cases/live/case.toml").unlink()
    monkeypatch.syspath_prepend(str(site))
    found = await problems("lone-one")
    assert [p.partition(":")[0] for p in found] == [
        "probe", "samples", "back-pressure", "cancel", "changes", "link-lost",
    ]  # fmt: skip
    assert all("there is no cases/live/case.toml" in problem for problem in found)


def test_the_command_prints_a_line_a_rule_and_its_exit_code_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["conformance", "generate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ALL)
    assert all(line.startswith("ok    ") for line in lines)
    monkeypatch.syspath_prepend(str(driver_package(tmp_path, "bad-doc", BREACHES["readme"])))
    assert dispatch(["conformance", "bad-doc", "--rule", "readme"]) == 9
    assert "FAIL  readme        has a README with its four sections\n      no section" in (
        capsys.readouterr().out
    )
    only = ["--rule", "readme", "--rule", "strict"]
    assert dispatch(["conformance", "bad-doc", "--json", *only]) == 9
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [o["rule"] for o in found if not o["ok"]] == ["readme"]
    assert dispatch(["conformance", "bad-doc", "--rule", "raedme"]) == 2
    assert dispatch(["conformance", "modbsu"]) == 4
