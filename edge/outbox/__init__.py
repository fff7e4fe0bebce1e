"""The gateway's durable store: everything acquired lies here until the cloud has committed it, and longer while there is room."""

from edge.outbox.chunks import Chunk, OutboxStats
from edge.outbox.outbox import Outbox

__all__ = ["Chunk", "Outbox", "OutboxStats"]
