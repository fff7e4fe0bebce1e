"""Whether everything a gateway took is stored: which numbers are missing, when they were, and why."""
