"""The smart lock: its frames, its state machine as one pure piece, its vectors. docs/specs/lock.md."""
