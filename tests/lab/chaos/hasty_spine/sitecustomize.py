"""A spine that tells gateways of what it has not committed yet. Lies on PYTHONPATH of a chaos run that must find it."""

import sys

if "cloud.spine" in sys.orig_argv:
    from cloud.ingest.worker import Ingest
    from cloud.link import Received

    careful = Ingest._one

    def hasty(self: Ingest, message: Received) -> None:
        before = len(self._gathered.entries)
        careful(self, message)
        self._gathered.close()
        self._ledger.commit(self._gathered.entries[before:])
        for gateway, streams in self._gathered.told.items():
            self._publish_ack(gateway, streams, {})
        self._wire.ack(message)

    Ingest._one = hasty  # type: ignore[method-assign]
