"""What devices and platforms say over MQTT, as reports; and what we say to them."""
