"""What an Arbin workbook states of its tests beside their readings, in a sheet Info or Global_Info.

Such a sheet has a title, below it the name of the test, and a table with a row for each channel. Who made the test
stands there too, and is left out.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Final

from python_calamine import CalamineError

from producer.readers.sheets.channels import channel_of
from producer.readers.tables.titles import base_and_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from python_calamine import CalamineWorkbook

_SHEET: Final = re.compile(r"^(global[ _]?)?info", re.IGNORECASE)
_REPORT: Final = "test report"
_ROWS: Final = 200
"""So many rows are looked at; a workbook has hardly as many channels."""

_KEYS: Final = {
    "channel": ("channel", (None,)),
    "testname": ("test_name", (None,)),
    "itemid": ("item", (None,)),
    "schedulefilename": ("schedule", (None,)),
    "startdatetime": ("started_at", (None,)),
    "mass": ("mass_g", (None, "g")),
    "capacity": ("nominal_capacity_ah", (None, "Ah")),
    "serialnumber": ("cycler", (None,)),
    "softwareversion": ("software", (None,)),
}
"""Columns by the bases of their titles, to keys of the metadata and the units in which their values are taken."""

_NUMBERS: Final = ("mass_g", "nominal_capacity_ah")


def stated(book: CalamineWorkbook) -> dict[str, dict[str, str]]:
    """What a workbook states, by channel, with the keys of `About`; under "" what it states of no channel alone."""
    found: dict[str, dict[str, str]] = {}
    for name in book.sheet_names:
        if not _SHEET.match(name):
            continue
        try:
            rows = book.get_sheet_by_name(name).to_python(nrows=_ROWS)
        except CalamineError:  # readings do not need it
            continue
        for channel, values in _of_rows(rows).items():
            found.setdefault(channel, {}).update(values)
    return found


def said_of(channel: str, said: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What is stated of one channel, by whatever zeros and sheets its name is written with."""
    own = next((values for name, values in said.items() if name and _same(name, channel)), {})
    return {**said.get("", {}), **own, "channel": channel}


def _same(one: str, two: str) -> bool:
    return channel_of(one).casefold() == channel_of(two).casefold()


def _of_rows(rows: Sequence[Sequence[object]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows):
        texts = [str(cell).strip().casefold() for cell in row]
        if _REPORT in texts and number + 1 < len(rows):
            name = _text("test_name", rows[number + 1][texts.index(_REPORT)])
            found[""] = {"test_name": name} if name else {}
        places = _places(row)
        if "channel" not in places or len(places) < 2:  # noqa: PLR2004  # a title alone is no table
            continue
        for below in rows[number + 1 :]:
            channel = str(below[places["channel"]]).strip()
            if not channel:
                break
            values = {key: _text(key, below[at]) for key, at in places.items()}
            found[channel] = {key: value for key, value in values.items() if value}
        break
    return found


def _places(row: Sequence[object]) -> dict[str, int]:
    """Where the columns stand, by the keys of the metadata."""
    places: dict[str, int] = {}
    for at, cell in enumerate(row):
        base, unit = base_and_unit(str(cell).strip())
        key, units = _KEYS.get(base, ("", ()))
        if unit in units:
            places.setdefault(key, at)
    return places


def _text(key: str, cell: object) -> str:
    """A cell as text; zeros stand where nobody has given a number, and folders of schedules are named after people."""
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell).strip()
    if key in _NUMBERS and text in {"0", "0.0"}:
        return ""
    if key == "schedule":
        return PureWindowsPath(text).name
    return f"Arbin {text}" if key == "cycler" and text else text
