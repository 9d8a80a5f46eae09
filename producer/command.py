"""`battery produce`, which `python -m producer` is too: workbooks to the topic."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kernel.base.command import EXIT_INCOMPLETE, EXIT_TERMINATED
from kernel.base.errors import BatteryError
from kernel.base.output import LINES, complain, say
from kernel.base.startup import start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings
    from producer.publish import Summary
    from producer.readers.mapping_file import MappingFile


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--cell", "cells", multiple=True, metavar="[CHANNEL=]ID",
    help="The cell's id; by default it is read off each file's name. With CHANNEL= that of one channel, as its sheet "
    "names it (1-002=CELL_B); may be repeated.",
)  # fmt: skip
@click.option(
    "--format", "encoding", type=click.Choice(["arrow", "json"]), default="arrow", show_default=True,
    help="Encoding of the messages.",
)  # fmt: skip
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True),
    help="Replay the readings at this many times real time; by default all at once.",
)  # fmt: skip
@click.option(
    "--dates", "date_order", type=click.Choice(["dmy", "mdy", "ymd"]),
    help="The order of dates such as 10/03/2024 in texts; by default each workbook must show it. Above DATE_ORDER.",
)  # fmt: skip
@click.option(
    "--reader", metavar="NAME",
    help="Insist on a reader, whatever the content of the files looks like; a wrong name is answered with all names.",
)  # fmt: skip
@click.option(
    "--mapping", "mapping_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Read all files as tables by this mapping file; `battery columns FILE` proposes one. A mapping.yaml beside "
    "the files, or <file>.mapping.yaml, needs no option.",
)  # fmt: skip
@click.option(
    "--cell-pattern", metavar="REGEX",
    help="Where the cell stands in the names of files: a regular expression with a group (?P<cell>...). Above "
    "CELL_PATTERN, below --cell.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Keep watching the folder SOURCE for new workbooks.")
@click.option(
    "--again", is_flag=True,
    help="Publish workbooks that this log already has, too, and read again what was refused before.",
)  # fmt: skip
@click.option(
    "--skip-landed", is_flag=True,
    help="Skip workbooks that went to an earlier log, such as that of a broker without a disk, and have landed.",
)  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(min=1),
    help="How many workbooks to read at a time, each in a process of its own; by default one for each usable core, as "
    "far as there is READER_MEMORY_BYTES of memory for each.",
)  # fmt: skip
@click.pass_obj
def produce(
    debug: bool,
    sources: tuple[str, ...],
    cells: tuple[str, ...],
    encoding: str,
    speed: float | None,
    date_order: Literal["dmy", "mdy", "ymd"] | None,
    reader: str | None,
    mapping_path: Path | None,
    cell_pattern: str | None,
    watch: bool,
    again: bool,
    skip_landed: bool,
    processes: int | None,
) -> int:
    """Publish files of readings to the topic.

    SOURCE is a file of a cycler, or any table with a mapping file, a .zip, .gz or .bz2 of such, a folder, an http(s)
    URL, or the name of a CALCE data set such as CS2_35. Exits with 1 when a file was refused; the others have gone out
    all the same.
    """
    settings = start(debug)
    from kernel.base.stopping import STOP, leave_on_signals
    from producer.files import BadSourceError
    from producer.inbox import watch_folder
    from producer.publish import Options, publish
    from producer.readers.registry import reader_named
    from producer.sources import record_refused_sources, require_sources
    from producer.spool import reading_processes

    if date_order is not None:
        settings = settings.model_copy(update={"date_order": date_order})
    cell, channel_cells = _cells_asked(cells)
    options = Options(
        cell,
        encoding,
        speed,
        again,
        processes or reading_processes(settings),
        channel_cells=channel_cells,
        reader=None if reader is None else reader_named(reader).reader.name,
        mapping=_mapping(mapping_path, settings),
        cell_pattern=_cell_pattern(cell_pattern) or settings.cell_pattern,
    )
    if skip_landed:
        from functools import partial

        from kernel.edges.warehouse import open_warehouse
        from sink.care.landed import landed_offsets

        options = replace(options, landed=partial(landed_offsets, open_warehouse(settings)))
    if not watch:
        import signal

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that what waits on disk goes with us
        try:
            require_sources(sources, insists=options.insists)
        except BadSourceError:
            with suppress(BatteryError):  # what is wrong with them is said all the same
                record_refused_sources(settings, sources, cell)
            raise
        summary = publish(settings, sources, options)
        _report(summary)
        return EXIT_INCOMPLETE if summary.failed else 0
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        raise BatteryError(f"--watch needs one folder, not {' '.join(sources)}")
    leave_on_signals()  # so that what waits in the temporary folder goes with us
    for summary in watch_folder(settings, Path(sources[0]), options, STOP):
        _report(summary)
    return 0


def _mapping(path: Path | None, settings: Settings) -> MappingFile | None:
    """The mapping file that the user names, which insists, or else that of the settings, which does not.

    Raises:
        BatteryError: it cannot be read, or cannot be used.
    """
    from producer.readers.mapping import MappingError, mapping_of
    from producer.readers.mapping_file import MappingFile

    named = path or settings.mapping_file
    if named is None:
        return None
    try:
        mapping = MappingFile.of(named, insists=path is not None)
        mapping_of(mapping)
    except OSError as error:
        raise BatteryError(f"the mapping file {named} cannot be read: {error.strerror or error}") from None
    except MappingError as error:
        raise BatteryError(str(error)) from None
    return mapping


def _cell_pattern(pattern: str | None) -> str | None:
    from kernel.base.settings import require_cell_pattern

    if pattern is not None:
        try:
            require_cell_pattern(pattern)
        except ValueError as error:
            raise BatteryError(f"--cell-pattern {error}") from None
    return pattern


def _cells_asked(cells: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """What `--cell` says: the cell of all, if any, and those of channels.

    Raises:
        BatteryError: it says two things of one, or names nothing.
    """
    of_all: list[str] = []
    of_channels: dict[str, str] = {}
    for option in cells:
        channel, is_channel, cell = option.partition("=")
        if not option or (is_channel and not (channel and cell)):
            raise BatteryError(
                f"--cell {option!r} names no cell; give --cell ID, or --cell CHANNEL=ID as in 1-002=CELL_B"
            )
        if is_channel and of_channels.setdefault(channel, cell) != cell:
            raise BatteryError(f"--cell names two cells for channel {channel}: {of_channels[channel]} and {cell}")
        of_all += [] if is_channel else [option]
    if len(set(of_all)) > 1:
        raise BatteryError(f"--cell names several cells: {', '.join(of_all)}; give one, or --cell CHANNEL=ID for each")
    return (of_all[0] if of_all else None), of_channels


def _report(summary: Summary) -> None:
    from producer.passed_over import in_words

    landed = f" ({summary.landed} have landed from an earlier log)" if summary.landed else ""
    left_alone = f"; {len(summary.left_alone)} left alone, as refused before" if summary.left_alone else ""
    say(
        f"published {summary.rows} rows of {summary.workbooks} workbooks in {summary.messages} messages; "
        f"{summary.skipped} skipped{landed}, {len(summary.failed)} refused{left_alone}"
    )
    for line in summary.remarks:
        if LINES.as_json:
            complain(f"note: {line}")
        else:
            say(f"  note: {line}", err=True)
    for line in summary.failed:
        if LINES.as_json:
            complain(f"refused: {line}")
        else:
            say(f"  refused: {line}", err=True)
    if summary.others:
        line = f"passed over: {in_words(summary.passed_over, summary.others)}; `battery quarantine list` says why"
        if LINES.as_json:
            complain(line, level="warning")
        else:
            say(f"  {line}", err=True)
