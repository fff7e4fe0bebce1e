"""From a message to reports: which codec a subscription's form has. Pure; Sparkplug, which has a state, is not here."""

from __future__ import annotations

from edge.drivers.mqtt_in.config import Subscription
from firmware_bridges.lorawan import uplinks
from firmware_bridges.mqtt import plain, thingsboard
from firmware_bridges.mqtt.report import Report
from firmware_bridges.senml.reports import reports as senml_reports


def read(
    subscription: Subscription, fields: dict[str, str], payload: bytes, received_ns: int
) -> list[Report]:
    """What the message says.

    Raises:
        CodecError: it is not of the subscription's form.
    """
    device = fields.get("device", "")
    match subscription.format:
        case "json":
            return plain.reports(
                payload,
                device,
                device_path=subscription.device_path,
                time_path=subscription.time_path,
                time_unit=subscription.time_unit,
            )
        case "senml":
            return senml_reports(payload, received_ns, device)
        case "thingsboard":
            return thingsboard.reports(payload, device)
        case "chirpstack":
            return uplinks.chirpstack(payload)
        case "ttn":
            return uplinks.ttn(payload)
        case _:
            raise ValueError(f"{subscription.format} is read by its host")
