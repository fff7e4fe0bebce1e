"""An alarm transition before the outbox gave it its place in the stream."""

from __future__ import annotations

import msgspec

from tocsin.contract.messages import VERSION, Alarm, AlarmChange, ClockState


class AlarmDraft(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything of `messages.Alarm` but who sends it and its place in the stream."""

    alarm: str
    device: str
    measurement: str
    quantity: str
    rule: str
    change: AlarmChange
    level: int
    t: int
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    latched: bool = False
    acknowledged: bool = False
    beyond: bool = True
    actor: str = ""
    note: str = ""
    first_ns: int | None = None
    last_ns: int | None = None
    n: int = 1
    evidence: str = ""

    def seal(
        self, *, site: str, gateway: str, stream: str, seq: int, clock: ClockState | None = None
    ) -> Alarm:
        """The message, with its place in the stream."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return Alarm(
            v=VERSION,
            site=site,
            gateway=gateway,
            stream=stream,
            seq=seq,
            clock=clock or ClockState(),
            **fields,
        )
