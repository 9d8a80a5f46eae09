"""What a benchmark prints: one JSON line a figure on stdout, and nothing else there."""

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
    """A measured value and what it is compared with, both in `unit` and both of the same run.

    A second on one machine is not a second on another; their ratio is what a claim can be made of.
    """

    name: str
    value: float
    unit: str
    reference: float

    @property
    def ratio(self) -> float:
        """How many times the reference the value is."""
        return self.value / self.reference


class Show(Protocol):
    """Prints a figure."""

    def __call__(self, figure: Figure) -> None:
        """Print it, at once."""
        ...


@contextmanager
def figures_alone() -> Iterator[Show]:
    """Keep stdout for figures: all else that is printed meanwhile goes to stderr, by programs that are started too."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as stdout:

        def show(figure: Figure) -> None:
            line = {
                "name": figure.name,
                "value": round(figure.value, 3),
                "unit": figure.unit,
                "reference": round(figure.reference, 3),
                "ratio": round(figure.ratio, 3),
            }
            stdout.write(json.dumps(line) + "\n")
            stdout.flush()

        os.dup2(2, 1)
        try:
            yield show
        finally:
            sys.stdout.flush()
            os.dup2(stdout.fileno(), 1)


def tell(line: str) -> None:
    """Say on stderr how far a benchmark is."""
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()
