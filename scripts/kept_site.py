"""Makes a fixture of today's formats for tests/e2e/test_kept_site.py: `python -m scripts.kept_site SITE.tar.xz`.

The demo's site for some seconds, after readings of a day that goes cold and one detection; a backup; then its spine stands still
while the outbox fills, and everything is killed with -9.
"""

from __future__ import annotations

import signal
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import psutil

from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row
from tocsin.contract.evidence import Detection
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Event
from tocsin.lab import demo as lab
from tocsin.lab.children import tocsin_command
from tocsin.lab.site import GATEWAY, SITE, Site, write_cloud
from tocsin.testing import wait_until_sync
from tocsin.testing.gateway import WireGateway

DAY_NS, HOUR_NS, S = 86_400 * 10**9, 3_600 * 10**9, 10**9
PARTS = ("cloud/state.db", "cloud/state.db-wal", "cloud/store", "edge", "backups")
LEFT_OUT = (".sock", ".lock", "-shm", "reserve")
STILL_S = 9.0


class SiteWithPast(lab.Demo):
    """The demo, and what was stored before its gateway began."""

    def start_edge(self) -> None:
        """Write the past first."""
        port = msgspec.json.decode((self.folder / "cloud/http.json").read_bytes())["broker_port"]
        password = (self.folder / "password.secret").read_text("utf-8")
        layout = Layout("gas-01", "gas", ("h2s", "o2", "co", "ex"), "ffff")
        now_ns = time.time_ns()
        t0 = now_ns // DAY_NS * DAY_NS - 4 * DAY_NS + 10 * HOUR_NS
        with WireGateway(port, GATEWAY, SITE, password) as wire:
            for at in range(0, 200, 50):
                rows = range(at, at + 50)
                wire.put([Row(layout, t0 + n * S, (n / 8, 20.9, 1.0, 0.0)) for n in rows])
            wait_until_sync(lambda: not wire.uncommitted)
        seen = Detection(
            ulid(now_ns), "confirmed", "smoke", 0.9, (0.4, 0.3, 0.1, 0.2), now_ns,
            why=["it rises"], bearing=41.5, bearing_error=1.0,
        )  # fmt: skip
        with WireGateway(port, GATEWAY, SITE, password) as wire:

            def seal(seq: int) -> bytes:
                data = msgspec.to_builtins(seen)
                kind = "vision.detection"
                event = Event(
                    VERSION, SITE, GATEWAY, wire.stream, seq, kind, now_ns, "cam-01", "smoke", data
                )
                return encode(event, "jn")

            wire.put_sealed(1, topics.EVENT, seal)
            wait_until_sync(lambda: not wire.uncommitted)
        cold = self.folder / "cloud/store/cold"
        wait_until_sync(lambda: list(cold.rglob("*.parquet")), 60.0, "a cold day")
        super().start_edge()


def _write_cloud(folder: Path, *, http_port: int, broker: str) -> Path:
    path = write_cloud(folder, http_port=http_port, broker=broker)
    text = path.read_text("utf-8")
    path.write_text(
        text.replace('type = "local"\n', 'type = "local"\nroll_interval_s = 2\n'), "utf-8"
    )
    return path


def _alarm_rang(demo: lab.Demo) -> bool:
    alarms = demo.client.get("/api/v1/alarms?active=false")
    return any(alarm["quantity"] == "h2s" for alarm in alarms)


def _stored(demo: lab.Demo) -> int:
    return int(demo.client.query("SELECT count(*) AS n FROM gas")[0]["n"])


def _kill(demo: lab.Demo) -> None:
    cloud = psutil.Process(demo.cloud.pid)
    parts = cloud.children(recursive=True)
    next(p for p in parts if "cloud.spine" in p.cmdline()).send_signal(signal.SIGSTOP)
    threading.Event().wait(STILL_S)
    for process in (cloud, *parts, psutil.Process(demo.edge.pid)):
        if process.is_running():
            process.kill()


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if member.name.endswith(LEFT_OUT) or not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main(out: Path) -> None:
    """Write the archive."""
    lab.write_cloud = _write_cloud  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SiteWithPast(folder, Site(release_after_s=5.0), broker="mosquitto") as demo:
            demo.start(print)
            wait_until_sync(lambda: _alarm_rang(demo), 120.0, "the alarm")
            backup = ("backup", str(folder / "backups"), "--data", str(folder / "cloud"))
            print(tocsin_command(*backup).decode())
            before = _stored(demo)
            wait_until_sync(lambda: _stored(demo) >= before + 20, 60.0, "more than the backup has")
            _kill(demo)
            with tarfile.open(out, "w:xz", preset=9, dereference=True) as archive:
                for part in PARTS:
                    if (folder / part).exists():
                        archive.add(folder / part, part, filter=_kept)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
