"""Models for the cameras of gateways: kept, sent, followed."""
