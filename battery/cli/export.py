"""The command that writes the readings of a cell to files."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.argument("cell", metavar="CELL")
@click.option("--test", "tests", metavar="T", multiple=True, help="Only this test; may be repeated.")
@click.option(
    "--cycles", metavar="N-M,…",
    help="Only these cycles, as battery_cycles numbers them over all tests of the cell, such as 1-100,500.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["bdf", "bdf-parquet", "csv", "parquet"]), default="bdf", show_default=True,
    help="bdf: text of the Battery Data Format; bdf-parquet: the same as Parquet; csv, parquet: the pipeline's names.",
)  # fmt: skip
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), default=Path("data/exports"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
@click.option("--kept", is_flag=True, help="Leave out the readings that the models leave out.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.pass_obj
def export(
    debug: bool, cell: str, tests: tuple[str, ...], cycles: str | None, form: str, folder: Path, kept: bool, force: bool
) -> None:  # fmt: skip
    """Write the readings of a cell to files, one a test. The worker and the refresh may keep running.

    CELL is the cell's id, such as CS2_35.
    """
    settings = start(debug)
    from battery.export import cycle_numbers, export_cell

    numbers = None if cycles is None else cycle_numbers(cycles)
    for written in export_cell(settings, cell, folder, form, tests=tests, cycles=numbers, kept=kept, force=force):
        say(written)
