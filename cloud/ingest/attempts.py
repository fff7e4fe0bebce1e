"""Dead letters on their way through ingest once more, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from cloud.ingest.letters import DeadLetters, Posting
from cloud.ingest.reopened import Scope
from cloud.link import Received
from tocsin.errors import StoreUnavailableError

Outcome = Literal["stored", "refused", "waiting", "busy", "cut", "unknown"]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a letter. `refused`: by `reason` and `detail`; it stays, or has become another one."""

    id: int
    outcome: Outcome
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class _Attempt:
    scope: Scope
    future: Future[Told] = field(default_factory=Future)
    findings: list[Posting] = field(default_factory=list)


class Attempts:
    """`begin` from any thread, the rest from the ingest thread."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._open: dict[int, _Attempt] = {}
        self._lock = threading.Lock()
        self._stored: list[int] = []

    def begin(self, row: Mapping[str, Any]) -> tuple[Received, Future[Told]] | None:
        """The message of a letter as it came the first time; None while it is on its way already."""
        names = ("id", "digest", "stream", "lo", "hi", "device", "quantity")
        attempt = _Attempt(Scope(**{name: row[name] for name in names}))
        with self._lock:
            if row["id"] in self._open:
                return None
            self._open[row["id"]] = attempt
        message = Received(row["topic"], row["payload"], row["first_ns"], 0, letter=row["id"])
        return message, attempt.future

    def forget(self, letter: int) -> None:
        """It could not be handed over."""
        with self._lock:
            self._open.pop(letter, None)

    def scope(self, message: Received) -> Scope | None:
        """What the letter is about that this message was reopened for."""
        attempt = self._open.get(message.letter) if message.letter else None
        return attempt.scope if attempt else None

    def found(self, message: Received, posting: Posting) -> None:
        """Something of the message is still, or now, a letter."""
        if attempt := self._open.get(message.letter):
            attempt.findings.append(posting)

    def done(self, messages: Iterable[Received]) -> None:
        """These are committed: letters whose finding came again stay, the others are over."""
        told: list[tuple[Future[Told], Told]] = []
        for message in messages:
            with self._lock:
                attempt = self._open.pop(message.letter, None) if message.letter else None
            if attempt is None:
                continue
            scope, findings = attempt.scope, attempt.findings
            same = [p for p in findings if p.digest == scope.digest]
            if not same:
                self._stored.append(scope.id)
            if again := (same or findings):
                letter = again[0].letter
                outcome = Told(scope.id, "refused", letter.reason.value, letter.detail)
            else:
                outcome = Told(scope.id, "stored")
            told.append((attempt.future, outcome))
        self._remove()
        for future, outcome in told:
            future.set_result(outcome)

    def _remove(self) -> None:
        if not self._stored:
            return
        try:
            self._letters.remove(self._stored)
        except StoreUnavailableError:
            return  # after the next commit; tried once more it would only be found stored
        self._stored.clear()
