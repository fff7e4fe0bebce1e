"""Cameras: pictures in, models run here, confirmed events out. Needs the extra `vision`."""
