"""Repeats of an alarm: folded into one message with count, first and last time, as long as nobody has seen it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from tocsin.contract.codec import encode
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import Alarm, AlarmChange


class Repeats:
    """The newest REPEATED message of each alarm that was never handed out."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._open: dict[str, tuple[int, Alarm]] = {}  # alarm -> (chunk id, its message)
        self.folded = 0

    def seal(self, handed_out: Collection[int]) -> None:
        """Chunks of these ids are final now."""
        self._open = {a: r for a, r in self._open.items() if r[0] not in handed_out}

    def forget(self) -> None:
        """What there is stays as it is."""
        self._open.clear()

    def note(self, row_id: int, alarm: Alarm) -> None:
        """A new message: further repeats go into it, or it ends those before."""
        if alarm.change is AlarmChange.REPEATED:
            self._open[alarm.alarm] = (row_id, alarm)
        else:
            self._open.pop(alarm.alarm, None)

    def fold(self, draft: AlarmDraft, seal: Callable[[str, int], Alarm]) -> Alarm | None:
        """Put a repeat into the message there is; None if there is none. `seal` (stream, number) makes it a message."""
        if draft.change is not AlarmChange.REPEATED or draft.alarm not in self._open:
            return None
        row_id, earlier = self._open[draft.alarm]
        merged = _merge(earlier, seal(earlier.stream, earlier.seq))
        payload = encode(merged, "jn")
        self._db.execute(
            "UPDATE chunk SET payload = ?, bytes = ?, t_max = ? WHERE id = ?",
            (payload, len(payload), merged.t, row_id),
        )
        self._open[draft.alarm] = (row_id, merged)
        self.folded += 1
        return merged


def _merge(earlier: Alarm, later: Alarm) -> Alarm:
    fields = {name: getattr(later, name) for name in later.__struct_fields__}
    fields["first_ns"] = earlier.first_ns if earlier.first_ns is not None else earlier.t
    fields["last_ns"] = later.last_ns if later.last_ns is not None else later.t
    fields["n"] = earlier.n + later.n
    return Alarm(**fields)
