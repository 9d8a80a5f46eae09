"""`battery columns`: the columns of a table, and a mapping file that says how to read it."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.base.errors import BatteryError
from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Put the proposal beside the file, as FILE.mapping.yaml.")
@click.pass_obj
def columns(debug: bool, file: Path, write: bool) -> int:
    """Show the columns of FILE, and propose a mapping file to read it by.

    FILE is a table of any software: text, Parquet, .xlsx or .xls. The proposal is made from what all readers call
    their columns, with a comment where it is unsure; `battery produce` takes it once it lies beside the file.
    """
    settings = start(debug)
    from producer.columns import look_at
    from producer.readers.mapping_file import OWN_SUFFIX
    from producer.readers.proposal import propose

    beside = file.with_name(file.name + OWN_SUFFIX)
    if write and beside.exists():
        raise BatteryError(f"{beside} is there already; remove it, or edit it")
    table, reader = look_at(file, settings)
    text = propose(table, file.name)
    if reader is not None:
        say(f"# {file.name} is read by the reader {reader} and needs no mapping; with one it is read by that")
    for place, title in enumerate(table.titles):
        say(f"# {title}: {', '.join(table.values(place))}")
    for line in text.splitlines():
        say(line)
    if write:
        try:
            beside.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BatteryError(f"{beside} cannot be written: {error.strerror or error}") from None
        say(f"# written to {beside}")
    return 0
