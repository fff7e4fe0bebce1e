"""Sensor boards of one's own on a serial line: COBS frames of CBOR with a CRC-16."""
