"""What scripted days at a confined space measured, and the table of it."""

from __future__ import annotations

import msgspec

from tocsin.cli import output

DAYS = ("cloud there", "cloud away")


class Seen(msgspec.Struct):
    """Seconds, one of each a day, in the order of the days; and the bundles, by permit."""

    breach_to_siren_s: list[float] = []
    tap_to_open_s: list[float] = []
    approval_to_open_s: list[float] = []
    stop_to_lock_s: list[float] = []  # cloud away: from the line's return
    close_to_lock_s: list[float] = []
    bundles: dict[str, str] = {}

    def told(self) -> str:
        """For people: a column a day, "-" for what a day did not come to."""
        rows = [
            _row("gas breach to the siren's coil, s", self.breach_to_siren_s),
            _row("tap to the open lock, s", self.tap_to_open_s),
            _row("last approval to the open lock, s", self.approval_to_open_s),
            _row("stop (cloud away: the line's return) to the lock's revocation, s", self.stop_to_lock_s),
            _row("close to the lock's revocation, s", self.close_to_lock_s),
        ]  # fmt: skip
        table = output.table(["", *DAYS], rows)
        return "\n".join([table, "", *(f"tocsin permit verify {b}" for b in self.bundles.values())])


def _row(what: str, seconds: list[float]) -> list[str]:
    return [what, *(f"{seconds[n]:g}" if n < len(seconds) else "-" for n in range(len(DAYS)))]
