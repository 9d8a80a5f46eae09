"""The readings of chosen cycles as the Cycle page needs them: as lines, and as curves of incremental capacity.

Readings come through `readings_of` alone. What is kept for the next visitor is what is drawn, a few hundred points a
cycle, and never the readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.cycle.choice import spread, usual_cycles
from dashboard.cycle.curves import curves_of, with_charge
from dashboard.cycle.lines import over_charge_lines, over_time_lines
from dashboard.view import look
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboard.cycle.lines import ChargeLines, TimeLines
    from dashboard.view import Published
    from kernel.base.settings import Settings

FRESH_READINGS_SECONDS: Final = 300.0

MOST_READINGS: Final = 300_000
"""Readings that are laid out for one view, some three seconds of work; of more, an even choice of cycles is drawn."""

LIFE_CYCLES: Final = 120
"""Cycles of a map over life, shared by the cells that are shown: about as many rows as one can tell apart."""


@dataclass(frozen=True)
class ChosenCycles:
    """Cycles of a cell: their rows of `battery_cycles`, ascending, and what the visitor asked for in vain."""

    cell: str
    rows: pa.Table
    lacking: tuple[str, ...] = ()
    asked: int = 0

    @property
    def numbers(self) -> list[int]:
        """The numbers of the cycles over all tests of the cell."""
        return self.rows["cycle_number"].to_pylist()  # type: ignore[no-any-return]

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """The test of each cycle and its number within it."""
        return tuple(zip(self.rows["test_id"].to_pylist(), self.rows["cycle_index"].to_pylist(), strict=True))

    @property
    def by_key(self) -> Mapping[tuple[str, int], int]:
        """The numbers by `keys`."""
        return dict(zip(self.keys, self.numbers, strict=True))

    def few(self, most: int) -> ChosenCycles:
        """At most so many of them, spread evenly."""
        kept = spread(np.array(self.numbers, dtype=np.int64), most)
        return ChosenCycles(self.cell, rows_of(self.rows, kept.tolist()), self.lacking, self.asked)


def rows_of(cycles: pa.Table, numbers: Sequence[int]) -> pa.Table:
    """The rows of some cycles."""
    return cycles.filter(pc.is_in(cycles["cycle_number"], pa.array(numbers, cycles["cycle_number"].type)))


def thinned(rows: pa.Table, most_readings: int, most_cycles: int) -> pa.Table:
    """An even choice of cycles with about as many readings, and at most as many cycles, as are admitted.

    Args:
        rows: of `battery_cycles`, ascending.
        most_readings: of all of them together.
        most_cycles: of them.
    """
    count = max(1, rows.num_rows)
    by_cycle = (pc.sum(rows["row_count"]).as_py() or 0) / count
    most = max(1, min(most_cycles, int(most_readings / max(by_cycle, 1.0))))
    return rows_of(rows, spread(rows["cycle_number"].to_numpy().astype(np.int64), most).tolist())


def charge_lines(settings: Settings, published: Published, chosen: ChosenCycles) -> list[ChargeLines]:
    """Voltage over charge of the chosen cycles.

    Raises:
        BatteryError: their readings cannot be read.
    """
    if not chosen.keys:
        return []
    return look(
        ("over charge", settings, published.seen.value.name, chosen.cell, chosen.keys),
        lambda: over_charge_lines(
            with_charge(published.readings(chosen.cell, chosen.keys)), _steps(published, chosen.cell), chosen.by_key
        ),
        FRESH_READINGS_SECONDS,
    ).value


def time_lines(settings: Settings, published: Published, chosen: ChosenCycles) -> list[TimeLines]:
    """Voltage and current over time of the chosen cycles.

    Raises:
        BatteryError: their readings cannot be read.
    """
    if not chosen.keys:
        return []
    return look(
        ("over time", settings, published.seen.value.name, chosen.cell, chosen.keys),
        lambda: over_time_lines(with_charge(published.readings(chosen.cell, chosen.keys)), chosen.by_key),
        FRESH_READINGS_SECONDS,
    ).value


def chosen_curves(settings: Settings, published: Published, chosen: ChosenCycles) -> pa.Table:
    """The incremental capacity of the chosen cycles: from the marts where those have all of them, else from readings.

    Raises:
        BatteryError: their readings cannot be read.
    """
    of_mart = _mart_curves(published, chosen.cell)
    held = rows_of(of_mart, chosen.numbers)
    if set(chosen.numbers) <= set(held["cycle_number"].to_pylist()):
        return held
    return look(
        ("curves", settings, published.seen.value.name, chosen.cell, chosen.keys),
        lambda: curves_of(published.readings(chosen.cell, chosen.keys), chosen.rows, _steps(published, chosen.cell)),
        FRESH_READINGS_SECONDS,
    ).value


def life_curves(settings: Settings, published: Published, cell: str, cycles: pa.Table, most_cycles: int) -> pa.Table:
    """The incremental capacity of cycles spread evenly over a cell's life, reference tests and cut ones left out.

    From readings, as far as there are not too many; else, and where they cannot be read, those that the marts hold.

    Args:
        settings: of the pipeline.
        published: the marts.
        cell: its name.
        cycles: its rows of `battery_cycles`, ascending.
        most_cycles: to spread.
    """
    usual = rows_of(cycles, usual_cycles(cycles).tolist())
    of_mart = rows_of(_mart_curves(published, cell), usual["cycle_number"].to_pylist())
    wanted = ChosenCycles(cell, thinned(usual, MOST_READINGS, most_cycles))
    if wanted.rows.num_rows <= len(set(of_mart["cycle_number"].to_pylist())):
        return of_mart
    try:
        return chosen_curves(settings, published, wanted)
    except BatteryError:
        return of_mart


def _mart_curves(published: Published, cell: str) -> pa.Table:
    curves = published.table("battery_ica")
    return curves.filter(pc.equal(curves["cell_id"], cell))


def _steps(published: Published, cell: str) -> pa.Table:
    steps = published.table("battery_steps")
    return steps.filter(pc.equal(steps["cell_id"], cell))
