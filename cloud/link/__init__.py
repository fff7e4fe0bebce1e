"""The cloud's side of the broker."""

from __future__ import annotations

from cloud.link.handover import Handover, Received
from cloud.link.mqtt import MqttLink
from cloud.link.options import LinkOptions, Protocol

__all__ = ["Handover", "LinkOptions", "MqttLink", "Protocol", "Received"]
