"""The pages: server-rendered, small modules for what is live, everything from our own origin."""

from __future__ import annotations

from cloud.console.application import add_console

__all__ = ["add_console"]
