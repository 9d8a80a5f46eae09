"""`python -m benchmarks` runs every benchmark, or those that are named, and compares their figures with the goals."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks import (
    command,
    commits,
    drop,
    formats,
    interleaved,
    latency,
    looks,
    memory,
    producing,
    refresh,
    scale,
    shared,
    state,
    streaming,
    workbooks,
)
from benchmarks.figures import figures_alone, tell
from benchmarks.goals import GOALS
from benchmarks.record import LAST, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.figures import Figure

BENCHMARKS: Final[Mapping[str, Callable[..., None]]] = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (
        command,
        workbooks,
        formats,
        producing,
        streaming,
        interleaved,
        scale,
        shared,
        commits,
        looks,
        latency,
        state,
        memory,
        refresh,
        drop,
    )
}


@click.command
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--tiny", is_flag=True, help="Take next to no rows: tells whether all runs, and nothing of speed.")
@click.pass_context
def main(context: click.Context, names: tuple[str, ...], tiny: bool) -> None:
    """Run benchmarks, one after the other; with a goal missed the exit code is 1.

    A whole run is kept in benchmarks/last.jsonl, from which the performance page is made.
    """
    measured: list[Figure] = []
    missed: list[str] = []
    with figures_alone() as show, tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def judge(figure: Figure) -> None:
            show(figure)
            measured.append(figure)
            missed.extend(GOALS[figure.name].missed(figure))

        for name in names or BENCHMARKS:
            place = Path(folder) / name
            place.mkdir()
            tell(f"{name} …")
            BENCHMARKS[name](judge, place, tiny=tiny)
    if not tiny:
        if not names:
            record(measured, LAST)
            tell(f"kept in benchmarks/{LAST.name}; `make docs` writes the performance page from it")
        for line in missed:
            tell(f"missed: {line}")
        context.exit(1 if missed else 0)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
