"""The project's own child broker: mosquitto where it is installed, else amqtt, both from one generated configuration."""

from tocsin.broker.accounts import Account, Role
from tocsin.broker.child import ChildBroker, Kind, ListenerTls, mosquitto_binary

__all__ = ["Account", "ChildBroker", "Kind", "ListenerTls", "Role", "mosquitto_binary"]
