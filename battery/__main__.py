"""`python -m battery` is the `battery` command."""

from battery.cli.main import main

main()
