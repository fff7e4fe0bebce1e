"""From many cameras to observations: one thread a camera, its latest frame only, one worker a core."""
