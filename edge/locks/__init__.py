"""Smart Bluetooth locks: the client (bleak), the guard before every command, and what the rest of the gateway asks of them."""
