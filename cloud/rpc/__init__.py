"""Between the processes of the cloud: requests, answers and streams over the spine's Unix socket."""

from __future__ import annotations

from cloud.rpc.client import SpineClient, call_once
from cloud.rpc.feed import Feed
from cloud.rpc.server import Handler, SpineServer, StreamHandler

__all__ = ["Feed", "Handler", "SpineClient", "SpineServer", "StreamHandler", "call_once"]
