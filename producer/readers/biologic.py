"""The reader of BioLogic's .mpt text exports, by EC-Lab or BT-Lab, with their header or without it.

The line `Nb header lines : N` says where the titles are. Texts are in Latin-1, cells stand between tabs, and decimals
behind a point or a comma. The clock is when the acquisition started and the time since then, which may be high from the
start where a technique follows others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.base import Workbook
from producer.readers.biologic_columns import biologic_record, names_among, said_of_spectra, spectrum_among
from producer.readers.make import as_test
from producer.readers.names import cell_id_of
from producer.readers.tables.encodings import first_lines
from producer.readers.tables.starts import DATED_BY_START, clock_since
from producer.readers.tables.table import Table
from producer.readers.tables.texts import HEAD_LINES, Text, read_table, titles_in
from producer.readers.tables.titles import Column
from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.sample import FileSample

MAGIC: Final = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
SPECTRA: Final = (
    "holds impedance spectra (freq/Hz), not readings of charge and discharge; leave it out, or export the other "
    "techniques alone"
)

MODE, RESTS = "mode", "3"
"""The column of what is controlled: 1 the current, 2 the voltage, 3 nothing."""

_TITLES: Final = r"^(mode\tox/red\t|(.*\t)?time/s(\t|$))"
_ONLY_TITLES: Final = re.compile(r"(?=(.*\t)?time/s(\t|\s*$))(?=(.*\t)?<?(Ecell|Ewe)>?/V(\t|\s*$))")
"""What the first line has where columns were chosen for an export without a header."""

_COUNT: Final = re.compile(r"^Nb header lines\s*:\s*(\d{1,6})\s*$", re.IGNORECASE)
_STATED: Final = re.compile(r"^\s*(?P<name>[^:\t]+?)\s*:\s*(?P<value>.*?)\s*$")
_AMOUNT: Final = re.compile(r"^(?P<number>\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-z\u00b5.]+)$")
_GRAMS: Final = {"ug": 1e-6, "\u00b5g": 1e-6, "mg": 1e-3, "g": 1.0, "kg": 1e3}
_AMPERE_HOURS: Final = {"A.h": 1.0, "mA.h": 1e-3, "\u00b5A.h": 1e-6}
_NOT_STATED_G: Final = 1e-6
"""The mass that EC-Lab has where nobody stated one: 0.001 mg."""


@dataclass(frozen=True)
class BiologicReader:
    """Reads BioLogic's .mpt text exports; see `producer.readers.base.Reader`."""

    name: str = "biologic"
    suffixes: tuple[str, ...] = (".mpt",)

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format, by its first line."""
        first = (sample.text or "").partition("\n")[0]
        return first.startswith((*MAGIC, "mode\tox/red\t")) or _ONLY_TITLES.match(first) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no line with the titles, holds impedance spectra, lacks a column, or a cell of it
                cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        text, header = _with_head(Text.of(path, options.name))
        titles = titles_in(text.head[header], "\t")
        preamble = text.head[:header]
        technique = _technique(preamble)
        frequency = spectrum_among(titles)
        if frequency == titles[0] or (frequency is not None and "impedance" in technique.casefold()):
            raise text.error(SPECTRA, header)
        also = (MODE,) if frequency is None else (MODE, frequency)
        table, found = read_table(text, header, names_among(titles), needed=("voltage", "test_time"), also=also)
        clock, assumed = None, list[str]()
        if frequency is not None:
            frequencies = table.numbers(frequency)
            if (frequencies > 0).all():
                raise text.error(SPECTRA, header)
            assumed += [said] if (said := said_of_spectra(frequencies)) else []
        times = table.columns[found["test_time"].title]
        if pa.types.is_string(times.type) and ":" in (times[0].as_py() or ""):
            table, found, clock, said_of_dates = _with_times(table, found, options)
            assumed += said_of_dates
        is_rest = "open circuit" in technique.casefold()
        if not is_rest and MODE in table.columns:
            is_rest = set(table.texts(MODE).unique().to_pylist()) == {RESTS}
        record = biologic_record(table, found, is_rest=is_rest)
        record.date_time = clock
        record.assumed += assumed
        if clock is None:
            _date_by_header(record, preamble, options)
        cell_id = options.cell_id or cell_id_of(options.name)
        test = as_test(record, cell_id, options.name, self.name, metadata=_metadata(preamble, technique))
        return Workbook(options.name, cell_id, (test,))


READER: Final = BiologicReader()


def _with_head(text: Text) -> tuple[Text, int]:
    """The text with all lines of its header at hand, and the index of that with the titles.

    Raises:
        BadWorkbookError: there is no line with titles.
    """
    counts = [int(match[1]) for line in text.head[:5] if (match := _COUNT.match(line))]
    if counts and counts[0] >= len(text.head):
        text = replace(text, head=first_lines(text.utf8, counts[0] + HEAD_LINES))
    if counts and 0 < counts[0] <= len(text.head) and re.match(_TITLES, text.head[counts[0] - 1]):
        return text, counts[0] - 1
    header = text.find(_TITLES)
    if header is None and counts and 0 < counts[0] <= len(text.head) and "\t" in text.head[counts[0] - 1]:
        header = counts[0] - 1
    if header is None:
        raise text.error(
            "has no line of titles with time/s, as BioLogic's .mpt files have; export it as text with EC-Lab"
        )
    return text, header


def _with_times(
    table: Table, found: dict[str, Column], options: ReadOptions
) -> tuple[Table, dict[str, Column], pa.Array, list[str]]:
    """The table with seconds since its first reading in place of absolute times, and these as the clock."""
    title = found["test_time"].title
    stamps, said = table.stamps(title, np.arange(len(table), dtype=np.float64), options.dates, "mdy")
    if stamps.null_count:
        raise table.error(title, "the cell is empty; every reading needs it", stamps.is_valid().index(False).as_py())
    us = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)
    seconds = pa.chunked_array([pa.array((us - us[0]) / 1e6)])
    table = replace(table, columns={**table.columns, title: seconds})
    return table, {**found, "test_time": Column(title, SAME)}, stamps, [said] if said else []


def _date_by_header(record: Record, preamble: Sequence[str], options: ReadOptions) -> None:
    """Make the clock of when the acquisition started; EC-Lab writes the month first in any language."""
    text = _stated(preamble).get("acquisition started on", "")
    if not text or record.test_time is None:
        return
    column = pa.chunked_array([[text]])
    row = next(number for number, line in enumerate(preamble, 1) if text in line)
    stamps, _ = Table(options.name, {"Acquisition started on": column}, first_row=row).stamps(
        "Acquisition started on", record.test_time[:1], options.dates, "mdy"
    )
    record.date_time = clock_since(stamps[0].as_py(), record.test_time)
    record.assumed.append(DATED_BY_START)


def _stated(preamble: Sequence[str]) -> dict[str, str]:
    """What the lines of the header state, by the name before the colon in lower case; the first of a name counts."""
    stated: dict[str, str] = {}
    for line in preamble:
        match = _STATED.match(line)
        if match is not None:
            stated.setdefault(match["name"].casefold(), match["value"])
    return stated


def _technique(preamble: Sequence[str]) -> str:
    """The technique, which stands alone in the first line that is not empty after the number of lines."""
    for index, line in enumerate(preamble[:5]):
        if _COUNT.match(line):
            following = next((one.strip() for one in preamble[index + 1 :] if one.strip()), "")
            return "" if ":" in following or "\t" in following else following
    return ""


def _metadata(preamble: Sequence[str], technique: str) -> dict[str, str]:
    """What the header states of cell and test; no user, no comment, no path of a computer."""
    stated = _stated(preamble)
    mass = _amount(stated.get("mass of active material", ""), _GRAMS)
    capacity = _amount(stated.get("battery capacity", ""), _AMPERE_HOURS)
    device = stated.get("device", "")
    settings_file = stated.get("loaded setting file", "")
    return {
        "schedule": "" if settings_file.casefold() == "none" else settings_file,
        "technique": technique,
        "channel": stated.get("run on channel", "").partition(" (")[0],
        "mass_g": "" if mass is None or mass <= _NOT_STATED_G else f"{mass:g}",
        "nominal_capacity_ah": f"{capacity:g}" if capacity else "",
        "cycler": f"BioLogic {device}".strip(),
    }


def _amount(text: str, units: dict[str, float]) -> float | None:
    match = _AMOUNT.match(text)
    if match is None or match["unit"] not in units:
        return None
    return float(match["number"].replace(",", ".")) * units[match["unit"]]
