"""`tocsin chaos`: everything that fails, at random with a seed, under load, and a ledger at the end."""
