"""Which cycles of a cell to draw, as a visitor writes it: "1, 50-100:10, 200", "every 50", "first, middle, last".

One grammar for the box on the Cycle page and for its address. Parts are separated by commas:

    7               cycle 7
    50-100          cycles 50 to 100; 50- is all from 50 on
    50-100:10       every tenth of them: 50, 60, ..., 100
    first, middle, last
    every 50        the first complete cycle and every 50th after it
    spread 10       10 cycles, spread evenly over the cell's life
    reference tests
    all
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dashboard.figures.measures import flags
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

WORDS: Final = ("first", "middle", "last", "reference tests", "all")
COUNTED: Final = ("every", "spread")

MOST_LETTERS: Final = 2_000
"""Of a choice: more than anybody types, and all that an address holds."""

_RANGE: Final = re.compile(r"(\d{1,9})(?:\s*[-\u2013]\s*(\d{1,9})?)?(?:\s*:\s*(\d{1,9}))?")
_COUNTED: Final = re.compile(rf"({'|'.join(COUNTED)})\s+(\d{{1,9}})(?:st|nd|rd|th)?")
_SHORT: Final = {"reference": "reference tests", "reference test": "reference tests"}


class ChoiceError(BatteryError):
    """A choice of cycles that cannot be understood; the message says which part, and what can be written."""


@dataclass(frozen=True)
class Range:
    """The cycles from `first` to `last`, both included, every `step`-th of them; None is the cell's last cycle."""

    first: int
    last: int | None
    step: int = 1


@dataclass(frozen=True)
class Named:
    """Cycles by a word: one of `WORDS`, or one of `COUNTED` with its number."""

    word: str
    count: int = 0


Term = Range | Named


@dataclass(frozen=True)
class Choice:
    """The cycles of one cell that were chosen, ascending, and what was asked for that the cell does not have."""

    numbers: tuple[int, ...]
    lacking: tuple[str, ...] = ()


def parse_choice(text: str) -> tuple[Term, ...]:
    """What a choice of cycles says.

    Raises:
        ChoiceError: a part of it is none of the forms above.
    """
    if len(text) > MOST_LETTERS:
        raise ChoiceError(
            f"The choice of cycles has more than {MOST_LETTERS:,} letters; a range such as 1-500 is short."
        )
    parts = [part.strip() for part in re.split(r"[,;]", text)]
    terms = tuple(_term(part) for part in parts if part)
    if not terms:
        raise ChoiceError("No cycle is chosen: write for example 1, 50-100:10, 200.")
    return terms


def choose_cycles(terms: Sequence[Term], cycles: pa.Table) -> Choice:
    """The cycles of a cell that a choice means.

    Words choose among the complete cycles that are no reference tests, or among all where the cell has none.

    Args:
        terms: as `parse_choice` gives them.
        cycles: the cell's rows of `battery_cycles`, in the order of their numbers.
    """
    numbers = _numbers(cycles)
    usual = usual_cycles(cycles)
    reference = numbers[flags(cycles, "is_reference_test")]
    chosen: list[Numbers] = []
    lacking: list[str] = []
    for term in terms:
        if isinstance(term, Range):
            of_term, missing = _in_range(term, numbers)
            lacking += missing
        else:
            of_term = _by_word(term, numbers, usual, reference)
            if term.word == "reference tests" and not len(of_term):
                lacking.append("reference tests")
        chosen.append(of_term)
    together = np.unique(np.concatenate(chosen)) if chosen else np.array([], dtype=np.int64)
    return Choice(tuple(together.tolist()), tuple(dict.fromkeys(lacking)))


def usual_cycles(cycles: pa.Table) -> Numbers:
    """Numbers of the complete cycles that are no reference tests; of all complete ones, or of all, where none is."""
    numbers = _numbers(cycles)
    complete = flags(cycles, "is_complete")
    for chosen in (complete & ~flags(cycles, "is_reference_test"), complete):
        if chosen.any():
            return numbers[chosen]
    return numbers


def spread(numbers: Numbers, count: int) -> Numbers:
    """At most `count` of some numbers, spread evenly over them, the first and the last included."""
    if len(numbers) <= count:
        return numbers
    if count == 1:
        return numbers[:1]
    return numbers[np.unique(np.round(np.linspace(0, len(numbers) - 1, count)).astype(np.int64))]


def spans(numbers: Numbers) -> str:
    """Numbers as people write them: "1, 4 to 9"; at most the first six spans of them."""
    if not len(numbers):
        return ""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    runs = [(int(run[0]), int(run[-1])) for run in np.split(numbers, breaks)]
    shown = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:6]]
    return ", ".join(shown) + (f" and {len(runs) - 6} more" if len(runs) > len(shown) else "")


def _term(part: str) -> Term:
    word = _SHORT.get(part.lower(), " ".join(part.lower().split()))
    if word in WORDS:
        return Named(word)
    if counted := _COUNTED.fullmatch(word):
        count = int(counted[2])
        if count < 1:
            raise ChoiceError(f'"{part}" chooses nothing: the number is 1 or more.')
        return Named(counted[1], count)
    found = _RANGE.fullmatch(word)
    if found is None:
        raise ChoiceError(
            f'"{part[:40]}" is no choice of cycles. Write numbers and ranges such as 1, 50-100:10, 200, or: '
            f"{', '.join(WORDS)}, every 50, spread 10."
        )
    first, step = int(found[1]), int(found[3] or 1)
    is_range = bool(re.search(r"[-\u2013]", found[0]))
    last = int(found[2]) if found[2] else None if is_range else first
    if first < 1:
        raise ChoiceError(f'"{part}" begins at 0: cycles are numbered from 1.')
    if step < 1:
        raise ChoiceError(f'"{part}" has a step of 0: it is 1 or more.')
    if found[3] and not is_range:
        raise ChoiceError(f'"{part}" has a step but no end: write for example {first}-{first + 10 * step}:{step}.')
    if last is not None and last < first:
        raise ChoiceError(f'"{part}" ends before it begins: write {last}-{first}.')
    return Range(first, last, step)


def _in_range(term: Range, numbers: Numbers) -> tuple[Numbers, list[str]]:
    """The cycles of a range that there are, and the others in words."""
    newest = int(numbers[-1]) if len(numbers) else 0
    last = newest if term.last is None else term.last
    present = numbers[(numbers >= term.first) & (numbers <= last) & ((numbers - term.first) % term.step == 0)]
    wanted = np.arange(term.first, min(last, newest) + 1, term.step, dtype=np.int64)
    missing = np.setdiff1d(wanted, present)
    lacking = [spans(missing)] if len(missing) else []
    beyond = (
        term.first + max(0, -((term.first - newest - 1) // term.step)) * term.step
    )  # the first one after the newest
    if last > newest and beyond <= last:
        lacking.append(f"{beyond}" if beyond + term.step > last else f"{beyond} to {last}")
    elif term.last is None and not len(present):
        lacking.append(f"{term.first} and later")
    return present, lacking


def _by_word(term: Named, numbers: Numbers, usual: Numbers, reference: Numbers) -> Numbers:
    if term.word == "all":
        return numbers
    if term.word == "reference tests":
        return reference
    if term.word == "every":
        return usual[(usual - usual[0]) % term.count == 0] if len(usual) else usual
    if term.word == "spread":
        return spread(usual, term.count)
    at = {"first": 0, "middle": len(usual) // 2, "last": len(usual) - 1}[term.word]
    return usual[at : at + 1]


def _numbers(cycles: pa.Table) -> Numbers:
    numbers: Numbers = cycles["cycle_number"].to_numpy().astype(np.int64)
    return numbers
