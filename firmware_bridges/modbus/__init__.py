"""Modbus: the pure codec, device profiles, and virtual devices that answer on a port of their own."""
