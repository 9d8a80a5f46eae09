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
@click.option("--anyway", is_flag=True, help="Propose a mapping also for a file that a reader reads without one.")
@click.pass_obj
def columns(debug: bool, file: Path, write: bool, anyway: bool) -> int:
    """Show the columns of FILE, and propose a mapping file to read it by.

    FILE is a table of any software: text, Parquet, .xlsx or .xls. The proposal is made from what all readers call
    their columns and from their first values, with a comment where it is unsure; `battery produce` takes it once it
    lies beside the file. A file that a reader reads already needs none, and is told so.
    """
    settings = start(debug)
    from producer.columns import look_at
    from producer.readers.mapping_file import OWN_SUFFIX
    from producer.readers.proposal import propose

    beside = file.with_name(file.name + OWN_SUFFIX)
    if write and beside.exists():
        raise BatteryError(f"{beside} is there already; remove it, or edit it")
    table, reader = look_at(file, settings)
    may_propose = table is not None and bool(table.titles)
    if reader is not None:
        _say_read(file, reader, may_propose=may_propose, write=write, anyway=anyway)
    if table is None or not may_propose:
        return 0
    for place, title in enumerate(table.titles):
        values = table.values(place)
        if title or any(values):
            say(f"# {title}: {('; ' if any(',' in value for value in values) else ', ').join(values)}")
    if reader is None or anyway:
        text = propose(table, file.name)
        for line in text.splitlines():
            say(line)
        if write:
            _write(beside, text)
    return 0


def _say_read(file: Path, reader: str, *, may_propose: bool, write: bool, anyway: bool) -> None:
    """Say that a reader reads the file.

    Raises:
        BatteryError: a mapping is to be written for it, and that was not insisted on.
    """
    known = f"{file.name}: read by {reader} already; no mapping is needed"
    if write and not (anyway and may_propose):
        raise BatteryError(f"{known}, and none was written" + ("; --anyway writes one" if may_propose else ""))
    say(f"# {known}" + ("; --anyway proposes one all the same" if may_propose and not anyway else ""))


def _write(path: Path, text: str) -> None:
    """Write a proposal.

    Raises:
        BatteryError: the disk does not take it.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BatteryError(f"{path} cannot be written: {error.strerror or error}") from None
    say(f"# written to {path}")
