"""The training loop. The same seed and steps give the same weights on the same machine and threads."""

from __future__ import annotations

import copy
import ctypes
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import torch
from data import Item, Samples
from losses import loss
from network import Net, prepare
from torch import Tensor
from torch.utils.data import DataLoader

BATCH = 8
_RATE, _DECAY, _WARM, _AGAIN = 2.5e-3, 0.03, 60, 0.4


def train(
    items: list[Item],
    *,
    steps: int,
    seed: int,
    workers: int,
    say: Callable[[str], None],
    minutes: float | None = None,
    start: Path | None = None,
    save: Path | None = None,
) -> Net:
    """A network that saw these pictures `steps` x 8 times, or so often as fits in `minutes`; an average of its last weights.

    It goes on from the weights in `start`; every few minutes it writes what it has to `save`.
    """
    _keep_memory()
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    net = Net().to(memory_format=torch.channels_last).train()
    if start is not None:
        net.load_state_dict(torch.load(start, weights_only=True))
    kept = copy.deepcopy(net)
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=_RATE,
    )
    began = said = time.monotonic()
    rate = _RATE if start is None else _RATE * _AGAIN
    level = 0.0
    wanted = steps if minutes is None else 10**9
    for done, (image, reference, target, weight) in enumerate(_batches(items, seed, steps if minutes is None else 100_000, workers), 1):  # fmt: skip
        spent = time.monotonic() - began
        share = done / wanted if minutes is None else min(1.0, spent / (60 * minutes))
        for group in optimiser.param_groups:
            group["lr"] = (
                rate * min(1.0, done / _WARM) * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))
            )
        with torch.no_grad():
            pairs = zip(image, reference, strict=True)
            x = torch.cat([prepare(i[None], r[None]).bfloat16() for i, r in pairs])
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            heat = net(x)
        value = loss(heat, target, weight)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        _average(kept, net, min(0.997, (1 + done) / (20 + done)))
        level += (value.item() - level) * max(0.01, 1 / done)
        if time.monotonic() - said > 20 or share >= 1:
            said = time.monotonic()
            left = (said - began) / max(share, 1e-6) * (1 - share)
            if save is not None:
                torch.save(kept.state_dict(), save)
            say(
                f"step {done}  loss {level:.3f}  {done * BATCH / (said - began):.0f} crops/s  {left / 60:.1f} min left"
            )
        if share >= 1:
            break
    return kept.eval()


def _batches(items: list[Item], seed: int, steps: int, workers: int) -> Iterator[list[Tensor]]:
    samples = Samples(items, seed, 0, steps * BATCH)
    started = {"multiprocessing_context": "fork", "prefetch_factor": 4} if workers else {}
    return iter(
        DataLoader(samples, BATCH, num_workers=workers, worker_init_fn=_alone, **started)  # type: ignore[arg-type]
    )


def _alone(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@torch.no_grad()
def _average(kept: Net, net: Net, decay: float) -> None:
    for a, b in zip(kept.state_dict().values(), net.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)
        else:
            a.copy_(b)


def _keep_memory() -> None:
    """Freed memory stays with the process: returning and asking for it again costs a fifth of the time (glibc only)."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
