"""Interop out: a copy of every stored row, in the forms other systems read, beside the native way to the cloud."""
