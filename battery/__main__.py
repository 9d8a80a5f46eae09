"""`python -m battery` is the `battery` command."""

from battery.cli import main

main()
