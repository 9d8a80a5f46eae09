"""The output of a benchmark: one JSON line a figure on stdout, and nothing else there."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Figure:
    """A measured value and its reference, both in `unit` and both measured in the same run.

    Seconds differ from machine to machine; the ratio of the two can be compared.
    """

    name: str
    value: float
    unit: str
    reference: float

    @property
    def ratio(self) -> float:
        """The value divided by the reference."""
        return self.value / self.reference

    def line(self) -> dict[str, str | float]:
        """The figure as it is printed and recorded, to three decimals."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "reference": round(self.reference, 3),
            "ratio": round(self.ratio, 3),
        }


class Show(Protocol):
    """Prints a figure."""

    def __call__(self, figure: Figure, /) -> None:
        """Print a figure at once."""
        ...


@contextmanager
def figures_alone() -> Iterator[Show]:
    """Keep stdout for figures: everything else goes to stderr, the output of child processes included."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as stdout:

        def show(figure: Figure) -> None:
            stdout.write(json.dumps(figure.line()) + "\n")
            stdout.flush()

        os.dup2(2, 1)
        try:
            yield show
        finally:
            sys.stdout.flush()
            os.dup2(stdout.fileno(), 1)


def tell(line: str) -> None:
    """Report progress on stderr."""
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()
