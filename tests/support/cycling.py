"""Workbooks of cells that were cycled, with every number known beforehand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import openpyxl

from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

START = datetime(2024, 3, 1, 9)  # noqa: DTZ001  # a cycler's wall clock has no zone
STEP_MINUTES = 30
ROWS_EACH = 2 * STEP_MINUTES + 4
"""Readings of a cycle: one a minute."""

Row = list[Any]


def cycled(cycles: int, ampere: float = 2.0, *, start: datetime = START) -> list[Row]:
    """The readings of a test: in each cycle two minutes of rest, half an hour of charge, rest, and of discharge.

    So a cycle charges and discharges half an ampere-hour for each ampere. `start` is that of the test's clock.
    """
    rows: list[Row] = []
    counters = [0.0, 0.0, 0.0, 0.0]
    for cycle in range(1, cycles + 1):
        steps = ((1, 2, 0.0), (2, STEP_MINUTES, ampere), (3, 2, 0.0), (4, STEP_MINUTES, -ampere))
        for step, minutes, current in steps:
            for minute in range(1, minutes + 1):
                point = len(rows) + 1
                share = minute / minutes if step in {2, 4} else 0.0
                voltage = round({1: 3.0, 2: 3.0 + 1.1 * share, 3: 4.1, 4: 4.1 - 1.3 * share}[step] + ampere / 1000, 9)
                moved = abs(current) / 60
                counters[0 if current > 0 else 1] += moved
                counters[2 if current > 0 else 3] += moved * voltage
                clock = start + timedelta(seconds=60 * point)
                shown = [float(f"{counter:.15g}") for counter in counters]
                rows.append([point, 60.0 * point, clock, 60.0 * minute, step, cycle, current, voltage, *shown])
    return rows


def numbered_anew(rows: Sequence[Row], *, timed_anew: bool = True) -> list[Row]:
    """A cut of a test as some exports have it: data points, and perhaps Test_Time, restart."""
    since = rows[0][1] - 60.0 if timed_anew else 0.0
    return [[number, row[1] - since, *row[2:]] for number, row in enumerate(rows, 1)]


def workbook(path: Path, rows: Sequence[Row], *, sheet: str = "Channel_1-001") -> Path:
    """Write a workbook of one channel sheet."""
    return workbook_of(path, {sheet: rows})


def workbook_of(path: Path, sheets: Mapping[str, Sequence[Row]]) -> Path:
    """Write a workbook of some channel sheets, in the order given."""
    book = openpyxl.Workbook(write_only=True)
    book.create_sheet("Info").append(["TEST REPORT"])
    for name, rows in sheets.items():
        channel = book.create_sheet(name)
        for row in [list(HEADER[:12]), *rows]:
            channel.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path
