"""`python -P -m tocsin.cli`: the same command where the script is not on the PATH."""

from tocsin.cli.root import main

main()
