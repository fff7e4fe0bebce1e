"""Embedded time-series store: hot hours in DuckDB, days before them in Parquet, one SQL view over both."""
