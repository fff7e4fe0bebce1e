"""NMEA 0183 (GNSS receivers): sentences to fixes, and the virtual receiver that speaks them."""
