"""The network: a small convolutional net that sees a picture and how it differs from the camera's reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("smoke", "fire")
STRIDE = 8
HOTTEST = 8


def prepare(image: Tensor, reference: Tensor) -> Tensor:
    """(n, h, w, 3) levels 0..255 -> (n, 28, h/2, w/2): the picture, its difference to the reference, whether there is one.

    The reference is brought to the mean and spread of the picture, colour by colour. One that is all zeros is none.
    """
    now = image.permute(0, 3, 1, 2).float() * (1 / 255)
    then = reference.permute(0, 3, 1, 2).float() * (1 / 255)
    known = (then.amax(dim=(1, 2, 3), keepdim=True) > 0).float()
    mean, before = now.mean(dim=(2, 3), keepdim=True), then.mean(dim=(2, 3), keepdim=True)
    spread = ((now - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    old = ((then - before) ** 2).mean(dim=(2, 3), keepdim=True)
    gain = torch.sqrt((spread + 1e-4) / (old + 1e-4)).clamp(0.5, 2.0)
    change = (now - mean - (then - before) * gain).clamp(-0.5, 0.5) * known
    x = torch.cat([now * 2 - 1, change * 4, known.expand(-1, 1, now.shape[2], now.shape[3])], 1)
    return functional.pixel_unshuffle(x, 2)


def conv(
    inner: int, outer: int, kernel: int = 3, stride: int = 1, spread: int = 1
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, spread * (kernel // 2), spread, bias=False),
        nn.BatchNorm2d(outer, momentum=0.03),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Narrow, look around, widen. No depthwise convolutions: their gradients are slow on CPUs."""

    def __init__(self, width: int, narrow: int, spread: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, narrow, 1),
            conv(narrow, narrow, 3, spread=spread),
            nn.Conv2d(narrow, width, 1, bias=False),
            nn.BatchNorm2d(width, momentum=0.03),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class Net(nn.Module):
    """(n, 28, h/2, w/2) -> heat (n, classes, h/8, w/8) in log-odds."""

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.stem = conv(28, 32, 3, 2)
        self.eighth = nn.Sequential(conv(32, 64, 3, 2), Residual(64, 32), Residual(64, 32))
        self.sixteenth = nn.Sequential(
            conv(64, 96, 3, 2), Residual(96, 48), Residual(96, 48, 2), Residual(96, 48, 4), Residual(96, 48, 2)
        )  # fmt: skip
        self.whole = nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 96), nn.Sigmoid())
        self.up, self.lateral = nn.Conv2d(96, 64, 1), nn.Conv2d(64, 64, 1)
        self.last = nn.Sequential(Residual(64, 32), nn.Dropout2d(0.1), nn.Conv2d(64, classes, 1))
        nn.init.constant_(self.last[-1].bias, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.stem(x))

    def after(self, x: Tensor) -> Tensor:
        """From what the stem gives."""
        near = self.eighth(x)
        far = self.sixteenth(near)
        far = far * self.whole(far.mean(dim=(2, 3)))[:, :, None, None]
        up = functional.interpolate(self.up(far), scale_factor=2, mode="bilinear")
        return self.last(functional.relu(up + self.lateral(near)))


class Graph(nn.Module):
    """What is exported: uint8 pictures in, heat and the score of the whole out. Each network looks twice, the second time in a mirror; the heat is that of
    the mean of all log-odds.

    The same heat as by `net(prepare(...))`, but the picture is prepared once for all looks, and not unshuffled (that took a third of all time in ONNX
    Runtime): the stem's 3x3 windows over 2x2 blocks are 6x6 windows over pixels.
    """

    def __init__(self, nets: Sequence[Net]) -> None:
        super().__init__()
        self.looks = nn.ModuleList(_BothWays(net) for net in nets)

    def forward(self, image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        x = _planes(image, reference)
        # in a mirror the windows begin at the other end: 2 px further to the right
        shifted = functional.pad(x, (0, 2, 2, 2))
        odds = [look(x, shifted) for look in self.looks]
        heat = torch.sigmoid(sum(odds[1:], odds[0]) * (0.5 / len(odds)))
        return heat, heat.flatten(2).topk(HOTTEST, dim=2).values.mean(dim=2)


class _BothWays(nn.Module):
    """One network, straight and in a mirror: the sum of their log-odds."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        weight, bias = _of_pixels(net.stem)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.mirrored = nn.Parameter(weight.flip(3))

    def forward(self, x: Tensor, shifted: Tensor) -> Tensor:
        seen = functional.relu(functional.conv2d(x, self.weight, self.bias, 4, 2))
        mirrored = functional.relu(functional.conv2d(shifted, self.mirrored, self.bias, 4))
        odds = self.net.after(torch.cat([seen, mirrored.flip(3)]))
        return odds[:1] + odds[1:].flip(3)


def _of_pixels(stem: nn.Sequential) -> tuple[Tensor, Tensor]:
    """The stem's convolution and normalisation as one over the pixels of 7 planes: (32, 7, 6, 6) and (32,)."""
    convolution, norm = stem[0], stem[1]
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = (convolution.weight * gain[:, None, None, None]).unflatten(1, (7, 2, 2))
    weight = weight.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
    return weight.detach(), (norm.bias - norm.running_mean * gain).detach()


def _planes(image: Tensor, reference: Tensor) -> Tensor:
    """(1, h, w, 3) levels 0..255 -> (1, 7, h, w): `prepare` before its unshuffling, with as few passes over the pixels as it takes."""
    now, then = (x.permute(0, 3, 1, 2).float() for x in (image, reference))
    known = (then.amax(dim=(1, 2, 3), keepdim=True) > 0).float()
    now0, then0 = (x - x.mean(dim=(2, 3), keepdim=True) for x in (now, then))
    spread, old = ((x * x).mean(dim=(2, 3), keepdim=True) for x in (now0, then0))
    level = 255.0
    gain = torch.sqrt((spread + 1e-4 * level**2) / (old + 1e-4 * level**2)).clamp(0.5, 2.0)
    change = (now0 - then0 * gain).clamp(-0.5 * level, 0.5 * level) * (known * (4 / level))
    return torch.cat(
        [now * (2 / level) - 1, change, known.expand(-1, 1, now.shape[2], now.shape[3])], 1
    )
