"""The command that moves a pipeline from a DuckDB file to a warehouse in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def move(debug: bool, file: Path) -> None:
    """Move the pipeline in the DuckDB file FILE to WAREHOUSE=postgresql://…, an empty database; stop the worker before.

    OBJECT_STORE stays as it is. Ends with a comparison of every landing table.
    """
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.care.move import move as run

    for line in run(settings, open_warehouse(settings), file).lines(file):
        say(line)
