"""SL 651-2014: hydrology telemetry, HEX/BCD frames."""
