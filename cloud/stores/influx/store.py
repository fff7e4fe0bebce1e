"""Blocks to InfluxDB, then their ledger. A resend writes the same points again, which changes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

import numpy as np

from cloud.stores import Block, LedgerEntry, Rejected, Told, nobody, with_refusals
from cloud.stores.influx.answers import Answer
from cloud.stores.influx.lines import Conflict, LineEncoder
from cloud.stores.influx.transport import InfluxOptions, Transport
from tocsin.contract.ranges import RangeSet
from tocsin.errors import StoreUnavailableError

MAX_LINES = 5000
REFUSALS = (400, 413, 422)
_FIELD = (  # what InfluxDB 1 and 2, and 3 say of a field that has another type
    re.compile(r'field "?\\?"?(\w+)\\?"? on measurement .* is type (\w+), already', re.I),
    re.compile(r"column type for column '?\"?(\w+)'?\"?, expected .* got [\w:]*?(\w+)\b", re.I),
)
_CODES = {"float": "f", "integer": "i", "boolean": "b", "string": "s"}
_HINTS = {
    401: "check the token or account in [store]",
    403: "the token may not write to this bucket",
    400: "a page came instead of InfluxDB's answer: is the url right?",
    404: "the bucket or database does not exist, or this server needs another `version`",
}

Settled = dict[tuple[str, str], tuple[RangeSet, RangeSet]]
Line = tuple[int, int, str]  # block, row, text


class LedgerKeeper(Protocol):
    """Where settled ranges are kept, since InfluxDB has no transactions."""

    def load(self, gateways: Collection[str] | None = None) -> Settled:
        """(gateway, stream) -> (settled, of them rejected); of these gateways, or all."""
        ...

    def append(self, entries: list[LedgerEntry]) -> None:
        """Make `entries` durable."""
        ...


class InfluxStore:
    """Called from one thread. `bad` lines are found by halving, so that the good ones of a body are stored."""

    shared = True

    def __init__(self, options: InfluxOptions, keeper: LedgerKeeper) -> None:
        self._transport = Transport(options)
        self._keeper = keeper
        self._encoder = LineEncoder()
        self._conflicts: frozenset[Conflict] = frozenset()

    def write(
        self, blocks: list[Block], ledger: list[LedgerEntry], told: Told = nobody
    ) -> list[Rejected]:
        """Points first, ledger after them.

        Raises:
            StoreUnavailableError: not all is stored and the ledger is unchanged; try again later.
        """
        rejected = [
            Rejected(i, int(row), name, "not-finite: NaN or infinity")
            for i, block in enumerate(blocks)
            for name, column in block.columns.items()
            if column.type == "f"
            for row in np.flatnonzero(~np.isfinite(column.values.astype(np.float64, copy=False)))
            if column.valid is None or column.valid[row]
        ]
        lines = self._lines(blocks)
        for start in range(0, len(lines), MAX_LINES):
            rejected += self._send(blocks, lines[start : start + MAX_LINES])
        rejected += [
            Rejected(i, None, name, "type-conflict: InfluxDB holds another type for this field")
            for i, block in enumerate(blocks)
            for name, column in block.columns.items()
            if (block.measurement, name, column.type) in self._conflicts
        ]
        if rejected:
            told(rejected)
        if ledger:
            self._keeper.append(with_refusals(ledger, blocks, rejected))
        return rejected

    def fill(self, blocks: list[Block]) -> list[Rejected]:
        """Fields of points that exist. What was refused before is tried again: someone may have mended it."""
        self._conflicts = frozenset()
        refused = self.write(blocks, [])
        return [replace(r, column=r.column or ",".join(blocks[r.block].columns)) for r in refused]

    def ledger(self, gateways: Collection[str] | None = None) -> Settled:
        """As kept, by us and by others."""
        return self._keeper.load(gateways)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _lines(self, blocks: list[Block]) -> list[Line]:
        return [
            (i, row, text)
            for i, block in enumerate(blocks)
            for row, text in enumerate(self._encoder.encode(block, self._conflicts))
            if text
        ]

    def _send(
        self, blocks: list[Block], lines: list[Line], *, searching: bool = True
    ) -> list[Rejected]:
        """Lines that InfluxDB names are tried alone; where it names none, or after that, halves are tried."""
        if not lines:
            return []
        texts = [text for _, _, text in lines]
        answer = self._transport.post("\n".join(texts).encode())
        if 200 <= answer.status < 300:
            return []
        if answer.status not in REFUSALS or answer.foreign:
            raise unavailable(answer)
        if answer.status != 413 and self._note_conflict(blocks, lines, answer.message):
            return self._send(blocks, self._again(blocks, lines))
        if len(lines) == 1 or answer.dropped == len(lines):
            reason = f"influxdb-{answer.status}: {answer.message}"
            return [Rejected(block, row, None, reason) for block, row, _ in lines]
        suspects = answer.suspects(texts) if searching else []
        if 0 < len(suspects) <= len(lines) // 2:
            alone = [found for i in suspects for found in self._send(blocks, [lines[i]])]
            rest = [line for i, line in enumerate(lines) if i not in set(suspects)]
            return alone + self._send(blocks, rest, searching=False)
        middle = len(lines) // 2
        return self._send(blocks, lines[:middle]) + self._send(blocks, lines[middle:])

    def _note_conflict(self, blocks: list[Block], lines: list[Line], message: str) -> bool:
        """Whether the answer names a field of ours whose type is taken, which was not known before."""
        found = next((match for form in _FIELD if (match := form.search(message))), None)
        if found is None or (code := _CODES.get(found[2].lower())) is None:
            return False
        concerned = {
            (blocks[i].measurement, found[1], code)
            for i, _, _ in lines
            if (column := blocks[i].columns.get(found[1])) is not None and column.type == code
        }
        named = {c for c in concerned if c[0] in message} or concerned
        if not named - self._conflicts:
            return False
        self._conflicts |= named
        return True

    def _again(self, blocks: list[Block], lines: list[Line]) -> list[Line]:
        encoded = {i: self._encoder.encode(blocks[i], self._conflicts) for i, _, _ in lines}
        return [(i, row, encoded[i][row]) for i, row, _ in lines if encoded[i][row]]


def unavailable(answer: Answer) -> StoreUnavailableError:
    """What to say of an answer that is neither yes nor no."""
    return StoreUnavailableError(
        f"InfluxDB answered {answer.status}: {answer.message or 'without a reason'}",
        hint=_HINTS.get(answer.status, ""),
        retry_after_s=answer.retry_after_s,
    )
