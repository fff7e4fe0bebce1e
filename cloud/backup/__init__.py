"""Backup of a cloud while it runs, and restore into an empty folder."""
