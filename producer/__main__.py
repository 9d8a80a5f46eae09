"""`python -m producer SOURCE…` is `battery produce SOURCE…`."""

import sys

from battery.cli.main import main

main(["produce", *sys.argv[1:]])
