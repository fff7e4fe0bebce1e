"""JSON Schema of every message, for people who write the other side in another language."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.contract.evidence import Detection, EvidenceAsk, EvidencePart
from tocsin.contract.messages import (
    VERSION,
    Alarm,
    Batch,
    Command,
    CommitAck,
    Event,
    Health,
    Resume,
)

SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "batch": Batch,
    "alarm": Alarm,
    "event": Event,
    "command": Command,
    "commit-ack": CommitAck,
    "resume": Resume,
    "health": Health,
    "detection": Detection,
    "evidence-part": EvidencePart,
    "evidence-ask": EvidenceAsk,
}


def message_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the body of message `name`."""
    (schema,), components = msgspec.json.schema_components(
        [SCHEMAS[name]], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tocsin:wire:{VERSION}:{name}",
        **schema,
        "$defs": dict(sorted(components.items())),
    }
