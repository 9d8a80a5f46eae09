"""`python -m benchmarks.fleet` measures what the page on scale is computed from; an hour on two processors."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from benchmarks.figures import figures_alone, tell
from benchmarks.fleet import growth, judge, simulation, sizes
from benchmarks.record import run_of_today

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.figures import Figure

MEASURES: Final[Mapping[str, Callable[..., object]]] = {
    "sizes": sizes.measure,
    "judge": judge.measure,
    "simulation": simulation.measure,
    "growth": growth.measure,
}
LAST: Final = Path(__file__).with_name("last.jsonl")
"""The last figures, a JSON line each with the date, commit and machine of their run."""

COURSES: Final = Path(__file__).with_name("courses.json")
"""What became of the workers of the last simulation, second by second."""


@click.command
@click.argument("names", nargs=-1, type=click.Choice(list(MEASURES)))
@click.option("--tiny", is_flag=True, help="Take next to no rows: tells whether all runs, and nothing of sizes.")
def main(names: tuple[str, ...], tiny: bool) -> None:
    """Measure sizes, the simulation and growth, or some of them.

    Figures are kept in benchmarks/fleet/last.jsonl in place of earlier ones of the same name; `make docs` computes the
    page on scale from them.
    """
    with figures_alone() as show, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in names or MEASURES:
            measured: list[Figure] = []

            def keep(figure: Figure, measured: list[Figure] = measured) -> None:
                show(figure)
                measured.append(figure)

            tell(f"{name} …")
            courses = MEASURES[name](keep, Path(folder) / name, tiny=tiny)
            if not tiny:
                _record(measured)
                if courses is not None:
                    COURSES.write_text(json.dumps(courses, indent=1) + "\n")


def _record(figures: list[Figure]) -> None:
    """Keep figures in place of those of the same names."""
    kept: dict[str, dict[str, Any]] = {}
    if LAST.exists():
        kept = {row["name"]: row for row in map(json.loads, LAST.read_text().splitlines())}
    kept |= {figure.name: figure.line() | run_of_today() for figure in figures}
    LAST.write_text("".join(json.dumps(row) + "\n" for row in kept.values()))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.fleet")
