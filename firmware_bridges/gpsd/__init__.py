"""gpsd: what the GNSS daemon of Linux tells its clients, one JSON object a line."""
