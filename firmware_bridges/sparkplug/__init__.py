"""Sparkplug B 3.0 (Eclipse), both ways: payloads, topics, the host's and the edge node's state."""
