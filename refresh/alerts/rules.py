"""The lab's own thresholds of alerts: the file BATTERY_ALERT_RULES, checked before dbt reads it."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of alert: what people call it, its unit, and the thresholds that make sense."""

    words: str
    unit: str
    least: float
    most: float


KINDS: Final = {
    "fast_fade": Kind("fast fade", "% in 100 cycles", 0.0, 100.0),
    "knee": Kind("knee", "a clearness between 0 and 1", 0.0, 1.0),
    "end_of_life": Kind("end of life", "cycles", 0.0, 1e6),
    "low_efficiency": Kind("low efficiency", "a share of 1, such as 0.98", 0.0, 1.2),
    "high_temperature": Kind("high temperature", "°C", -100.0, 1000.0),
    "stopped": Kind("stopped sending", "h", 0.01, 1e5),
}
"""The kinds of alerts by their names in the tables."""

HEADER: Final = ("cell_group", "kind", "threshold")

OFF: Final = "off"
"""In the place of a threshold it turns a kind off."""


def require_rules(path: Path) -> None:
    """Check the file, of which each line has a group of cells (none for all), a kind, and a threshold or `off`.

    Raises:
        BatteryError: it cannot be read or used; the message names the row, counted as a spreadsheet does, and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else reason
        raise BatteryError(f"BATTERY_ALERT_RULES={path} cannot be read: {reason}") from None
    header = tuple(rows[0]) if rows else ()
    if header != HEADER:
        raise BatteryError(
            f"BATTERY_ALERT_RULES={path} must begin with the line {','.join(HEADER)}; it begins with "
            f"{','.join(header)[:200] or 'nothing'}"
        )
    seen: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if fault := _fault(row):
            raise BatteryError(f"BATTERY_ALERT_RULES={path}, row {number}, {fault}")
        group, kind = row[0].strip(), row[1].strip()
        if (group, kind) in seen:
            raise BatteryError(
                f"BATTERY_ALERT_RULES={path}, row {number}: {kind} of {group or 'all cells'} is in row "
                f"{seen[group, kind]} already; leave one of them out"
            )
        seen[group, kind] = number


def _fault(row: list[str]) -> str | None:
    """What is wrong with a line, by its column; None where nothing is."""
    if len(row) != len(HEADER):
        return f"column threshold: the line has {len(row)} values instead of 3; quote a group that has a comma"
    kind, threshold = row[1].strip(), row[2].strip()
    if kind not in KINDS:
        return f"column kind: {kind!r} is no kind of alert; there are {', '.join(KINDS)}"
    if threshold == OFF:
        return None
    known = KINDS[kind]
    try:
        value = float(threshold)
    except ValueError:
        value = math.nan
    if not known.least <= value <= known.most:
        return (
            f"column threshold: {threshold!r} is no threshold of {kind}, which is {known.unit}, a number from "
            f"{known.least:g} to {known.most:g}; or write {OFF}"
        )
    return None
