"""`tocsin doctor`: is everything around the agent as it should be, and if not, which command mends it."""
