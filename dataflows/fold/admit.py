"""Which readings of a poll are accepted, for all cells at once.

Cells whose readings all go on where their tests stood, which is nearly all of them nearly always, are folded side by
side, as columns. A cell of which something is refused, or comes late, is folded by itself, test by test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from dataflows.fold.late import fill, skips_to_remember, with_holes
from dataflows.fold.order import DUPLICATE, admit, continues
from dataflows.fold.rules import follow, follow_one
from dataflows.fold.runs import Outcome, Run
from dataflows.fold.tails import Tails
from dataflows.fold.validate import ACCEPTED, REASONS
from kernel.contract.reading import COUNTERS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dataflows.fold.late import Correction
    from dataflows.fold.lineage import Lineage
    from dataflows.fold.state import Tail
    from dataflows.fold.states import CellStates

    Rows = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Texts = npt.NDArray[Any]

_NOTHING: Final = Outcome(
    np.zeros(0, dtype=np.int32),
    np.zeros((len(COUNTERS), 0), dtype=np.int64),
    np.zeros((len(COUNTERS), 0), dtype=np.bool_),
    np.zeros((len(COUNTERS), 0), dtype=np.bool_),
    np.zeros(0, dtype=np.bool_),
    Tails.of([]),
)


@dataclass(frozen=True)
class Piece:
    """Accepted readings: their rows, those of a cell in the order in which they land, and what they add.

    `correction` is what late readings, all of one hole, change of the one behind them, None for all others.
    """

    rows: Rows
    outcome: Outcome
    correction: Correction | None = None


class Fold:
    """Judges readings: the verdict on each, what the accepted ones add, and where their tests stand then.

    Of each cell, `before` is the state before, `tails` is where the test stands that it is in, and `refusals` counts.
    `is_late` tells which readings were put before others of their test that had come earlier, shape (n,). `moved` has,
    of the cells in which it is not that test alone that has gone on, where those stand that have.

    Args:
        before: the states of c cells.
        columns: readings of these, cell by cell, shape (n,).
        lineage: where each came from.
        verdict: `ACCEPTED`, or the code of the reason for which it is refused by itself, shape (n,).
        test_of: its test, a place in `test_ids`; -1 where it has none, shape (n,).
        test_ids: of all tests.
    """

    def __init__(
        self,
        before: CellStates,
        columns: Run,
        lineage: Lineage,
        verdict: npt.NDArray[np.int8],
        test_of: Rows,
        test_ids: Texts,
    ) -> None:
        self.before = before
        self.columns = columns
        self.verdict = verdict
        self.tails = before.tails.take(np.arange(len(before)))
        self.moved: dict[int, dict[str, Tail]] = {}
        self.refusals = before.refusals.copy()
        self.is_late = np.zeros(len(verdict), dtype=np.bool_)
        self.pieces: list[Piece] = []
        self.lineage = lineage
        self.test_of = test_of
        self.test_ids = test_ids

    def run(self) -> None:
        """Judge every reading."""
        cell = self.lineage.cell
        apart = np.zeros(len(self.before), dtype=np.bool_)
        apart[self.lineage.fault_cell] = True
        apart[cell[np.flatnonzero((self.verdict != ACCEPTED) | self.lineage.may_be_late)]] = True
        self._side_by_side(apart)
        alone = np.flatnonzero(apart)
        starts, ends = np.searchsorted(cell, alone), np.searchsorted(cell, alone, side="right")
        for code, start, end in zip(alone.tolist(), starts.tolist(), ends.tolist(), strict=True):
            self._alone(code, np.arange(start, end))

    def accepted(self) -> tuple[Rows | slice, Outcome]:
        """The rows of all accepted readings in the order in which they land, a slice if these are all; what they add.

        The tails are in `tails` and `moved`.
        """
        outcomes = [piece.outcome for piece in self.pieces]
        if len(outcomes) == 1 and len(outcomes[0].quality) == len(self.verdict):
            return slice(None), outcomes[0]
        return (
            np.concatenate([np.zeros(0, dtype=np.int64), *(piece.rows for piece in self.pieces)]),
            Outcome(
                np.concatenate([_NOTHING.quality, *(outcome.quality for outcome in outcomes)]),
                np.concatenate([_NOTHING.gained, *(outcome.gained for outcome in outcomes)], axis=1),
                np.concatenate([_NOTHING.counted, *(outcome.counted for outcome in outcomes)], axis=1),
                np.concatenate([_NOTHING.leapt, *(outcome.leapt for outcome in outcomes)], axis=1),
                np.concatenate([_NOTHING.unmeasured, *(outcome.unmeasured for outcome in outcomes)]),
                _NOTHING.tails,
            ),
        )

    def _side_by_side(self, apart: Flags) -> None:
        """Fold all cells but those that are `apart`; cells in which a test does not continue are added to these."""
        rows = np.flatnonzero(~apart[self.lineage.cell])
        tests = _Tests(self, rows)
        if len(rows) and not tests.go_on().all():
            known = tests.known_already()
            again, tests = tests.rows[known], _Tests(self, np.sort(tests.rows[~known]))
            goes_on = tests.go_on()
            if not goes_on.all():
                apart[tests.cells[~goes_on]] = True
                self._side_by_side(apart)
                return
            self.verdict[again] = DUPLICATE
        if len(tests.rows) == 0:
            return
        outcome = follow(tests.tails, tests.run, tests.starts)
        alone = np.bincount(tests.cells, minlength=len(self.before))[tests.cells] == 1
        stays = alone & (tests.is_current | tests.is_first)
        self.tails.put(tests.cells[stays], outcome.tails.take(np.flatnonzero(stays)))
        others = np.flatnonzero(~stays)
        for cell, test_id, tail in zip(
            tests.cells[others].tolist(), tests.ids[others].tolist(), outcome.tails.take(others).objects(), strict=True
        ):
            stood = self.before.tail(cell, test_id)
            holes = stood.holes if stood else ()
            self.moved.setdefault(cell, {})[test_id] = msgspec.structs.replace(tail, holes=holes)
        self.pieces.append(Piece(*tests.in_order(outcome)))

    def _alone(self, cell: int, rows: Rows) -> None:
        """Fold one cell, given all of its rows."""
        of_cell = self.lineage.fault_order[self.lineage.fault_cell == cell]
        refusals = _Refusals(int(self.refusals[cell]), self.lineage.order, of_cell, rows, self.verdict)
        accepted = rows[self.verdict[rows] == ACCEPTED]
        for run in _runs(accepted, self.test_of, self.lineage.is_retry, self.lineage.may_be_late):
            test_id = self.test_ids[self.test_of[run[0]]]
            moved = self.moved.setdefault(cell, {})
            tail = moved.get(test_id) or self.before.tail(cell, test_id)
            for piece, after in self._judge(tail, run, refusals):
                moved[test_id] = after
                self.pieces.append(piece)
        self.refusals[cell] = refusals.count

    def _judge(self, tail: Tail | None, rows: Rows, refusals: _Refusals) -> Iterator[tuple[Piece, Tail]]:
        """Take consecutive readings of one test as its continuation, and those that may be late as late as well.

        Gives pieces, each with where the test stands after it.
        """
        is_retry, may_be_late = bool(self.lineage.is_retry[rows[0]]), bool(self.lineage.may_be_late[rows[0]])
        columns, verdict = self.columns, self.verdict
        while len(rows):
            some, piece = rows, None
            if may_be_late and tail is not None and columns.data_point[rows[0]] <= tail.data_point:
                filled = fill(tail, columns, rows)
                if isinstance(filled, Reason):
                    some = rows[:1]
                    verdict[some] = REASONS.index(filled)
                    refusals.note(some if filled is not Reason.DUPLICATE else some[:0])
                else:
                    some = rows[: filled.count]
                    tail, piece = filled.tail, Piece(some, filled.outcome, filled.correction)
                    self.is_late[some] = True
            else:
                some = rows[: _rising(columns.data_point[rows])] if may_be_late else rows
                verdict[some] = admit(tail, columns.take(some), refusals.before(some))
                refusals.note(some[(verdict[some] != ACCEPTED) & (verdict[some] != DUPLICATE)])
                taken = some[verdict[some] == ACCEPTED]
                if len(taken):
                    run = columns.take(taken)
                    outcome = follow_one(tail, run)
                    tail = with_holes(tail, run, outcome, refusals.before(taken), is_retry=is_retry)
                    piece = Piece(taken, outcome)
            if piece is not None and tail is not None:
                yield piece, tail
            rows = rows[len(some) :]


class _Tests:
    """Some rows in the order of their cells and tests, and where these tests stood: of each its cell and its id."""

    def __init__(self, fold: Fold, rows: Rows) -> None:
        cell, test = fold.lineage.cell[rows], fold.test_of[rows]
        key = cell * len(fold.test_ids) + test
        self._order = np.argsort(key, kind="stable") if np.any(key[1:] < key[:-1]) else None
        if self._order is not None:
            rows, key = rows[self._order], key[self._order]
        self.rows = rows
        self.starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))[: len(rows)])
        self.run = fold.columns.take(slice(None) if len(rows) == len(fold.verdict) and self._order is None else rows)
        self.cells = fold.lineage.cell[rows[self.starts]]
        self.ids = fold.test_ids[fold.test_of[rows[self.starts]]]
        before = fold.before
        self.is_first = ~before.tails.is_known[self.cells]
        if before.rest:
            self.is_first &= ~np.isin(self.cells, list(before.rest))
        self.is_current = before.test_id[self.cells] == self.ids
        self.tails = before.tails.take(self.cells)
        others = np.flatnonzero(~self.is_current)
        stood = [before.tail(*place) for place in zip(self.cells[others].tolist(), self.ids[others], strict=True)]
        self.tails.put(others, Tails.of(stood))
        # A test that lags behind what its cell was refused may have holes to come.
        self._lags = self.tails.refusals != before.refusals[self.cells]

    def go_on(self) -> Flags:
        """Which tests continue with every one of the rows, and get no hole to remember."""
        found: Flags = continues(self.tails, self.run, self.starts) & ~self._lags
        return found & ~skips_to_remember(self.tails, self.run, self.starts)

    def known_already(self) -> Flags:
        """Which rows are at or below the last reading of their test."""
        last = np.where(self.tails.is_known, self.tails.data_point, -1)
        known: Flags = self.run.data_point <= np.repeat(last, np.diff(self.starts, append=len(self.rows)))
        return known

    def in_order(self, outcome: Outcome) -> tuple[Rows, Outcome]:
        """The rows in the order of the log, and what they add in that order."""
        if self._order is None:
            return self.rows, outcome
        back = np.argsort(self._order)
        return self.rows[back], Outcome(
            outcome.quality[back],
            outcome.gained[:, back],
            outcome.counted[:, back],
            outcome.leapt[:, back],
            outcome.unmeasured[back],
            outcome.tails,
        )


def _rising(data_point: Rows) -> int:
    """The number of readings before the first whose data point does not rise."""
    falls = np.flatnonzero(np.diff(data_point) <= 0)
    return int(falls[0]) + 1 if len(falls) else len(data_point)


class _Refusals:
    """Counts, along the log, the refused readings of a cell, without duplicates.

    Args:
        count: how many there were before.
        order: of all readings, as in `Lineage`.
        faults: the same of the cell's rows that are no readings.
        rows: the cell's readings.
        verdict: on all readings, as far as each can be judged by itself.
    """

    def __init__(self, count: int, order: Rows, faults: Rows, rows: Rows, verdict: npt.NDArray[np.int8]) -> None:
        self._before = count
        self._order = order
        self._at = np.sort(np.concatenate((faults, order[rows[verdict[rows] != ACCEPTED]])))
        self._noted: list[Rows] = []

    def note(self, rows: Rows) -> None:
        """Add readings that were refused."""
        if len(rows):
            self._noted.append(self._order[rows])

    def before(self, rows: Rows) -> Rows:
        """The number of refusals before each reading, shape (n,)."""
        found: Rows = self._before + np.searchsorted(self._all(), self._order[rows])
        return found

    @property
    def count(self) -> int:
        """The number of refusals at the end of these messages."""
        return self._before + len(self._all())

    def _all(self) -> Rows:
        if self._noted:
            self._at = np.sort(np.concatenate((self._at, *self._noted)))
            self._noted = []
        return self._at


def _runs(rows: Rows, test_of: Rows, is_retry: Flags, may_be_late: Flags) -> Iterator[Rows]:
    """Consecutive rows of one test, those of retries apart, and others that may be late."""
    if len(rows):
        changes = np.diff(test_of[rows]) != 0
        cuts = np.flatnonzero(changes | np.diff(is_retry[rows]) | np.diff(may_be_late[rows])) + 1
        yield from np.split(rows, cuts)
