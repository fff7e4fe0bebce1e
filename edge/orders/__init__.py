"""Commands to devices: who may, whether a second person must say so too, and what came of it."""
