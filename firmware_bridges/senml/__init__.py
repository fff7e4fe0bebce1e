"""Sensor Measurement Lists (RFC 8428), JSON and CBOR, both ways; units of RFC 8798."""
