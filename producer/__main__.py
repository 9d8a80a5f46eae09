"""`python -m producer SOURCE…` is `battery produce SOURCE…`."""

import sys

from battery.cli import main

main(["produce", *sys.argv[1:]])
