"""The demo's live picture in the terminal: every series with value, unit, age and quality, and the active alarms."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tocsin.contract.quality import Quality, Severity, severity
from tocsin.lab.children import LabError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from tocsin.lab.demo import Demo

STALE_S = 5.0


class LiveSummary:
    """Redrawn by `refresh`; does nothing where nobody looks."""

    def __init__(self, run: Demo, *, enabled: bool) -> None:
        self._run, self._enabled = run, enabled
        self._live: Live | None = None

    def __enter__(self) -> LiveSummary:
        if self._enabled:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def refresh(self, left_s: float | None) -> None:
        """Fetch and draw; a cloud that does not answer is said, not hidden."""
        if self._live is None:
            return
        try:
            last = self._run.client.get("/api/v1/last")
            alarms = self._run.client.get("/api/v1/alarms?active=true")
        except LabError as exc:
            self._live.update(f"the cloud does not answer: {exc.message}", refresh=True)
            return
        left = "" if left_s is None else f"   {max(0.0, left_s):.0f} s left"
        self._live.update(picture(self._run.console_url + left, last, alarms), refresh=True)


def picture(title: str, last: list[dict[str, Any]], alarms: list[dict[str, Any]]) -> Group:
    """What is drawn; alarms come first, since a small terminal cuts off below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    for heading in ("device", "quantity", "value", "unit", "age", "quality"):
        table.add_column(heading, justify="right" if heading in ("value", "age") else "left")
    now_ns = time.time_ns()
    for item in sorted(last, key=lambda i: (i["device"], i["quantity"])):
        age_s = (now_ns - item["time_ns"]) / 1e9
        q = int(item.get("q") or 0)
        word = "good" if q == 0 else Quality(q).name.lower() if q in set(Quality) else str(q)
        stale = age_s > STALE_S
        cells = (
            item["device"],
            item["quantity"],
            _short(item["value"]),
            item.get("unit") or "",
            f"{age_s:.1f} s" + (" old" if stale else ""),
            word,
        )
        # As Text: rich takes "[ppm]" in a plain string for markup and prints nothing.
        style = "dim" if stale else "red" if severity(q) is Severity.BAD else ""
        table.add_row(*map(Text, cells), style=style)
    lines = [
        Text(
            f"ALARM level {a['level']}: {a['device']} {a['quantity']} {_short(a.get('value'))}"
            f" (limit {_short(a.get('limit'))}) {a.get('state', '')}",
            style="bold red",
        )
        for a in alarms
    ]
    return Group(*lines, table)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
