"""Every command on the page for ops is run as it stands there, on a running site."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.reference_pages import ROOT
from tests.cloud.stores.site import TOCSIN, Site
from tocsin.testing import run_process, wait_until_sync

PAGE = (ROOT / "docs" / "ops.md").read_text("utf-8")
BLOCKS = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S)).splitlines()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.S)
COMMANDS = [
    line.split("  #")[0].strip()
    for line in [*BLOCKS, *re.findall(r"`(tocsin [^`]+)`", PROSE)]
    if line.startswith("tocsin ")
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("ops"), '[store]\ntype = "local"') as running:
        running.call("write_lp", body="water,site=plant,device=river-1 level=1.5")
        wait_until_sync(lambda: len(running.call("devices")) > 0, 60.0, "a device")
        running.more_answers(10)
        wait_until_sync(lambda: running.call("counters").get("rows", 0) > 0, 60.0, "rows")
        first = ["backup", str(running.folder / "tocsin"), "--data", str(running.data)]
        with run_process([*TOCSIN, *first]) as done:  # for those that look at one
            assert done.wait(60.0) == 0, done.stderr
        yield running


def test_the_page_names_commands() -> None:
    assert len(COMMANDS) > 8
    assert (
        "tocsin cloud run -c /etc/tocsin/cloud.toml" in COMMANDS
    )  # what the site of these tests runs


# `run` is what the site does, and `rollback` is for one that stands still: see tests/e2e/test_upgrade.py
@pytest.mark.parametrize("command", [c for c in COMMANDS if not {"run", "rollback"} & {*c.split()}])
def test_each_command_does_what_the_page_says(command: str, site: Site, tmp_path: Path) -> None:
    for place, ours in (
        ("/etc/tocsin/cloud.toml", site.folder / "cloud.toml"),
        ("/var/backups", site.folder),
        ("/var/lib", tmp_path),
    ):
        command = command.replace(place, str(ours))
    words = shlex.split(command)
    if words[1] == "edge":
        words += ["--config", str(site.folder / "gateway.toml")]
    with run_process([*TOCSIN, *words[1:]], env=site.env, cwd=tmp_path) as done:
        assert done.wait(60.0) == 0, done.stderr
    if "parquet" in command:
        assert (tmp_path / "water.parquet").stat().st_size > 0
    else:
        assert done.stdout


def test_every_file_and_key_on_the_page_exists() -> None:
    for path in re.findall(r"(?<![/\w])configs/[\w./-]+\w/?", PAGE):
        assert (ROOT / path).exists(), path
    keys = (ROOT / "docs" / "reference" / "keys" / "gateway.md").read_text("utf-8")
    for key in re.findall(r"`(outbox\.\w+)`", PAGE):
        assert f"`{key}`" in keys
