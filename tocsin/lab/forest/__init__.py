"""A forest that the demo watches: days, clouds and fires that the project draws itself. Training never imports it."""
