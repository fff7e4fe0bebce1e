"""InfluxDB 1.x, 2.x, 3.x and Cloud as the time-series store, by ready-made line protocol."""
