"""Sparkplug's topics: spBv1.0/GROUP/TYPE/NODE[/DEVICE] (Sparkplug B 3.0, 4.1). Pure."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

NAMESPACE = "spBv1.0"
Type = Literal["NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA", "NCMD", "DCMD"]


class Topic(msgspec.Struct, frozen=True):
    """Whose message it is, and which. `device` is empty for the node itself."""

    group: str
    type: Type
    node: str
    device: str = ""

    @property
    def source(self) -> str:
        """`group/node` or `group/node/device`."""
        return "/".join(part for part in (self.group, self.node, self.device) if part)

    def __str__(self) -> str:
        parts = (NAMESPACE, self.group, self.type, self.node, self.device)
        return "/".join(part for part in parts if part)


def parse(topic: str) -> Topic | None:
    """The parts of a topic; None if it is not Sparkplug's, or a host's STATE."""
    parts = topic.split("/")
    if not 4 <= len(parts) <= 5 or parts[0] != NAMESPACE or "" in parts:
        return None
    kind = next((k for k in get_args(Type) if k == parts[2]), None)
    if kind is None or (kind[0] == "D") != (len(parts) == 5):
        return None
    return Topic(parts[1], kind, parts[3], parts[4] if len(parts) == 5 else "")
