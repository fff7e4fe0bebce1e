"""An ingester that dies of one message. Lies on PYTHONPATH of a test that must see it put aside."""

import os
import signal
import sys
from typing import Any

if "ingest" in sys.orig_argv:
    from cloud.ingest import worker
    from cloud.ingest.decode import decode

    def deadly(topic: str, payload: bytes, *more: Any) -> Any:
        if payload == b"poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(topic, payload, *more)

    vars(worker)["decode"] = deadly
