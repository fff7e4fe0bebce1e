"""Finding what is connected: each kind asks only, changes nothing, and prints a block for gateway.toml."""
