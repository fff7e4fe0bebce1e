"""MQTT as a client speaks it: packets, and a connection on the event loop that reads and answers what came together at once."""
