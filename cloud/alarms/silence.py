"""Who should have spoken and did not. Pure: (what was heard, now) -> conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DEVICE_SILENT, GATEWAY_SILENT = "device-silent", "gateway-silent"
AWAY_PERIODS = 5.0


@dataclass(frozen=True, slots=True)
class GatewayHeard:
    """When a gateway was heard of last; monotonic nanoseconds."""

    site: str
    gateway: str
    online: bool | None
    heard_mono: int


@dataclass(frozen=True, slots=True)
class DeviceHeard:
    """When a device was heard of last. `period_s` None: it speaks when it likes."""

    site: str
    gateway: str
    device: str
    measurement: str
    period_s: float | None
    heard_mono: int
    finished: bool = False
    retired: bool = False


@dataclass(frozen=True, slots=True)
class SilenceRules:
    """See `[alarms]` of cloud.toml."""

    silent_periods: float = 5.0
    silent_min_s: float = 10.0
    gateway_silent_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a rule's condition stands for one source now, and why.

    `occasion`: what `why` begins with, up to a semicolon; another one is an occurrence of its own.
    """

    site: str
    gateway: str
    device: str
    measurement: str
    rule: str
    standing: bool
    why: str = ""
    occasion: str = ""
    level: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        """Of its source: gateway, device, rule."""
        return self.gateway, self.device, self.rule


class Pulse:
    """Told the time every `period_s`, it notices when we ourselves were away: frozen, or the machine asleep.

    Monotonic time stands still while Linux suspends, the wall clock does not; a wall clock that is set forward looks
    the same, and costs one restart of the silences.
    """

    def __init__(self, period_s: float) -> None:
        self._away_ns = int(period_s * AWAY_PERIODS * 1e9)
        self._last: tuple[int, int] | None = None
        self.woke_mono: int | None = None

    def beat(self, mono_ns: int, wall_ns: int) -> float:
        """The time now; seconds that we were away, 0 when we were not."""
        last, self._last = self._last, (mono_ns, wall_ns)
        if last is None:
            return 0.0
        gap_ns = max(mono_ns - last[0], wall_ns - last[1])
        if gap_ns <= self._away_ns:
            return 0.0
        self.woke_mono = mono_ns
        return gap_ns / 1e9


def conditions(
    gateways: Iterable[GatewayHeard],
    devices: Iterable[DeviceHeard],
    *,
    now_mono: int,
    listening_since_mono: int | None,
    woke_mono: int | None = None,
    rules: SilenceRules,
) -> list[Condition]:
    """Every condition that can be judged now.

    Nothing is said while we ourselves hear nothing (`listening_since_mono` None), and no silence counts from before
    we listened or woke (`woke_mono`): until then whoever has not spoken since is not judged and its alarm stays as it
    is. The broker may have slept with us and called everybody offline; that counts once they had time to come back.
    A device behind a silent gateway is not judged: the gateway's alarm names the cause.
    """
    if listening_since_mono is None:
        return []
    since_mono = max(listening_since_mono, woke_mono or listening_since_mono)
    just_woke = woke_mono is not None and now_mono - woke_mono < rules.gateway_silent_s * 1e9
    found: list[Condition] = []
    silent: set[str] = set()
    for g in gateways:
        quiet_s = (now_mono - max(g.heard_mono, since_mono)) / 1e9
        why = ""
        if g.online is False:
            if just_woke:
                silent.add(g.gateway)
                continue
            why = "offline"
        elif quiet_s > rules.gateway_silent_s:
            why = f"no health for {quiet_s:.0f} s"
        elif g.heard_mono < since_mono:
            continue
        if why:
            silent.add(g.gateway)
        found.append(Condition(g.site, g.gateway, "", "gateway", GATEWAY_SILENT, bool(why), why))
    for d in devices:
        if d.gateway in silent:
            continue
        limit_s = max((d.period_s or 0.0) * rules.silent_periods, rules.silent_min_s)
        quiet_s = (now_mono - max(d.heard_mono, since_mono)) / 1e9
        watched = d.period_s is not None and not d.finished and not d.retired
        standing = watched and quiet_s > limit_s
        if watched and not standing and d.heard_mono < since_mono:
            continue
        why = f"nothing for {quiet_s:.0f} s, expected every {d.period_s:g} s" if standing else ""
        found.append(
            Condition(d.site, d.gateway, d.device, d.measurement, DEVICE_SILENT, standing, why)
        )
    return found
