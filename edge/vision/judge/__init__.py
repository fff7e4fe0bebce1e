"""From observations to confirmed events: pure rules over what was seen, tested without cameras."""
