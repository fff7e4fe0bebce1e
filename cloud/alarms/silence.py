"""Who should have spoken and did not. Pure: (what was heard, now) -> conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DEVICE_SILENT, GATEWAY_SILENT = "device-silent", "gateway-silent"


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
    """Whether a rule's condition stands for one source now, and why."""

    site: str
    gateway: str
    device: str
    measurement: str
    rule: str
    standing: bool
    why: str = ""


def conditions(
    gateways: Iterable[GatewayHeard],
    devices: Iterable[DeviceHeard],
    *,
    now_mono: int,
    listening_since_mono: int | None,
    rules: SilenceRules,
) -> list[Condition]:
    """Every condition that can be judged now.

    Nothing is said while we ourselves hear nothing (`listening_since_mono` None), and no silence counts from before
    we listened. A device behind a silent gateway is not judged: the gateway's alarm names the cause.
    """
    if listening_since_mono is None:
        return []
    found: list[Condition] = []
    silent: set[str] = set()
    for g in gateways:
        quiet_s = (now_mono - max(g.heard_mono, listening_since_mono)) / 1e9
        why = ""
        if g.online is False:
            why = "offline"
        elif quiet_s > rules.gateway_silent_s:
            why = f"no health for {quiet_s:.0f} s"
        if why:
            silent.add(g.gateway)
        found.append(Condition(g.site, g.gateway, "", "gateway", GATEWAY_SILENT, bool(why), why))
    for d in devices:
        if d.gateway in silent:
            continue
        limit_s = max((d.period_s or 0.0) * rules.silent_periods, rules.silent_min_s)
        quiet_s = (now_mono - max(d.heard_mono, listening_since_mono)) / 1e9
        watched = d.period_s is not None and not d.finished and not d.retired
        standing = watched and quiet_s > limit_s
        why = f"nothing for {quiet_s:.0f} s, expected every {d.period_s:g} s" if standing else ""
        found.append(
            Condition(d.site, d.gateway, d.device, d.measurement, DEVICE_SILENT, standing, why)
        )
    return found
