"""`python -m producer SOURCE…` is `battery produce SOURCE…`."""

from kernel.base.command import run
from producer.command import produce

run(produce, "python -m producer")
