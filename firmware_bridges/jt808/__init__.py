"""JT/T 808: vehicle terminals and their platform (2011, 2013 and 2019 editions)."""
