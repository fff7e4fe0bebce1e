"""Cameras that are looked at here: smoke, fire and heat as confirmed events with their pictures."""
