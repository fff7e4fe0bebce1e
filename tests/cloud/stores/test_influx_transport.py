from __future__ import annotations

import gc
import sys
from typing import Literal

import pytest

from cloud.stores.influx.transport import InfluxOptions, Transport
from tocsin.errors import StoreUnavailableError
from tocsin.testing.waiting import free_port


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_body_that_nobody_took_is_free_at_once(api: Literal["v1", "v2"]) -> None:
    transport = Transport(
        InfluxOptions(f"http://127.0.0.1:{free_port()}", api=api, gzip=False, timeout_s=2.0)
    )
    body = b"a" * 4096
    gc.disable()
    try:
        held = sys.getrefcount(body)
        for _ in range(5):
            with pytest.raises(StoreUnavailableError):
                transport.post(body)
        assert sys.getrefcount(body) == held
    finally:
        gc.enable()
        transport.close()
