"""Small things an outbox file remembers: whose it is, commands carried out, open alarms, ingesters heard, files taken over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from tocsin.errors import OutboxError

_ORDER = "order:"
_ALARM = "alarm:"
_ALARMS_N = "alarms_n"
_TAKEN = "taken:"
_ALL = "all"
KEPT_COMMANDS = 1_000


class Memory:
    """The tables `meta` and `command`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def check_identity(self, site: str, gateway: str) -> None:
        """Make a new file this gateway's own.

        Raises:
            OutboxError: it belongs to another.
        """
        mine = {"site": site, "gateway": gateway}
        found = {key: self._get(key) for key in mine}
        if not any(found.values()):
            for key, value in mine.items():
                self._put(key, value)
        elif found != mine:
            raise OutboxError(
                f"this outbox belongs to gateway {found['gateway']!r} at site {found['site']!r}",
                hint="give the renamed gateway a data_dir of its own",
            )

    def open_since(self) -> str:
        """The power-on in which the file was opened and never closed; empty when it was closed."""
        return self._get("open_since")

    def mark_open(self, power_on: str) -> None:
        """It is in use; an empty text when it is closed."""
        self._put("open_since", power_on)

    def commands(self) -> tuple[dict[str, int], int]:
        """Ids of commands that were carried out with the time until which they are valid, and since when all are known."""
        known = dict(self._db.execute("SELECT id, expires_ns FROM command").fetchall())
        return known, int(self._get("commands_since") or 0)

    def add_command(self, command_id: str, expires_ns: int, now_ns: int) -> None:
        """A command is carried out; those that nobody can send any more are forgotten, but not the newest.

        A clock that is years ahead for a while must not make a command new.
        """
        self._db.execute(
            "DELETE FROM command WHERE expires_ns <= ? AND id NOT IN"
            " (SELECT id FROM command ORDER BY expires_ns DESC LIMIT ?)",
            (now_ns, KEPT_COMMANDS),
        )
        row = (command_id, expires_ns)
        self._db.execute("INSERT OR REPLACE INTO command VALUES (?, ?)", row)

    def note_order(self, command_id: str, note: str) -> None:
        """A command without a result yet; an empty note drops it."""
        if note:
            self._put(_ORDER + command_id, note)
        else:
            self._db.execute("DELETE FROM meta WHERE key = ?", (_ORDER + command_id,))

    def orders(self) -> dict[str, str]:
        """Notes of commands without a result, oldest first."""
        return self._named(_ORDER)

    def alarms(self) -> tuple[list[str], int]:
        """The open alarms' states, and which writing of them it was."""
        return list(self._named(_ALARM).values()), int(self._get(_ALARMS_N) or 0)

    def note_alarms(self, states: Mapping[str, str], n: int) -> None:
        """What has become of these alarms; an empty state drops it."""
        for name, state in states.items():
            if state:
                self._put(_ALARM + name, state)
            else:
                self._db.execute("DELETE FROM meta WHERE key = ?", (_ALARM + name,))
        self._put(_ALARMS_N, str(n))

    def replace_alarms(self, states: Mapping[str, str], n: int) -> None:
        """These are all."""
        gone = self._named(_ALARM).keys() - states.keys()
        self.note_alarms({**dict.fromkeys(gone, ""), **states}, n)

    def lost_commands(self, now_ns: int) -> None:
        """What was carried out before now may be forgotten."""
        self._put("commands_since", str(now_ns))

    def is_taken_over(self, file: str) -> bool:
        """Whether all of a file that was set aside is in this one, and told."""
        return self._get(_TAKEN + file) == _ALL

    def note_taken_over(self, file: str) -> None:
        """It is. Never forgotten: a power cut may undo that the file was renamed."""
        self._put(_TAKEN + file, _ALL)

    def note_taken(self, file: str, held_id: int) -> bool:
        """This part of what another `file` holds without a time is taken over now; False: it was before."""
        if not file:  # one that does not tell which it is
            return True
        if held_id <= int(self._get(_TAKEN + file) or 0):
            return False
        self._put(_TAKEN + file, str(held_id))
        return True

    def told_note(self) -> str:
        """The last note of what was given up whose gap marker is in this file."""
        return self._get("told_note")

    def save_told_note(self, note: str) -> None:
        """It is."""
        self._put("told_note", note)

    def ingesters(self) -> list[str]:
        """Everyone who ever sent a commit-ack."""
        return self._get("ingesters").split()

    def save_ingesters(self, names: Iterable[str]) -> None:
        """Remember them."""
        self._put("ingesters", " ".join(sorted(names)))

    def _named(self, prefix: str) -> dict[str, str]:
        rows = self._db.execute(
            "SELECT key, value FROM meta WHERE key >= ? AND key < ? ORDER BY key",
            (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
        ).fetchall()
        return {key.removeprefix(prefix): value for key, value in rows}

    def _get(self, key: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def _put(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
