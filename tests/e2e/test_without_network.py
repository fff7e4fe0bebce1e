"""The demo and its console in a network namespace that has only loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in there."""
    folder = tmp_path_factory.mktemp("namespace")
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'ip link set lo up && test "$(ip -o link | wc -l)" = 1 && exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "--net",
            *as_root,
            "sh",
            "-c",
            script,
            "sh",
            sys.executable,
            "-P",
            str(HERE / "in_namespace.py"),
            str(folder),
        ],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "TOCSIN_DATA": str(folder)},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_request_of_the_pages_goes_to_the_console_itself_and_none_fails(
    seen: dict[str, Any],
) -> None:
    assert len(seen["requests"]) > 10
    # A page that is left breaks off its own event stream; that is no failure.
    broken = [
        r for r in seen["requests"] if r.get("failed") and "ERR_ABORTED" not in str(r["failed"])
    ]
    assert broken == []
    assert {
        urlsplit(r["url"]).netloc
        for r in seen["requests"]
        if not r["url"].startswith(("data:", "blob:"))
    } == {seen["own"]}
    assert [r for r in seen["requests"] if r.get("status", 200) >= 400] == []


def test_the_demo_loses_nothing_without_a_network(seen: dict[str, Any]) -> None:
    report = seen["report"]
    assert (report["lost"], report["duplicates"], report["wrong"]) == (0, 0, 0), report["examples"]
    assert report["alarms"] >= 1


def test_the_console_was_pictured(seen: dict[str, Any]) -> None:
    shots = sorted(path.name for path in Path(seen["shots"]).glob("*.png"))
    assert shots == ["alarms.png", "console.png", "device.png", "gateways.png", "map.png"]
