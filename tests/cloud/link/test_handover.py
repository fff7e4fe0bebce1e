"""The hand-over between the network thread and the ingest thread."""

from __future__ import annotations

from cloud.link.handover import ALARM_RESERVE, OVERHEAD_BYTES, URGENT_RESERVE, Handover, Received
from tocsin.contract import topics


def message(kind: str, size: int = 100) -> Received:
    return Received(topics.up("plant", "gw-1", kind), bytes(size), 0, 1)


def test_alarms_go_ahead_and_all_that_is_no_telemetry_overtakes_it() -> None:
    handover = Handover(1 << 20)
    kinds = ["telemetry", "alarm", "telemetry", "event"]
    sent = [message(kind, size) for size, kind in enumerate(kinds)]
    assert all(map(handover.put, sent))
    assert handover.take_alarms(0.0) == [sent[1]]
    handover.pass_on(sent[1])
    assert handover.take(0.0) == [sent[3], sent[1], sent[0], sent[2]]
    assert handover.waiting_bytes == sum(m.cost for m in sent)


def test_a_full_hand_over_says_no_to_telemetry_and_still_takes_alarms() -> None:
    handover = Handover(4 * (100 + OVERHEAD_BYTES))
    assert [handover.put(message("telemetry")) for _ in range(5)] == [True] * 4 + [False]
    assert handover.put(message("alarm"))
    assert handover.put(message("health", URGENT_RESERVE - 3 * OVERHEAD_BYTES))
    assert not handover.put(message("health", 2 * OVERHEAD_BYTES))
    assert handover.put(message("alarm", 2 * OVERHEAD_BYTES))  # room that nothing else may use
    assert not handover.put(message("alarm", ALARM_RESERVE))
    assert handover.overflows == 3


def test_what_was_taken_counts_until_it_is_released() -> None:
    handover = Handover(2 * (100 + OVERHEAD_BYTES))
    handover.put(message("telemetry"))
    handover.put(message("telemetry"))
    taken = handover.take(0.0)
    assert not handover.put(message("telemetry"))
    handover.release(sum(m.cost for m in taken))
    assert handover.waiting_bytes == 0
    assert handover.put(message("telemetry"))


def test_even_empty_messages_are_bounded() -> None:
    handover = Handover(1 << 16)
    assert sum(handover.put(message("telemetry", 0)) for _ in range(1000)) == 64
