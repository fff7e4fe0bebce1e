"""Describing one frame of a field protocol: the door behind `tocsin decode`, group `tocsin.codecs`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import msgspec

Kind = Literal["rtu", "tcp", "frame", "app_data"]


class FrameInput(msgspec.Struct, frozen=True):
    """One frame to describe.

    `data` is the frame's bytes (a sentence's are its ASCII or UTF-8 text). `kind` tells framings of one protocol
    apart where there is more than one; `device` is the model whose payload it is (LoRaWAN). With `accept_variants`
    a known vendor variant is described, and flagged, instead of refused.
    """

    data: bytes
    kind: Kind | None = None
    device: str | None = None
    accept_variants: bool = False


# Frame to plain JSON values (dict, list, str, int, float, bool, None); raises CodecError for every refused frame and
# nothing else.
Describe = Callable[[FrameInput], dict[str, Any]]


Feed = Callable[[bytes], object]


class Examples(msgspec.Struct, frozen=True):
    """Frames of one protocol made by its own encoder, for benches and for fuzzing.

    `seal` gives a spoilt frame the length and checksum that fit it, so that what lies behind them is reached.
    Each of `streams` makes a fresh reader of a connection: a function that takes the next bytes.
    """

    frames: tuple[FrameInput, ...]
    seal: Callable[[FrameInput], bytes] | None = None
    streams: tuple[Callable[[], Feed], ...] = ()


def codec_names() -> dict[str, EntryPoint]:
    """Installed codecs by protocol name, without importing any."""
    return {point.name: point for point in entry_points(group="tocsin.codecs")}


def load_codec(name: str) -> Describe:
    """The describing function of protocol `name`.

    Raises:
        KeyError: no such codec is installed.
    """
    loaded: Describe = codec_names()[name].load()
    return loaded


def example_names() -> dict[str, EntryPoint]:
    """Protocols that offer examples; those without a codec offer them for the streams they read."""
    return {point.name: point for point in entry_points(group="tocsin.examples")}


def load_examples(name: str) -> Examples:
    """The frames that protocol `name` offers in the group `tocsin.examples`; none where it offers none."""
    for point in entry_points(group="tocsin.examples", name=name):
        make: Callable[[], Examples] = point.load()
        return make()
    return Examples(())
