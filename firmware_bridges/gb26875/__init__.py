"""GB/T 26875.3-2011: fire-protection monitoring, user information transmission device to centre."""
