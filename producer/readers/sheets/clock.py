"""The wall clock of a column that holds more than dates: texts in any order of day and month, or numbers of days.

A cell does not say which number of 10/03/2024 is the day. The column as a whole decides: a number above 12 is not a
month, and the clock must advance as Test_Time does. Where both leave it open, the export date in the file's name may
decide. Where nothing does, the file is refused, since a wrong guess would move a test by months unnoticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.sheets.cells import BadCellError, numbers_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa

ORDERS: Final = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}
"""The orders that a date of three numbers may be in, as `--dates` and DATE_ORDER name them."""

DRIFT: Final = 65 / (7 * 86_400)
"""Seconds that a cycler's two clocks drift apart in a second; the most that was seen is 65 s a week."""

CLOCK_CHANGE_SECONDS: Final = 3660.0
"""How far a wall clock may leave Test_Time between two readings, beside that: summer time, and no seconds."""

PAUSE_SECONDS: Final = 86_400.0
"""How far it may run ahead where no order is in question: a test may be paused. Where one is, this would be too much:
the first of March and the first of April are a day apart with day and month exchanged."""

EXPORT_DAYS: Final = 14
"""How long after its last reading a test is exported, at most, for the date of a file's name to tell anything."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199
"""The years that a clock may tell; a number of days beyond them counts something else, such as Unix seconds, and a date
beyond them stands for none."""

HALF_DAY_SECONDS: Final = 43_200.0
HALF_DAY_CLOSE_SECONDS: Final = 60.0
"""How near to half a day a clock falls that has lost AM and PM, beside the drift."""

_EPOCHS: Final = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001  # no zone in workbooks
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
"""English alone: `marras` is no March, but the November of Finland."""
_TIME: Final = (
    r"(?:[T\s,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,:](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?$"
)
_YEAR_FIRST: Final = re.compile(r"^(?P<year>\d{4})[-/.]\s?(?P<month>\d{1,2})[-/.]\s?(?P<day>\d{1,2})\.?" + _TIME)
_NAMED: Final = re.compile(
    r"^(?:(?P<day>\d{1,2})[-\s.]+(?P<month>[A-Za-z]{3,9})|(?P<month_first>[A-Za-z]{3,9})[-\s]+(?P<day_second>\d{1,2}),?)"
    r"[-\s,.]+(?P<year>\d{4}|\d{2})" + _TIME
)
_NUMBERS: Final = re.compile(
    r"^(?P<one>\d{1,2})(?P<mark>[-/.])\s?(?P<two>\d{1,2})(?P=mark)\s?(?P<three>\d{4}|\d{2})" + _TIME
)


class OpenDatesError(BadCellError):
    """Dates whose order of day and month nothing shows."""


@dataclass(frozen=True)
class _Open:
    """A date of three numbers; the column's other dates show which of them is the day."""

    text: str
    numbers: tuple[int, int, int]
    has_long_year: bool
    mark: str
    of_day: time

    def in_order(self, order: str) -> datetime | None:
        """The stamp in an order of day, month and year; None where a calendar has no such day."""
        if order == "ymd" and self.has_long_year:
            return None
        part = dict(zip(order, self.numbers, strict=True))
        try:
            return datetime.combine(date(_full(part["y"]), part["m"], part["d"]), self.of_day)
        except ValueError:
            return None


@dataclass(frozen=True)
class Clues:
    """What helps to read a column of dates.

    `times` are the seconds of Test_Time, reading by reading; `since_1904` tells whether the workbook counts days from
    1904; `exported` is the date in the file's name as year, month and day, zeros where there is none. `order` is a key
    of `ORDERS` that the user has given, or that another sheet of the workbook has shown.
    """

    times: npt.NDArray[np.float64]
    since_1904: bool = False
    exported: tuple[int, int, int] = (0, 0, 0)
    order: str | None = None


def clocks_of(cells: Sequence[object], clues: Clues) -> tuple[list[datetime | None], str | None]:
    """The stamps of a column, and the order that its dates were found to be in, where several were possible.

    Raises:
        OpenDatesError: nothing decides which number of the dates is the day.
        BadCellError: a cell is not a date, or contradicts the others.
    """
    parsed = [_parsed(index, cell, since_1904=clues.since_1904) for index, cell in enumerate(cells)]
    texts = {index: stamp for index, stamp in enumerate(parsed) if isinstance(stamp, _Open)}
    if not texts:
        return [stamp for stamp in parsed if not isinstance(stamp, _Open)], None
    orders = [clues.order] if clues.order else _orders(texts)
    readings: dict[str, list[datetime | None]] = {}
    for order in orders:
        stamps = [stamp.in_order(order) if isinstance(stamp, _Open) else stamp for stamp in parsed]
        if all(stamps[index] is not None for index in texts):
            readings[order] = stamps
    if not readings:
        raise _no_date(texts, orders, given=clues.order is not None)
    order = _decided(readings, texts, clues)
    stamps = readings[order]
    if any(isinstance(cell, date) for cell in cells):
        _require_running(stamps, clues.times, cells)
    return stamps, order


def _orders(texts: Mapping[int, _Open]) -> list[str]:
    """The orders that may be meant: dots stand between day, month and year alone, and years of two digits anywhere."""
    long_years = any(text.has_long_year for text in texts.values())
    dots = any(text.mark == "." for text in texts.values())
    return ["dmy", *([] if dots else ["mdy"]), *([] if long_years else ["ymd"])]


def _decided(readings: Mapping[str, list[datetime | None]], texts: Mapping[int, _Open], clues: Clues) -> str:
    """The order of a column of dates that its calendar leaves some orders for."""
    distinct = {tuple(stamps): order for order, stamps in reversed([*readings.items()])}
    left = [order for order in readings if order in distinct.values()]
    running = [order for order in left if _first_leap(readings[order], clues.times) is None]
    left = running or left
    if len(left) > 1:
        left = _by_export(left, readings, clues.exported) or left
    if len(left) == 1:
        return left[0]
    index = next(index for index in texts if len({readings[order][index] for order in left}) > 1)
    days = " or ".join(f"{readings[order][index]:%Y-%m-%d}" for order in left)
    choice = " or ".join(f"--dates {order} ({ORDERS[order]})" for order in left)
    raise OpenDatesError(
        index,
        f"{texts[index].text!r} may be {days}, and nothing in the column decides; produce it again with {choice}, or "
        f"with DATE_ORDER set so for a watched folder",
    )


def _by_export(
    orders: Sequence[str], readings: Mapping[str, list[datetime | None]], exported: tuple[int, int, int]
) -> list[str]:
    """Those orders in which the last reading comes shortly before the date in the file's name.

    That date is month first, as Arbin's software writes it. A house that writes the day first in its dates may do so
    in its names, too: where that would fit as well, the name tells nothing.
    """
    year, month, day = exported
    by_month, by_day = _date(year, month, day), _date(year, day, month)
    fitting: list[str] = []
    for order in orders:
        last = [stamp for stamp in readings[order] if stamp is not None][-1].date()
        names = [by_month or by_day, by_day if order == "dmy" else None]
        if any(name is not None and -1 <= (name - last).days <= EXPORT_DAYS for name in names):
            fitting.append(order)
    return fitting if len(fitting) == 1 else []


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(_full(year), month, day)
    except ValueError:
        return None


def _first_leap(
    stamps: Sequence[datetime | None], times: npt.NDArray[np.float64], pause: float = CLOCK_CHANGE_SECONDS
) -> int | None:
    """The first reading at which the clock leaves Test_Time; None where it goes on as that does, but for pauses."""
    present = np.array([index for index, stamp in enumerate(stamps) if stamp is not None], np.int64)
    clocks = [stamp for stamp in stamps if stamp is not None]
    clock = np.array([(stamp - clocks[0]).total_seconds() for stamp in clocks])
    leap = _leap(clock, times[present], pause)
    return None if leap is None else int(present[leap])


def _leap(clock: npt.NDArray[np.float64], times: npt.NDArray[np.float64], pause: float) -> int | None:
    passed, expected = np.diff(clock), np.diff(times)
    drift = DRIFT * expected
    too_short = passed < expected - drift - CLOCK_CHANGE_SECONDS
    too_long = passed > expected + drift + pause
    leaps = np.flatnonzero((expected >= 0) & (too_short | too_long))  # where Test_Time falls another test begins
    return int(leaps[0]) + 1 if len(leaps) else None


def require_days_as_days(clock: pa.ChunkedArray, times: npt.NDArray[np.float64]) -> None:
    """Refuse dates that leap by months where they would go on as Test_Time does with day and month exchanged.

    That is what a spreadsheet leaves that took 10/03 and 11/03 for the 3rd of October and the 3rd of November.

    Raises:
        BadCellError: they do.
    """
    if clock.null_count:
        return
    leap = _leap(numbers_in(clock) / 1e6, times, PAUSE_SECONDS)
    if leap is None:
        return
    stamps: list[datetime] = clock.to_pylist()
    if max(stamp.day for stamp in stamps) > 12:  # noqa: PLR2004
        return
    exchanged = [stamp.replace(month=stamp.day, day=stamp.month) for stamp in stamps]
    if _first_leap(exchanged, times) is None:
        raise BadCellError(
            leap,
            f"{stamps[leap]} leaps from {stamps[leap - 1]}, and would go on as Test_Time does with day and month "
            "exchanged, as by a spreadsheet; export it again with YYYY-MM-DD HH:MM:SS",
        )


def require_clock(clock: pa.ChunkedArray, times: npt.NDArray[np.float64]) -> None:
    """Refuse stamps that no cycler's clock shows: in an impossible year, or without the AM and PM that they need.

    Raises:
        BadCellError: there are such.
    """
    first, end = (np.datetime64(f"{year}", "us").astype(np.int64) for year in (FIRST_YEAR, LAST_YEAR + 1))
    ticks = None if clock.null_count else numbers_in(clock)
    if ticks is None or not (first <= ticks.min() and ticks.max() < end):
        for index, stamp in enumerate(clock.to_pylist()):
            if stamp is not None and not FIRST_YEAR <= stamp.year <= LAST_YEAR:
                raise BadCellError(
                    index, f"{stamp} is in the year {stamp.year}, when nothing was measured; use YYYY-MM-DD HH:MM:SS"
                )
    if ticks is not None:
        _require_halves(ticks / 1e6, times)


def _require_halves(clock: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> None:
    """Refuse a clock in s whose hours are 1 to 12 and which falls by half a day, as 1 PM does without its PM."""
    expected = np.diff(times)
    missing = np.abs(expected - np.diff(clock) - HALF_DAY_SECONDS)
    falls = np.flatnonzero((expected >= 0) & (missing <= HALF_DAY_CLOSE_SECONDS + DRIFT * expected))
    hours = clock // 3600 % 24
    if len(falls) and hours.min() >= 1 and hours.max() <= 12:  # noqa: PLR2004
        index = int(falls[0]) + 1
        shown = datetime(1970, 1, 1) + timedelta(seconds=float(clock[index]))  # noqa: DTZ001
        raise BadCellError(
            index,
            f"{shown:%Y-%m-%d %H:%M:%S} is half a day before the reading before it, and no hour of the column is above "
            "12: it has lost AM and PM; export it again with YYYY-MM-DD HH:MM:SS",
        )


def _require_running(
    stamps: Sequence[datetime | None], times: npt.NDArray[np.float64], cells: Sequence[object]
) -> None:
    """Refuse texts beside dates where they do not go on with each other: a spreadsheet has taken days for months."""
    index = _first_leap(stamps, times, PAUSE_SECONDS)
    if index is not None:
        shown = str(cells[index])
        raise BadCellError(
            index,
            f"{shown!r} does not go on from the reading before it as Test_Time does; the column has dates beside "
            "texts, as where a spreadsheet took days for months: export it again with YYYY-MM-DD HH:MM:SS",
        )


def _no_date(texts: Mapping[int, _Open], orders: Sequence[str], *, given: bool) -> BadCellError:
    """The error for the first text that leaves no order for the whole column."""
    left = set(orders)
    index = 0
    for index, text in texts.items():  # noqa: B007  # it is where the loop ends that counts
        left = {order for order in left if text.in_order(order) is not None}
        if not left:
            break
    what = (
        f"is not a date with the {ORDERS[orders[0]].replace(' first', '')} first, as --dates or DATE_ORDER says"
        if given
        else "cannot be a date in the same order as those above it"
    )
    return BadCellError(index, f"{texts[index].text!r} {what}; use YYYY-MM-DD HH:MM:SS")


def _parsed(index: int, cell: object, *, since_1904: bool) -> datetime | _Open | None:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):  # calamine's reading of a stamp at midnight
        return datetime.combine(cell, time())
    if isinstance(cell, timedelta):  # a number of days, shown as a duration
        return _counted(index, cell / timedelta(days=1), since_1904=since_1904)
    if isinstance(cell, float | int) and not isinstance(cell, bool):
        return _counted(index, cell, since_1904=since_1904)
    text = str(cell).strip()
    if not text:
        return None
    stamp = _stamp(text)
    if stamp is None:
        raise BadCellError(index, f"{text!r} is not a date and time; use YYYY-MM-DD HH:MM:SS")
    return stamp


def _counted(index: int, days: float, *, since_1904: bool) -> datetime:
    try:
        stamp = _EPOCHS[since_1904] + timedelta(milliseconds=round(days * 86_400_000))
    except (OverflowError, ValueError):
        raise BadCellError(index, f"{days!r} is not a valid date; fix the cell") from None
    if not FIRST_YEAR <= stamp.year <= LAST_YEAR:
        raise BadCellError(index, f"{days!r} as a number of days is in the year {stamp.year}; use YYYY-MM-DD HH:MM:SS")
    return stamp


def _stamp(text: str) -> datetime | _Open | None:
    """What a text says; a zone behind it is left out, since a clock is the cycler's own."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        pass
    match = _YEAR_FIRST.match(text) or _NAMED.match(text) or _NUMBERS.match(text)
    of_day = _of_day(match) if match else None
    if match is None or of_day is None:
        return None
    if match.re is _NUMBERS:
        numbers = (int(match["one"]), int(match["two"]), int(match["three"]))
        return _Open(text, numbers, len(match["three"]) > 2, match["mark"], of_day)  # noqa: PLR2004
    part: dict[str, str] = {name: value for name, value in match.groupdict().items() if value is not None}
    month = part.get("month") or part["month_first"]
    if not month.isdigit():
        number = next((place for place, name in enumerate(_MONTHS, 1) if name.startswith(month.lower())), None)
        if number is None:
            return None
        month = str(number)
    try:
        day = date(_full(int(part["year"])), int(month), int(part.get("day") or part["day_second"]))
    except ValueError:
        return None
    return datetime.combine(day, of_day)


def _of_day(match: re.Match[str]) -> time | None:
    """The time of day behind a date, midnight where there is none; None where no clock shows it."""
    if match["hour"] is None:
        return time()
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            return None
        hour = hour % 12 + (12 if match["half"][0] in "Pp" else 0)
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        return time(hour, int(match["minute"]), int(match["second"] or 0), int(fraction))
    except ValueError:
        return None


def _full(year: int) -> int:
    """A year of two digits in full."""
    return year if year > 99 else year + (2000 if year < 70 else 1900)  # noqa: PLR2004
