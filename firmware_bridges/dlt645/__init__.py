"""DL/T 645-2007 (and reading of 1997): electricity meters."""
