"""The ingest thread: decode, store in group commits, then acknowledge. Alarms come to it already kept."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cloud.ingest import piecemeal
from cloud.ingest.attempts import Attempts
from cloud.ingest.claims import Claims
from cloud.ingest.decode import View, decode
from cloud.ingest.decoded import Decoded, Letter
from cloud.ingest.event_rows import event_block, gap_blocks
from cloud.ingest.gathered import Gathered
from cloud.ingest.joined import plain
from cloud.ingest.last import Key, LastValues
from cloud.ingest.ledger import Ledger, merged, numbers_of
from cloud.ingest.letters import DeadLetters, Posting, folded, posting_of
from cloud.ingest.neighbours import Answers, Heard, Numbers, Wire
from cloud.ingest.options import IngestOptions
from cloud.ingest.refusals import letters_of
from cloud.ingest.reopened import Everything, reopen
from cloud.ingest.stamps import stamps_of
from cloud.ingest.suspects import DEADLY, Suspects
from cloud.ingest.unknown import UnknownFields
from cloud.link import Handover, Received
from cloud.stores import Block, LedgerEntry, Rejected, Store, with_refusals
from tocsin.contract import topics
from tocsin.contract.evidence import EvidencePart
from tocsin.contract.messages import Event, Health
from tocsin.contract.ranges import RangeSet
from tocsin.errors import StoreUnavailableError, WireReason
from tocsin.sdk import Clock

STORE_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
BAD_CRC_PATIENCE = 3  # so often the same bytes, and the fault is at rest and not on the way
IDLE_S = 0.5
MAX_POSTINGS = 1000  # letters held for one transaction
SUSPECT = 4  # deliveries by a log: from here processed alone
OTHERS_NS = 1_000_000_000  # so old may be what is known of what others settled; gateways send nothing again before


class Ingest:
    """`run` in a thread of its own until `stop`. After a stop everything in hand was stored or left unacknowledged."""

    def __init__(
        self,
        options: IngestOptions,
        *,
        store: Store,
        sites: dict[str, str],
        handover: Handover,
        wire: Wire,
        letters: DeadLetters,
        last: LastValues,
        presence: Heard,
        answers: Sequence[Answers],
        numbers: Numbers,
        clock: Clock,
        log: logging.Logger,
        on_stored: Callable[[set[Key]], None] = lambda _keys: None,
        on_speaking: Callable[[str], None] = lambda _gateway: None,
        on_part: Callable[[EvidencePart], None] = lambda _part: None,
        on_health: Callable[[Health], None] = lambda _health: None,
        suspects: Suspects | None = None,
    ) -> None:
        self._options, self._store, self._sites = options, store, sites
        self._handover, self._wire, self._letters = handover, wire, letters
        self._last, self._presence, self._answers = last, presence, answers
        self._numbers = numbers
        self._clock, self._log = clock, log
        self._on_stored, self._on_speaking, self._on_part = on_stored, on_speaking, on_part
        self._on_health = on_health
        self._max_future_ns = int(options.max_future_s * 1e9)
        self._suspects = suspects or Suspects()
        self._ledger = Ledger(store.ledger())
        self._claims = Claims(self._ledger, store, numbers)
        self.attempts = Attempts(letters)
        self._gathered = Gathered()
        self._deferred: list[Received] = []  # counted by the hand-over, like all that is taken
        self._packed: list[Received] = []  # telemetry that is not decoded: there is no room for it
        self._postings: list[Posting] = []
        self._retry_mono = 0
        self._failures = 0
        self._error = self._hint = ""
        self._heard_mono: dict[str, int] = {}  # gateway -> when others' part of its ledger was read
        self._republish = threading.Event()
        self._stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.unknown = UnknownFields()

    def site_of(self, gateway: str) -> str | None:
        """The registered site of a gateway."""
        return self._sites.get(gateway)

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """What of [lo, hi) is new."""
        return self._ledger.missing(gateway, stream, lo, hi)

    def settled_of(self, gateway: str) -> dict[str, tuple[RangeSet, RangeSet]]:
        """stream -> (settled, of them rejected), by whichever ingester, as of the last commit. From any thread.

        Raises:
            StoreUnavailableError: a shared ledger cannot be read; try again later.
        """
        if not self._store.shared:
            return self._ledger.of_gateway(gateway)
        return {stream: pair for (_, stream), pair in self._store.ledger([gateway]).items()}

    def connected(self) -> None:
        """The link stands (again): gateways will be told what is stored. From any thread."""
        self._republish.set()
        self._handover.wake()

    def stop(self) -> None:
        """Store what is in hand, if the store takes it, and end. From any thread."""
        self._stop.set()
        self._handover.close()

    def run(self) -> None:
        """The thread."""
        while not self._stop.is_set():
            messages = self._handover.take(self._patience_s())
            if self._republish.is_set():
                self._republish.clear()
                self._tell_everyone()
            if self._deferred and self._clock.mono_ns() < self._retry_mono:
                self._deferred += messages
                continue
            messages, self._deferred = [*self._deferred, *messages], []
            self._gather(messages)
            if self._is_due():
                self._commit()
        self._gather([*self._deferred, *self._handover.take(0.0)])
        self._commit()

    @property
    def store_error(self) -> str:
        """Why readings wait; "" while they are stored."""
        return self._error

    def _patience_s(self) -> float:
        if not self._gathered.any and not self._deferred:
            return 0.0 if self._packed else IDLE_S
        due = self._gathered.since_mono + self._options.commit_ms * 1_000_000
        return max(max(due, self._retry_mono) - self._clock.mono_ns(), 0) / 1e9

    def _is_due(self) -> bool:
        gathered, now = self._gathered, self._clock.mono_ns()
        if not gathered.any or now < self._retry_mono:
            return False
        late = now - gathered.since_mono >= self._options.commit_ms * 1_000_000
        return late or gathered.rows >= self._options.commit_rows

    def _gather(self, messages: list[Received]) -> None:
        messages = self._as_there_is_room(messages)
        if messages and not self._gathered.any:
            self._gathered.since_mono = self._clock.mono_ns()
        try:
            self._hear_others(messages)
        except StoreUnavailableError as exc:
            self._unavailable(exc)
            self._deferred += messages
            return
        suspects = [m for m in messages if m.deliveries >= SUSPECT]
        random.shuffle(
            suspects
        )  # one that ends the process must not keep the same ones from their turn each time
        messages = [*(m for m in messages if m.deliveries < SUSPECT), *suspects]
        for i, message in enumerate(messages):
            try:
                if self._is_full and message.kind == topics.TELEMETRY:
                    if self._clock.mono_ns() >= self._retry_mono:
                        self._commit()
                    if self._is_full:
                        self._packed.append(message)
                        continue
                if len(self._postings) > MAX_POSTINGS:
                    self._post()
                if message.deliveries < SUSPECT:
                    self._one(message)
                    continue
                if self._clock.mono_ns() >= self._retry_mono:
                    self._commit()
                if (
                    self._clock.mono_ns() < self._retry_mono
                ):  # it waits for the store, and is not to blame
                    self._deferred += messages[i:]
                    return
                self._alone_in_hand(message)
            except StoreUnavailableError as exc:
                self._unavailable(exc)
                self._deferred += messages[i:]
                return

    @property
    def _is_full(self) -> bool:
        """Whether as much is decoded as may wait: deflated telemetry is many times larger then."""
        return self._gathered.weight + self._gathered.joined.weight >= self._options.queue_bytes

    def _as_there_is_room(self, messages: list[Received]) -> list[Received]:
        """What is to be decoded now; telemetry waits as it came while there is no room and no store."""
        telemetry = [m for m in messages if m.kind == topics.TELEMETRY]
        if self._is_full and self._clock.mono_ns() < self._retry_mono:
            self._packed += telemetry
            telemetry = []
        else:
            telemetry, self._packed = [*self._packed, *telemetry], []
        return [*(m for m in messages if m.kind != topics.TELEMETRY), *telemetry]

    def _hear_others(self, messages: list[Received]) -> None:
        """A store with several ingesters: what the others settled of these gateways, lest it be stored twice."""
        if not self._store.shared:
            return
        now_mono = self._clock.mono_ns()
        named = {topics.gateway_of(m.topic) for m in messages} & self._sites.keys()
        due = {g for g in named if now_mono - self._heard_mono.get(g, -OTHERS_NS) >= OTHERS_NS}
        if due:
            self._ledger.hear(self._store.ledger(due))
            self._heard_mono |= dict.fromkeys(due, now_mono)

    def _post(self) -> None:
        """Keep the letters of this commit; they must be safe before their messages are acknowledged."""
        postings, self._postings = self._postings, []
        if not postings:
            return
        try:
            times = self._letters.add(postings)
        except StoreUnavailableError:
            self._postings = postings
            raise
        self.counts["dead_letters"] += len(postings)
        for posting, n in zip(postings, times, strict=True):
            if posting.letter.reason is WireReason.BAD_CRC and n >= BAD_CRC_PATIENCE:
                self._settle_rejected(posting)

    def _settle_rejected(self, posting: Posting) -> None:
        told = posting.letter
        entries = [
            LedgerEntry(posting.gateway, told.stream, lo, hi, rejected=True)
            for lo, hi in self._ledger.missing(posting.gateway, told.stream, told.lo, told.hi)
        ]
        self._ledger.take(entries)
        self._gathered.entries += entries
        self._gathered.told.setdefault(posting.gateway, set()).add(told.stream)

    def _one(self, message: Received) -> None:
        if not self._joins(message):
            self._alone(message)

    def _alone_in_hand(self, message: Received) -> None:
        """A suspect: whatever ends the process now, it is noted as what did."""
        self._suspects.begin(message)
        try:
            self._one(message)
            self._commit()
        except StoreUnavailableError:
            self._suspects.end(message)
            raise
        self._suspects.end(message)

    def _joins(self, message: Received) -> bool:
        """Whether it could be put together with others: plain telemetry, all of it new."""
        if message.letter or message.deliveries >= SUSPECT:
            return False
        got = plain(message, self._sites, self._max_future_ns)
        if got is None:
            return False
        gateway, header = got.batch.gateway, got.header
        lo, hi = header.first_seq, header.first_seq + header.rows
        if not self.unknown.passes(gateway, header.stream):
            return False
        if not self._ledger.take_new(gateway, header.stream, lo, hi):
            return False
        gathered, counts = self._gathered, self.counts
        counts["readings"] += gathered.joined.add(message, got)
        counts["messages"] += 1
        gathered.rows += header.rows
        gathered.messages.append(message)
        gathered.size += message.cost
        gathered.told.setdefault(gateway, set()).add(header.stream)
        return True

    def _alone(self, message: Received) -> None:
        scope = self.attempts.scope(message)
        got = self._decoded(message, self if scope is None else Everything(self._sites))
        gathered = self._gathered
        if scope is not None:
            reopened = reopen(got, scope, self._ledger)
            gathered.fills += reopened.fills
            gathered.came_in(reopened.fills, message)
        self._tell(got, message)
        if got.event is None and not (got.blocks or got.late or got.letters or scope):
            # A present state, or an alarm that is kept: nothing of it waits for the store but its number. Let go of, or
            # an hour without a store would fill our hands with it. The gateway keeps an alarm until the commit-ack.
            self._wire.ack(message)
            self._handover.release(message.cost)
        else:
            gathered.messages.append(message)
            gathered.size += message.cost
        self.counts["messages"] += 1
        self.counts.update(got.counts)
        if unknown := self.unknown.look(got, message.payload):
            self.counts["unknown_fields"] += unknown
        letters, cut = folded(got.letters)
        self.counts["dead_letters_cut"] += cut
        for letter in letters:
            posting = posting_of(letter, message, got.site, got.gateway)
            self._postings.append(posting)
            self.attempts.found(message, posting)
        if got.stream:
            gathered.told.setdefault(got.gateway, set()).add(got.stream)
            gathered.again += got.again
        if got.ledger:
            self._ledger.take(got.ledger)
            gathered.entries += got.ledger
            gathered.stored += stamps_of(got, message.received_ns)
        gathered.came_in((*got.blocks, *got.late), message)
        gathered.blocks += got.blocks
        gathered.late += got.late
        gathered.rows += got.rows

    def _decoded(self, message: Received, view: View) -> Decoded:
        if message.deliveries >= SUSPECT and (n := self._suspects.deaths(message)) >= DEADLY:
            detail = f"{n} times the ingester died when it had nothing else in hand"
            return Decoded(letters=[Letter(WireReason.UNDIGESTIBLE, detail)])
        return decode(
            message.topic, message.payload, message.received_ns, view, self._max_future_ns
        )

    def _tell(self, got: Decoded, message: Received) -> None:
        """Everything that is no reading takes effect at once, whatever the store does."""
        now_mono = self._clock.mono_ns()
        if got.event is not None:
            blocks = self._event(got.event, message.received_ns, now_mono)
            self._gathered.events += blocks
            self._gathered.came_in(blocks, message)
        if got.health is not None:
            self._presence.on_health(got.health, message.received_ns, now_mono)
            self._numbers.on_health(got.health, message.received_ns)
            self._on_health(got.health)
            lacking = self._claims.on_health(got.gateway, got.health.streams, now_mono)
            if lacking:
                self._gathered.told.setdefault(got.gateway, set()).update(lacking)
        if got.online is not None:
            self._presence.on_state(got.gateway, got.online, now_mono)
            if got.online:
                self._on_speaking(got.gateway)
        if got.part is not None:
            self._on_part(got.part)
        if got.resume is not None:
            self._on_speaking(got.gateway)
            self._numbers.on_streams(got.gateway, got.resume.streams, message.received_ns)
            self._claims.on_resume(got.gateway, got.resume.streams)
            streams = [s.stream for s in got.resume.streams]
            self._gathered.told.setdefault(got.gateway, set()).update(streams)

    def _event(self, event: Event, received_ns: int, now_mono: int) -> list[Block]:
        if event.kind == "device.announced" and topics.is_name(event.device):
            self._presence.on_announced(event, received_ns, now_mono)
        elif event.kind == "device.removed":
            self._presence.on_removed(event.gateway, event.device)
        for answers in self._answers:
            answers.on_event(event, received_ns)
        self.counts["events"] += 1
        return [event_block(event, received_ns), *gap_blocks(event, received_ns)]

    def _commit(self) -> None:
        gathered = self._gathered
        if not gathered.any:
            return
        gathered.close()
        blocks = [*gathered.blocks, *gathered.late, *gathered.events]
        try:
            self._presence.keep()
            self._post()
            entries = merged(gathered.entries)
            if blocks or entries:
                refused = piecemeal.write(
                    self._store, blocks, entries, lambda found: self._refused(found, blocks)
                )
                entries = with_refusals(entries, blocks, refused)
            if gathered.fills:
                self._refused(self._store.fill(gathered.fills), gathered.fills)
        except StoreUnavailableError as exc:
            self._unavailable(exc)
            return
        if self._failures:
            self._failures, self._error, self._hint = 0, "", ""
            self._log.warning("the store is back")
        self._gathered = Gathered()
        self._ledger.commit(entries)
        self._numbers.on_stored(gathered.stored)
        now_ns, now_mono = self._clock.now_ns(), self._clock.mono_ns()
        self._presence.on_stored((*gathered.blocks, *gathered.late), now_ns, now_mono)
        changed = self._last.fold(gathered.blocks, now_ns)
        self.counts["rows"] += gathered.rows
        self.counts["commits"] += 1
        if gathered.messages:
            self._wire.ack(*gathered.messages)
        numbers = numbers_of([*entries, *gathered.again])
        for gateway, streams in gathered.told.items():
            self._publish_ack(gateway, streams, numbers)
        self.attempts.done(gathered.messages)
        self._handover.release(gathered.size)
        if changed:
            self._on_stored(changed)

    def _unavailable(self, error: StoreUnavailableError) -> None:
        pause_s = (
            error.retry_after_s or STORE_BACKOFF_S[min(self._failures, len(STORE_BACKOFF_S) - 1)]
        )
        self._error = f"{error.message} ({error.hint})" if error.hint else error.message
        if not self._failures or error.hint != self._hint:  # another cause is news
            self._log.warning("the store is unavailable, readings wait: %s", self._error)
        self._hint = error.hint
        self._failures += 1
        self.counts["store_unavailable"] += 1
        self._retry_mono = self._clock.mono_ns() + int(pause_s * 1e9)

    def _refused(self, refused: list[Rejected], blocks: list[Block]) -> None:
        """Letters of what the store will never take; kept before its numbers are settled."""
        postings: list[Posting] = []
        of_message: dict[int, tuple[Received, Block, list[Letter]]] = {}
        for block, message, letter in letters_of(refused, blocks, self._gathered.origins):
            of_message.setdefault(id(message), (message, block, []))[2].append(letter)
        for message, block, found in of_message.values():
            letters, cut = folded(found)
            self.counts["dead_letters_cut"] += cut
            for letter in letters:
                posting = posting_of(letter, message, block.site, block.gateway)
                postings.append(posting)
                self.attempts.found(message, posting)
        self._letters.add(postings)
        self.counts["dead_letters"] += len(postings)

    def _tell_everyone(self) -> None:
        by_gateway: dict[str, set[str]] = {}
        for gateway, stream in self._ledger.streams():
            by_gateway.setdefault(gateway, set()).add(stream)
        for gateway, streams in by_gateway.items():
            self._publish_ack(gateway, streams, {})

    def _publish_ack(
        self, gateway: str, streams: set[str], numbers: Mapping[tuple[str, str], RangeSet]
    ) -> None:
        site = self._sites.get(gateway)
        if site is None:
            return
        lacks = self._claims.answer(gateway)
        ack = self._ledger.commit_ack(self._options.name, gateway, sorted(streams), numbers, lacks)
        topic = topics.down_ack(site, gateway, self._options.name)
        self._wire.publish(topic, msgspec.json.encode(ack))
