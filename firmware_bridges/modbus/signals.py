"""What the virtual devices measure: slow, plausible, repeatable numbers in the catalogue's units."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

H2S_LOW_PPM = 10.0
H2S_HIGH_PPM = 15.0
RELEASE_PPM_PER_S = 2.0
RELEASE_PEAK_PPM = 60.0
RELEASE_HOLD_S = 120.0
TIP_MM = 0.2

Signals = Callable[[float], dict[str, float]]


def _wave(base: float, swing: float, period_s: float, phase: float) -> Callable[[float], float]:
    return lambda t: (
        base
        + swing
        * (
            math.sin(2 * math.pi * (t / period_s + phase))
            + 0.4 * math.sin(2 * math.pi * (t / (period_s * 0.37) + 2.3 * phase))
        )
    )


def _release(t: float, after_s: float) -> float:
    """ppm of H2S above the base, `t` seconds after start."""
    since = t - after_s
    if since <= 0:
        return 0.0
    rise_s = RELEASE_PEAK_PPM / RELEASE_PPM_PER_S
    if since < rise_s:
        return since * RELEASE_PPM_PER_S
    if since < rise_s + RELEASE_HOLD_S:
        return RELEASE_PEAK_PPM
    return max(0.0, RELEASE_PEAK_PPM - (since - rise_s - RELEASE_HOLD_S) * RELEASE_PPM_PER_S)


def gas_head(seed: int, release_after_s: float | None = None) -> Signals:
    """Four gases, temperature and a status word: bit 0 low alarm, bit 1 high alarm, bit 4 fault."""
    rng = Random(seed)
    ex = _wave(0.8, 0.5, 97.0, rng.random())
    h2s = _wave(1.2, 0.6, 61.0, rng.random())
    co = _wave(3.0, 1.5, 73.0, rng.random())
    o2 = _wave(20.9, 0.06, 120.0, rng.random())
    temperature = _wave(24.0, 3.0, 600.0, rng.random())
    humidity = _wave(55.0, 8.0, 500.0, rng.random())

    def at(t: float) -> dict[str, float]:
        gas = _release(t, release_after_s) if release_after_s is not None else 0.0
        sulfide = max(0.0, h2s(t)) + gas
        combustible = max(0.0, ex(t)) + gas / 10.0
        return {
            "ex": combustible,
            "ch4": combustible,
            "h2s": sulfide,
            "co": max(0.0, co(t)),
            "o2": o2(t) - gas / 100.0,
            "temperature": temperature(t),
            "humidity": humidity(t),
            "status": float((sulfide > H2S_LOW_PPM) | (sulfide > H2S_HIGH_PPM) << 1),
        }

    return at


def rain_gauge(seed: int) -> Signals:
    """A tipping bucket in a cloudburst: the counter moves in tips of 0.2 mm."""
    rng = Random(seed)
    rate = _wave(80.0, 40.0, 180.0, rng.random())
    start_mm = rng.randrange(500) * TIP_MM
    fallen_mm = 0.0
    last_t = 0.0

    def at(t: float) -> dict[str, float]:
        nonlocal fallen_mm, last_t
        intensity = max(0.0, rate(t))
        fallen_mm += intensity * max(0.0, t - last_t) / 3600.0
        last_t = t
        total = start_mm + math.floor(fallen_mm / TIP_MM) * TIP_MM
        return {"rain_total": total, "rain_rate": intensity, "voltage": 12.4}

    return at


def river_gauge(seed: int) -> Signals:
    """Level and discharge of a river by a simple rating curve."""
    rng = Random(seed)
    level = _wave(2.6, 0.35, 300.0, rng.random())

    def at(t: float) -> dict[str, float]:
        metres = level(t)
        flow = 14.0 * max(0.0, metres - 0.4) ** 1.6
        return {
            "level": metres,
            "flow": flow,
            "velocity": flow / (28.0 * metres),
            "temperature": 14.0 + metres,
            "voltage": 12.6,
        }

    return at


def power_meter(seed: int) -> Signals:
    """One phase of a pump's supply."""
    rng = Random(seed)
    current = _wave(11.0, 2.5, 45.0, rng.random())
    start_kwh = rng.uniform(1000.0, 9000.0)

    def at(t: float) -> dict[str, float]:
        amps = current(t)
        return {
            "voltage": 229.5 + 0.2 * amps,
            "current": amps,
            "power": 229.5 * amps,
            "energy": start_kwh + 2.5 * t / 3600.0,
            "frequency": 50.0,
        }

    return at


def counter(seed: int) -> Signals:
    """Every quantity named v00..v99 counts up; for benches."""
    step = 0

    def at(t: float) -> dict[str, float]:
        nonlocal step
        step += 1
        return {f"v{i:02d}": float((step + i + seed) % 65536) for i in range(100)}

    return at


def actuator(seed: int) -> Signals:
    """Measures nothing: its registers hold what they were told."""
    del seed
    return lambda t: {}


def signals(model: str, seed: int, release_after_s: float | None = None) -> Signals:
    """The signals of a device model.

    Raises:
        KeyError: no such model.
    """
    if model == "gas-head":
        return gas_head(seed, release_after_s)
    return {
        "rain-gauge": rain_gauge,
        "river-gauge": river_gauge,
        "power-meter": power_meter,
        "counter": counter,
        "actuator": actuator,
    }[model](seed)


MODELS = ("gas-head", "rain-gauge", "river-gauge", "power-meter", "counter", "actuator")
