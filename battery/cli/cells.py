"""`battery cells`: what a lab knows of its cells that no file says; shown, set, imported and exported."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from kernel.base.errors import BatteryError
from kernel.base.output import say
from kernel.base.startup import start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value
    from sink.cells.change import CellChange


@click.group()
def cells() -> None:
    """Tell the pipeline what you know of your cells: group, mass, protocol, notes, and columns of your own.

    Each change is a message on the topic BATTERY_CELLS_TOPIC, and shows in the tables with the next refresh. The
    columns group, chemistry, format, protocol, nominal_capacity_ah, charge_limit_v, discharge_limit_v,
    full_cycle_min_ah, full_cycle_max_v, mass_g, area_cm2, temperature_c, tags and notes have a meaning; any other name
    is a free column.
    """


_NAMES: Final = 10
"""How many cells are named in a line."""

_dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON, a line a cell.")


@cells.command("list")
@_json_option
@click.pass_obj
def cells_list(debug: bool, as_json: bool) -> None:
    """List the cells of which anything is known, with what is known."""
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.cells.history import read_refused

    known = _known(settings)
    for cell_id, metadata in known.items():
        if as_json:
            say(json.dumps({"cell_id": cell_id, **metadata}))
        elif metadata:
            say(f"{cell_id}  {_in_words(metadata)}")
    if not as_json:
        told = sum(bool(metadata) for metadata in known.values())
        say(f"something is known of {_cells(told)}" if told else "nothing is known yet; see `battery cells set --help`")
        if refused := read_refused(open_warehouse(settings)):
            say(f"{len(refused)} messages count for nothing; `battery cells refused` says why")


@cells.command("refused")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, a line a message.")
@click.pass_obj
def cells_refused(debug: bool, as_json: bool) -> None:
    """List the messages about cells that count for nothing, each with the reason; other programs may have sent them."""
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.cells.change import read_known
    from sink.cells.history import read_refused

    warehouse = open_warehouse(settings)
    read_known(settings, warehouse)  # lands what is new
    refused = read_refused(warehouse)
    for message in refused:
        say(json.dumps(asdict(message), default=str) if as_json else message)
    if not refused and not as_json:
        say("no message about a cell was refused")


@cells.command("show")
@click.argument("cell", metavar="CELL")
@_json_option
@click.pass_obj
def cells_show(debug: bool, cell: str, as_json: bool) -> None:
    """Show what is known of a cell, a line a column, and how it came to be."""
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.cells.history import read_history

    known = _known(settings).get(cell)
    if known is None:
        raise BatteryError(f"nothing is known of a cell {cell}; `battery cells list` lists those of which anything is")
    if as_json:
        say(json.dumps({"cell_id": cell, **known}))
        return
    from kernel.contract.cell_metadata import in_order, value_text

    say(*(f"{name:<20} {value_text(known[name])}" for name in in_order(known)))
    say("history")
    for at, change in read_history(open_warehouse(settings), cell):
        say(*(f"{at:%Y-%m-%d %H:%M:%S} UTC  {line}" for line in change.lines()))


@cells.command("set")
@click.argument("cell", metavar="CELL")
@click.argument("values", metavar="COLUMN=VALUE...", nargs=-1, required=True)
@_dry_run_option
@click.pass_obj
def cells_set(debug: bool, cell: str, values: tuple[str, ...], dry_run: bool) -> None:
    """Set values of a cell; COLUMN= without a value takes one away. Tags are parted by commas.

    Such as: battery cells set CS2_35 group=fast mass_g=45.2 tags=reference,calce "notes=opened after 900 cycles"
    """
    settings = start(debug)
    from kernel.contract.cell_metadata import column_name, parse_value

    change: dict[str, Value | None] = {}
    for pair in values:
        name, separator, text = pair.partition("=")
        if not separator:
            raise BatteryError(f"{pair!r} is no COLUMN=VALUE; write one such as group=fast, or group= to take it away")
        column = column_name(name)
        if column in change:
            raise BatteryError(f"{column} is there twice")
        change[column] = parse_value(column, text)
    _change(settings, {cell: change}, dry_run=dry_run)


@cells.command("import")
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--clear", is_flag=True, help="An empty cell of the sheet takes the value away; else it leaves it.")
@_dry_run_option
@click.pass_obj
def cells_import(debug: bool, file: Path, clear: bool, dry_run: bool) -> None:
    """Set what a CSV file says: a line a cell, named in the column cell_id; each other column is a value.

    Cells and columns that the file does not have stay as they are. The whole file is checked before anything changes.
    """
    settings = start(debug)
    from sink.cells.sheet import read_csv

    sheet = read_csv(file)
    if not clear and sheet.empty_count:
        say(f"{sheet.empty_count} empty cells of the sheet leave the values as they are; --clear takes them away")
    _change(settings, sheet.changes(clear=clear), dry_run=dry_run)


@cells.command("export")
@click.argument("file", metavar="[FILE.csv]", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def cells_export(debug: bool, file: Path | None) -> None:
    """Write what is known as CSV, to FILE or the terminal; `battery cells import` takes it back unchanged."""
    known = {cell: metadata for cell, metadata in _known(start(debug)).items() if metadata}
    from sink.cells.sheet import to_csv

    text = to_csv(known)
    if file is None:
        click.echo(text, nl=False)  # not by `say`: a note may have several lines
        return
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BatteryError(f"{file} cannot be written: {error.strerror}") from None
    say(f"wrote {_cells(len(known))} to {file}")


def _known(settings: Settings) -> dict[str, dict[str, Value]]:
    from kernel.edges.warehouse import open_warehouse
    from sink.cells.change import read_known

    return read_known(settings, open_warehouse(settings))


def _change(settings: Settings, changes: dict[str, dict[str, Value | None]], *, dry_run: bool) -> None:
    """Make changes, and say what they were."""
    from kernel.contract.cell_metadata import COLUMNS, in_order
    from kernel.edges.warehouse import open_warehouse
    from sink.cells.change import change_cells
    from sink.cells.events import landed_cells

    warehouse = open_warehouse(settings)
    made: Sequence[CellChange] = change_cells(settings, warehouse, changes, dry_run=dry_run)
    for change in made:
        say(*change.lines())
    free = in_order({name for change in made for name in change.after.keys() - change.before} - COLUMNS.keys())
    if free:
        say(f"free columns: {', '.join(free)}")
    file = settings.warehouse_address.file  # a dry run does not make it
    landed = frozenset() if file is not None and not file.exists() else landed_cells(warehouse)
    if strangers := [change.cell_id for change in made if change.cell_id not in landed]:
        say(f"no readings have landed of {_some(strangers)}; it shows once they have")
    if not made:
        say("nothing changes: all of it is known already")
    elif dry_run:
        say(f"{_cells(len(made))} would change; nothing has, because of --dry-run")
    else:
        say(f"changed {_cells(len(made))}; the tables have it after the next refresh, which `battery transform` runs")


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _some(names: Sequence[str]) -> str:
    """Names for a line: the first of them, and how many others there are."""
    left = len(names) - _NAMES
    return ", ".join(names) if left <= 0 else f"{', '.join(names[:_NAMES])} and {left} others"


def _in_words(metadata: dict[str, Value]) -> str:
    from kernel.contract.cell_metadata import in_order, value_text

    return ", ".join(f"{name}={value_text(metadata[name])}" for name in in_order(metadata))
