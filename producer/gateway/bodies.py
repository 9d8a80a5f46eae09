"""What was posted: JSON to readings of cells, and these to messages of the topic.

What can be told at once is told: text that is no JSON, a reading without a cell, and a column that the contract
requires and no reading has, since that is a sender that is set up wrong. A single reading that the worker will
quarantine is sent all the same: there it is seen, counted, and can be published again.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kernel.contract.reading import REQUIRED, TEXT_BYTES
from kernel.contract.show import first_line, quoted
from producer.gateway.names import EXAMPLES, Plan, UnknownUnitError, plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.contract.weight import Limits
    from producer.readers.units import Unit

DEFAULTS: Final = ("cell_id", "test_id", "cycle_index", "step_index")
"""Columns that the address of a request may give, for readings that have none of their own."""

MOST_PROBLEMS: Final = 20
"""Lines that an answer has at most."""

MOST_NAMES: Final = 10
"""Names that a line has at most."""

TICKS: Final = 1000.0
"""Data points in a second, where a reading has only its test time. It is no count, but it is the same number when the
reading is sent again, whoever has been started anew since."""

_Row = dict[str, Any]


class BadBodyError(Exception):
    """What was posted cannot be sent; one line a problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        more = len(problems) - MOST_PROBLEMS
        self.problems = (*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 1 else problems[MOST_PROBLEMS:]))


class TooLargeBodyError(Exception):
    """What was posted is larger than may be sent at once; says what is and how large it may be."""


@dataclass
class Posted:
    """The readings of a body, those of each cell in the order in which they came, and what is to be said of them."""

    cells: dict[str, list[_Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many readings there are."""
        return sum(map(len, self.cells.values()))


@dataclass(frozen=True)
class Outgoing:
    """A message: a JSON array of `rows` readings of a cell."""

    cell_id: str
    rows: int
    value: bytes


def read_body(body: bytes, defaults: Mapping[str, str], *, lines: bool, most_rows: int) -> Posted:
    """Read what was posted.

    Args:
        body: an object, an array of objects, or an object a line.
        defaults: of `DEFAULTS`, those that the address gives.
        lines: whether it is an object a line.
        most_rows: how many readings it may have.

    Raises:
        BadBodyError: it is no JSON, a reading has no cell, a name says an unknown unit, or all readings lack a column
            that the contract requires.
        TooLargeBodyError: it has more readings.
    """
    rows, numbers = _lines(body) if lines else _array(body)
    what = "line" if lines else "object"
    if not rows:
        raise BadBodyError(["the body holds no readings; send an object, an array of them, or one a line"])
    if len(rows) > most_rows:
        raise TooLargeBodyError(f"the body has {len(rows)} readings, more than {most_rows}; send fewer at a time")
    reader, problems = _Reader(defaults), []
    for number, row in zip(numbers, rows, strict=True):
        try:
            reader.take(row)
        except _UnsendableError as error:
            problems.append(f"{what} {number}: {error}")
    problems = problems or reader.lacking()
    if problems:
        raise BadBodyError(problems)
    return Posted(reader.cells, reader.notes())


class _UnsendableError(Exception):
    """What stands in the place of a reading cannot be sent."""


class _Reader:
    """Takes the readings of a body, one after the other, and remembers what is to be said of them."""

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self.cells: dict[str, list[_Row]] = {}
        self._defaults = defaults
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._missing = dict.fromkeys(REQUIRED, 0)
        self._ignored: dict[str, None] = {}
        self._rows = self._numbered = 0

    def take(self, row: object) -> None:
        """Take what stands in the place of a reading.

        Raises:
            _UnsendableError: it is none, or has no cell.
            BadBodyError: a name says a unit that is not known.
        """
        if not isinstance(row, dict):
            raise _UnsendableError(f"{quoted(row)} is not a JSON object with the columns of a reading")
        reading = self._renamed(row)
        self._numbered += _number(reading)
        cell_id = _cell_of(reading)
        for name in REQUIRED:
            if reading.get(name) is None:
                self._missing[name] += 1
        self._rows += 1
        self.cells.setdefault(cell_id, []).append(reading)

    def _renamed(self, row: _Row) -> _Row:
        """A reading with the names of the contract; whatever else was sent stays, for who looks at it in quarantine."""
        names = tuple(row)
        found = self._plans.get(names)
        if found is None:
            try:
                found = self._plans[names] = plan(names)
            except UnknownUnitError as error:
                raise BadBodyError([str(error)]) from None
            self._ignored |= dict.fromkeys(found.ignored)
        reading = dict(zip(found.columns, row.values(), strict=True))
        for place, unit in found.units:
            reading[found.columns[place]] = _converted(reading[found.columns[place]], unit)
        if found.unix_time is not None:
            reading["date_time"] = _clock(reading["date_time"])
        for name, value in self._defaults.items():
            if reading.get(name) is None:
                reading[name] = value
        return reading

    def lacking(self) -> list[str]:
        """Required columns that no reading has, each with what to do, and the names that may stand for one of them."""
        lines = [
            f"no reading has {name}"
            + (f" (BDF: {EXAMPLES[name]})" if name in EXAMPLES else "")
            + ", which every reading needs; send it"
            + (f", or say it for all as ?{name}=" if name in DEFAULTS else "")
            for name, count in self._missing.items()
            if count == self._rows
        ]
        return lines + [self._unread()] * bool(lines and self._ignored)

    def notes(self) -> list[str]:
        """What a sender should know of readings that are sent."""
        notes = [
            f"{count} of {self._rows} readings have no {name}; the worker will quarantine them as missing_value"
            for name, count in self._missing.items()
            if count
        ]
        if self._numbered:
            notes.append(
                f"{self._numbered} of {self._rows} readings have no data_point (BDF: {EXAMPLES['data_point']}); their "
                "test time in ms stands for it, and the worker will flag gaps between them"
            )
        return notes + ([self._unread()] if self._ignored else [])

    def _unread(self) -> str:
        names = list(self._ignored)
        shown = ", ".join(map(quoted, names[:MOST_NAMES])) + (", …" if len(names) > MOST_NAMES else "")
        return f"not read, as they give no column: {shown}"


def _array(body: bytes) -> tuple[list[object], Sequence[int]]:
    """The members of an array, or the one object that there is, and their numbers from 1."""
    decoded = _decoded(body, "the body")
    rows = decoded if isinstance(decoded, list) else [decoded]
    return rows, range(1, len(rows) + 1)


def _lines(body: bytes) -> tuple[list[object], Sequence[int]]:
    """What stands in the lines that are not empty, and their numbers."""
    rows: list[object] = []
    numbers: list[int] = []
    problems: list[str] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                rows.append(_decoded(line, f"line {number}"))
                numbers.append(number)
            except BadBodyError as error:
                problems += error.problems
        if len(problems) > MOST_PROBLEMS:  # of perhaps millions
            problems[MOST_PROBLEMS:] = ["and maybe more"]
            break
    if problems:
        raise BadBodyError(problems)
    return rows, numbers


def _decoded(text: bytes, what: str) -> object:
    """A JSON text; the NaN and Infinity of Python's own encoder pass, and are the worker's to refuse.

    Raises:
        BadBodyError: it is no JSON.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        decoded: object = json.loads(text)
    except RecursionError:
        raise BadBodyError([f"{what} is no JSON: it is nested too deeply"]) from None
    except ValueError as error:
        raise BadBodyError([f"{what} is no JSON: {first_line(error)}"]) from None
    return decoded


def _converted(value: object, unit: Unit) -> object:
    """A number in the contract's unit; what is none stays, and the worker says so."""
    if value is None or isinstance(value, bool):
        return value
    try:
        return float(value) * unit.times / unit.divided_by + unit.plus  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return value


def _clock(seconds: object) -> object:
    """Seconds since 1970 as a time stamp in UTC; what is no such number stays, and the worker says so."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC).replace(tzinfo=None).isoformat()  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return seconds


def _number(reading: _Row) -> int:
    """Give a reading without a data point its test time as one; 1 where that is done."""
    time = reading.get("test_time(s)")
    if reading.get("data_point") is not None or time is None:
        return 0
    try:
        ticks = float(time) * TICKS
    except (TypeError, ValueError, OverflowError):
        return 0
    if not math.isfinite(ticks):
        return 0
    reading["data_point"] = round(ticks)
    return 1


def _cell_of(reading: _Row) -> str:
    """The cell of a reading, as text; the worker makes the same text of a number.

    Raises:
        _UnsendableError: there is none.
    """
    cell = reading.get("cell_id")
    if cell is None or cell == "":
        raise _UnsendableError("it has no cell_id; send it, or say it for all as ?cell_id=")
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise _UnsendableError(f"cell_id is {quoted(cell)}, not text")
    text = str(cell)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _UnsendableError(f"cell_id is {quoted(cell)}, which is no text") from None
    if size > TEXT_BYTES:
        raise _UnsendableError(f"cell_id takes {size} bytes, more than {TEXT_BYTES}")
    return text


def messages(posted: Posted, max_bytes: int, limits: Limits) -> list[Outgoing]:
    """Turn readings into messages that broker and worker take, cell after cell.

    Args:
        posted: the readings.
        max_bytes: what the broker takes.
        limits: what the worker takes.

    Raises:
        TooLargeBodyError: a single reading is larger.
    """
    longest = min(max_bytes, limits.longest_json)
    outgoing: list[Outgoing] = []
    for cell_id, readings in posted.cells.items():
        part: list[bytes] = []
        size = 1  # the bracket; each reading has a comma or the other bracket behind it
        for reading in readings:
            text = _encoded(reading)
            if len(text) + 2 > longest:
                raise TooLargeBodyError(
                    f"a reading of cell {quoted(cell_id)} takes {len(text)} bytes, more than the {longest} of a message"
                )
            if part and (size + len(text) + 1 > longest or len(part) >= limits.rows):
                outgoing.append(_joined(cell_id, part))
                part, size = [], 1
            part.append(text)
            size += len(text) + 1
        outgoing.append(_joined(cell_id, part))
    return outgoing


def _joined(cell_id: str, part: Sequence[bytes]) -> Outgoing:
    return Outgoing(cell_id, len(part), b"[" + b",".join(part) + b"]")


def _encoded(reading: _Row) -> bytes:
    """A reading as JSON; NaN stays what it is, which `msgspec` would make a null of."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in reading.values()):
        return json.dumps(reading).encode()
    try:
        return msgspec.json.encode(reading)
    except (UnicodeEncodeError, RecursionError, ValueError, OverflowError, TypeError):
        pass  # halves of characters, which JSON can write and UTF-8 cannot
    try:
        return json.dumps(reading).encode()
    except RecursionError:
        raise BadBodyError(["a reading is nested too deeply"]) from None
