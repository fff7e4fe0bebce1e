"""Tocsin: edge gateway and sensor-ingestion framework. The only package a third party imports."""

__version__ = "0.1.0"
