"""A cloud under measurement: started in a folder of its own, asked over HTTP, its processes weighed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError, Usage, cloud_processes, tocsin_command
from tocsin.lab.client import ConsoleClient
from tocsin.lab.demo import wait_http

PER_LOOK = 10


class ProcessFigures(msgspec.Struct, frozen=True):
    """One process over the measured window."""

    cpu_us_per_reading: float
    cpu_share: float
    peak_rss_mb: float


class Count(msgspec.Struct, frozen=True):
    """What was read back, in readings, by the numbers they were sent with."""

    readings_read_back: int
    wrong: int
    missing: int
    duplicates: int


class MeasuredCloud:
    """`tocsin cloud run` with its broker and the local store; `children` ends it.

    Raises:
        LabError: it did not start.
    """

    def __init__(
        self,
        folder: Path,
        children: Children,
        *,
        broker: str = "auto",
        broker_port: int = 0,
        gateways: tuple[str, ...] = (site.GATEWAY,),
        scopes: tuple[str, ...] = ("read", "query"),
    ) -> None:
        config = site.write_cloud(
            folder, http_port=0, broker=broker, broker_port=broker_port, gateways=gateways
        )
        self.folder, self._children = folder, children
        self.child = children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(config))
        http = wait_http(folder / "cloud" / "http.json", children, self.child)
        self.broker_port, self.broker_kind = int(http["broker_port"]), str(http["broker_kind"])
        asked = [word for scope in scopes for word in ("--scope", scope)]
        where = ("--data", str(folder / "cloud"), "--json")
        made = tocsin_command("token", "create", "bench", *asked, *where)
        self.client = ConsoleClient(str(http["url"]), msgspec.json.decode(made)["token"])

    def rows(self) -> int:
        """Stored rows of measurement `bench`."""
        try:
            return int(self.client.query("SELECT count(*) AS n FROM bench")[0]["n"])
        except LabError:
            return 0  # the table does not exist before the first row

    def settle(self, timeout_s: float = 60.0) -> None:
        """Until the number of stored rows stands still for a second."""
        deadline, last = time.monotonic() + timeout_s, -1
        while time.monotonic() < deadline:
            rows = self.rows()
            if rows == last:
                return
            last = rows
            time.sleep(1.0)
            self._children.check()

    def usages(self, **others: Child) -> dict[str, Usage]:
        """What the cloud's processes, and these, have used."""
        found = {name: child.usage() for name, child in others.items()}
        for kind, process in cloud_processes(self.child).items():
            times, memory = process.cpu_times(), process.memory_info()
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            peak_kb = int(status.split("VmHWM:")[1].split()[0])
            found[kind] = Usage(times.user + times.system, memory.rss, peak_kb * 1024)
        return found

    def count(self, fits: str, per_row: int, sent: dict[str, int]) -> Count:
        """Compares the rows of these gateways with the numbers 0 to n - 1 that each sent; `fits` is SQL, true of a right row."""
        gateways = ", ".join(f"'{name}'" for name in sent)
        found = self.client.query(
            "SELECT gateway, count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS hi, "
            f"sum(CASE WHEN {fits} THEN 0 ELSE 1 END) AS bad FROM bench "
            f"WHERE gateway IN ({gateways}) GROUP BY gateway"
        )
        there = {str(row["gateway"]): row for row in found}
        distinct = {name: int(there[name]["d"]) if name in there else 0 for name in sent}
        beyond = sum(int(row["hi"]) >= sent[name] for name, row in there.items())
        rows = sum(int(row["n"]) for row in found)
        return Count(
            readings_read_back=rows * per_row,
            wrong=(sum(int(row["bad"]) for row in found) + beyond) * per_row,
            missing=sum(max(0, n - distinct[name]) for name, n in sent.items()) * per_row,
            duplicates=(rows - sum(distinct.values())) * per_row,
        )


class NewestAge:
    """How old a value is when it can be seen, from the newest stamp that each look finds."""

    def __init__(self) -> None:
        self.ages_ms: list[float] = []
        self._seen_ns = 0

    def look(self, newest_ns: int) -> None:
        """Rows stamped between the last look's newest and this one's became visible in between: an even sample of them."""
        now_ns, seen_ns = time.time_ns(), self._seen_ns
        if 0 < seen_ns < newest_ns:
            steps = range(1, PER_LOOK + 1)
            self.ages_ms += [
                (now_ns - seen_ns - (newest_ns - seen_ns) * i / PER_LOOK) / 1e6 for i in steps
            ]
        self._seen_ns = newest_ns


def figures(
    before: dict[str, Usage], after: dict[str, Usage], readings: int, seconds: float
) -> dict[str, ProcessFigures]:
    """What each process used between the two looks."""
    return {
        name: ProcessFigures(
            round((after[name].cpu_s - used.cpu_s) * 1e6 / readings, 3) if readings else 0.0,
            round((after[name].cpu_s - used.cpu_s) / seconds, 3),
            round(after[name].peak_rss_bytes / 1e6, 1),
        )
        for name, used in before.items()
        if name in after
    }


def process_table(processes: dict[str, ProcessFigures]) -> str:
    """For people."""
    from tocsin.cli.output import table

    return table(
        ["process", "CPU us/reading", "of one core", "peak MB"],
        [
            [n, f"{p.cpu_us_per_reading:.2f}", f"{p.cpu_share:.0%}", f"{p.peak_rss_mb:.0f}"]
            for n, p in processes.items()
        ],
    )


def settings_line(settings: dict[str, Any]) -> str:
    """For people."""
    return "settings: " + ", ".join(f"{k} {v}" for k, v in settings.items())
