"""Configurations for gateways, as the cloud sends them and follows them until their gateway tells what came of each."""
