"""A lab as a notebook sees it: the published tables of one publication, and the readings behind them, as frames."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.frames import FrameKind, frame, require_kind
from battery.place import find_publication
from battery.step_kinds import with_steps
from dashboard.cycle.choice import choose_cycles, parse_choice, spans
from dashboard.cycle.curves import curves_of, with_charge
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import numpy.typing as npt

    from kernel.base.settings import Settings
    from refresh.publication import Publication

Frame: TypeAlias = Any
"""A `pandas.DataFrame`, `polars.DataFrame` or `pyarrow.Table`, by the argument `as_`."""

Cells: TypeAlias = "str | Iterable[str] | None"
"""A cell, several, or all of them where it is None."""

Cycles: TypeAlias = "float | range | Iterable[float] | str | None"
"""Numbers of cycles, or a choice in words as on the Cycle page; None is all of the cell's cycles."""

_CYCLES_BELOW: Final = 2**53
"""Whole numbers from here on are not all floats."""

_NOT_AT_HAND: Final = (
    "battery_features and bdf_timeseries have a row for each reading and are in the warehouse alone; "
    "lab.features(cell) and lab.readings(cell) have the readings of a cell"
)


def open_lab(place: str | Path | Settings | None, as_: FrameKind) -> Lab:
    """As `battery.open`.

    Raises:
        BatteryError: there is no pipeline at that place, or it cannot be reached.
    """
    return Lab(*find_publication(place), as_)


class Lab:
    """The published tables of a pipeline; `battery.open` gives one.

    All answers are of one publication: the newest one at the first question, until `refresh` is called. Tables are
    read when they are first asked for and kept. Units stand in the names of the columns, and `docs/reference/tables.md`
    says what each column means. Times are UTC or the cycler's wall clock, as that page says, and have no zone.

    >>> import battery
    >>> lab = battery.open("data/demo")
    >>> lab.cells()[["cell_id", "nominal_capacity_ah"]]
      cell_id  nominal_capacity_ah
    0  SIM_01                  1.1
    1  SIM_02                  1.1
    """

    def __init__(self, publication: Publication, place: str, as_: FrameKind = "pandas") -> None:
        require_kind(as_)
        self._publication = publication
        self._place = place
        self._kind: FrameKind = as_

    def __repr__(self) -> str:
        return f"<battery.Lab at {self._place}>"

    @property
    def published_at(self) -> datetime | None:
        """When the publication was made that the answers are of (UTC); None where nobody recorded it.

        Raises:
            BatteryError: nothing has been published, or the marts cannot be reached.
        """
        return self._publication.published_at

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the published tables, as `sql` knows them.

        >>> lab.tables[:3]
        ('battery_alerts', 'battery_cells', 'battery_cycles')
        """
        return self._publication.names

    def refresh(self) -> bool:
        """Answer from the newest publication from now on.

        >>> lab.refresh()
        False

        Returns:
            Whether it is another one than before.
        """
        return self._publication.refresh()

    def cells(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """How each cell ages, a row a cell: `battery_cells`.

        >>> lab.cells("SIM_02")[["cell_id", "latest_soh"]]
          cell_id  latest_soh
        0  SIM_02         0.9

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), or the marts cannot be read.
        """
        return self._rows("battery_cells", cells, as_)

    def cycles(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """Capacity, efficiency, resistance and the like, a row a cycle: `battery_cycles`.

        >>> len(lab.cycles()), len(lab.cycles(["SIM_01", "SIM_02"])), len(lab.cycles("SIM_02"))
        (4, 4, 2)
        >>> lab.cycles("SIM_03")
        Traceback (most recent call last):
        refresh.unknown_cell.UnknownCellError: no cell SIM_03 has been published; there are SIM_02, SIM_01

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), or the marts cannot be read.
        """
        return self._rows("battery_cycles", cells, as_)

    def steps(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """The steps of each cycle, a row a step: `battery_steps`.

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), or the marts cannot be read.
        """
        return self._rows("battery_steps", cells, as_)

    def tests(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """The files of each cell and what was found in them, a row a test: `battery_tests`.

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), or the marts cannot be read.
        """
        return self._rows("battery_tests", cells, as_)

    def gaps(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """The pauses between the tests of a cell, and what the cell recovered in them: `battery_gaps`.

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), or the marts cannot be read.
        """
        return self._rows("battery_gaps", cells, as_)

    def groups(self, *, as_: FrameKind | None = None) -> Frame:
        """How the cells of a group age together, a row a group and rounded cycle number: `battery_groups`.

        Groups are what `battery cells` has been told; the column `cell_group` of `cells()` has that of each cell.

        Raises:
            BatteryError: the marts cannot be read, or an earlier version published them, which knew of no groups.
        """
        return self._frame(self._publication.table("battery_groups"), as_)

    def alerts(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """Which cells deserve a look, a row an alert: `battery_alerts`; `sentence` says it in words.

        Tests that have stopped sending are not among them, since that depends on when one looks: see `live_tests`, or
        `battery alerts`.

        >>> lab.alerts()[["cell_id", "kind", "since_cycle"]]
          cell_id  kind  since_cycle
        0  SIM_02  knee            2

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), the marts cannot be read, or an earlier
                version published them, which knew of no alerts.
        """
        return self._rows("battery_alerts", cells, as_)

    def live_tests(self, cells: Cells = None, *, as_: FrameKind | None = None) -> Frame:
        """The tests that arrive as they are measured, at most one a cell: `battery_live_tests`.

        One has stopped sending where `last_arrived_at` (UTC) is longer ago than `silence_s`.

        Raises:
            BatteryError: a cell is unknown (the message names similar ones), the marts cannot be read, or an earlier
                version published them.
        """
        return self._rows("battery_live_tests", cells, as_)

    def ica(self, cells: Cells = None, *, cycles: Cycles = None, as_: FrameKind | None = None) -> Frame:
        """Incremental capacity over voltage, dQ/dV and dV/dQ with their peaks: `battery_ica`.

        Args:
            cells: a cell, several, or all.
            cycles: of which cycles; None takes those of the mart, a few of each cell over its life. Curves of other
                cycles are computed from the readings by the same rule, which needs `cells` to be one cell.
            as_: `pandas`, `polars` or `arrow`.

        Raises:
            BatteryError: a cell is unknown, it has none of the cycles, or they cannot be read.
        """
        if cycles is None:
            return self._rows("battery_ica", cells, as_)
        if not isinstance(cells, str):
            raise BatteryError("cycles= chooses among the cycles of one cell: name it, as lab.ica('A1', cycles='last')")
        chosen = self._chosen(cells, cycles)
        curves = curves_of(
            self._publication.readings(cells, chosen), chosen, self._publication.rows("battery_steps", [cells])
        )
        is_peak = pc.is_valid(curves["peak_voltage_v"])  # as the mart, which is a view, has it
        return self._frame(curves.add_column(curves.column_names.index("peak_voltage_v"), "is_peak", is_peak), as_)

    def readings(self, cell: str, cycles: Cycles = None, *, as_: FrameKind | None = None) -> Frame:
        """What the cycler measured, a row a reading, in order.

        Beside time in s, current in A, voltage in V and temperature in °C it has the cycler's counters as they are,
        and `charge_ah` and `discharge_ah`: what has moved since the first reading of the cycle, by the rule of the
        marts for counters. `step_number` and `step_kind` are those of `battery_steps`. `is_kept` tells whether the
        models use a reading; `quality` holds its flags.

        >>> lab.readings("SIM_01", cycles=2)[["cycle_number", "test_time_s", "voltage_v", "discharge_ah"]]
           cycle_number  test_time_s  voltage_v  discharge_ah
        0             2         20.0        4.0           0.0
        1             2         30.0        3.5           0.5
        >>> len(lab.readings("SIM_01", cycles=range(1, 3))), len(lab.readings("SIM_01", cycles="first, last"))
        (4, 4)

        Args:
            cell: its id.
            cycles: a number, a range, a list of numbers, or words: "1, 50-100:10, 200", "every 50", "spread 10",
                "first, middle, last", "reference tests", "all". None is "all". Cycles that the cell does not have are
                named in a warning.
            as_: `pandas`, `polars` or `arrow`.

        Raises:
            BatteryError: the cell is unknown or has none of the cycles, or the readings cannot be read.
        """
        return self._frame(self._measured(cell, self._chosen(cell, cycles)), as_)

    def features(self, cell: str, cycles: Cycles = None, *, as_: FrameKind | None = None) -> Frame:
        """The readings that the models use, with power and throughput at each: as `battery_features` in the warehouse.

        Beside the columns of `readings` it has `power_watt`, voltage times current in W, and `total_capacity_ah`, the
        sum of both counters of the cycler in Ah.

        >>> lab.features("SIM_01", cycles=2)[["cycle_number", "voltage_v", "power_watt", "total_capacity_ah"]]
           cycle_number  voltage_v  power_watt  total_capacity_ah
        0             2        4.0       -2.00                0.0
        1             2        3.5       -1.75                0.5

        Args:
            cell: its id.
            cycles: as of `readings`.
            as_: `pandas`, `polars` or `arrow`.

        Raises:
            BatteryError: as `readings`.
        """
        readings = self._measured(cell, self._chosen(cell, cycles))
        kept = readings.filter(readings["is_kept"])
        total = pc.add(kept["charge_counter_ah"], kept["discharge_counter_ah"])
        kept = kept.append_column("power_watt", pc.multiply(kept["voltage_v"], kept["current_a"]))
        return self._frame(kept.append_column("total_capacity_ah", total), as_)

    def thresholds(self, *, as_: FrameKind | None = None) -> Frame:
        """The figures that the models judge by, such as the share of capacity at which life ends.

        Raises:
            BatteryError: the marts cannot be read.
        """
        return self._frame(self._publication.table("battery_thresholds"), as_)

    def sql(
        self,
        query: str,
        parameters: Sequence[object] | Mapping[str, object] | None = None,
        *,
        as_: FrameKind | None = None,
    ) -> Frame:
        """Ask in SQL, in DuckDB's dialect, of the published tables under their own names.

        The query runs in memory in this process. It may read files of yours, too, such as a CSV to join, and writes
        none: it is one `SELECT`, or what DuckDB makes one of, such as `FROM`, `PIVOT`, `DESCRIBE` and `SUMMARIZE`.

        >>> lab.sql("select cell_id, max(cycle_number) as cycles from battery_cycles group by all order by all")
          cell_id  cycles
        0  SIM_01       2
        1  SIM_02       2
        >>> lab.sql("select count(*) as n from battery_cycles where soh < $limit", {"limit": 0.99})
           n
        0  2

        Args:
            query: one query.
            parameters: values for `?` or `$name` in it.
            as_: `pandas`, `polars` or `arrow`.

        Raises:
            BatteryError: the query is wrong or no query, or the marts cannot be read.
        """
        _require_query(query)
        text = query.casefold()
        with duckdb.connect(config={"python_enable_replacements": False}) as connection:
            for name in self.tables:
                if name in text:  # a name in a string literal costs a table that is not needed, no more
                    connection.register(name, self._publication.table(name))
            try:
                table = connection.execute(query, parameters).to_arrow_table()
            except duckdb.CatalogException as error:
                raise BatteryError(
                    f"{_first_line(error)}; there are {', '.join(self.tables)}. {_NOT_AT_HAND}"
                ) from None
            except duckdb.Error as error:
                raise BatteryError(_first_line(error)) from None
        return self._frame(_without_decimals(table), as_)

    def _measured(self, cell: str, chosen: pa.Table) -> pa.Table:
        """The readings of chosen cycles of a cell, in the order of the cycles."""
        readings = with_charge(self._publication.readings(cell, chosen))
        # Tests stand in the order of their names, which need not be that of their cycles.
        readings = readings.take(np.argsort(readings["cycle_number"].to_numpy(), kind="stable"))
        return with_steps(readings, self._publication.rows("battery_steps", [cell]))

    def _rows(self, name: str, cells: Cells, as_: FrameKind | None) -> Frame:
        return self._frame(self._publication.rows(name, _wanted(cells)), as_)

    def _frame(self, table: pa.Table, as_: FrameKind | None) -> Frame:
        return frame(table, as_ or self._kind)

    def _chosen(self, cell: str, cycles: Cycles) -> pa.Table:
        """The rows of `battery_cycles` that a choice means, in their order.

        Raises:
            BatteryError: the cell is unknown, or it has none of them.
        """
        if not isinstance(cell, str):
            raise BatteryError(f'{_shown(cell)} is no cell: name one by its id, as "A1"')
        rows = self._publication.rows("battery_cycles", [cell]).sort_by("cycle_number")
        if cycles is None:
            cycles = "all"
        if isinstance(cycles, str):
            choice = choose_cycles(parse_choice(cycles), rows)
            numbers, lacking = list(choice.numbers), ", ".join(choice.lacking)
        else:
            asked = _whole_numbers(cycles)
            present = np.isin(asked, rows["cycle_number"].to_numpy())
            numbers, lacking = asked[present].tolist(), spans(asked[~present])
        if not numbers:
            there = spans(rows["cycle_number"].to_numpy())
            raise BatteryError(f"{cell} has no cycle {lacking or 'at all'}; it has {there or 'none'}")
        if lacking:
            warnings.warn(f"{cell} has no cycle {lacking}", stacklevel=3)
        return rows.filter(pc.is_in(rows["cycle_number"], value_set=pa.array(numbers, rows["cycle_number"].type)))


def _wanted(cells: Cells) -> list[str] | None:
    """The ids of the cells that are asked for; None for all.

    Raises:
        BatteryError: they are no ids.
    """
    if cells is None:
        return None
    try:
        wanted = [cells] if isinstance(cells, str) else list(cells)
    except TypeError:
        wanted = [cells]  # type: ignore[list-item]  # which is what is refused
    for cell in wanted:
        if not isinstance(cell, str):
            raise BatteryError(f'{_shown(cell)} is no cell: name one by its id, or several, as ["A1", "A2"]')
    return wanted


def _require_query(query: str) -> None:
    """Check that a text is one query, and nothing that writes, attaches or loads something.

    Raises:
        BatteryError: it is not.
    """
    if not isinstance(query, str):
        raise BatteryError(f"{_shown(query)} is no query, which is a text of SQL")
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise BatteryError(_first_line(error)) from None
    # Of a PIVOT DuckDB makes two statements, of which the first, that of a type, has no text.
    queries = [found for found in statements if found.type != duckdb.StatementType.CREATE or found.query]
    if len(queries) != 1 or queries[0].type != duckdb.StatementType.SELECT:
        what = ", ".join(found.type.name for found in queries) or "nothing"
        raise BatteryError(f"sql takes one SELECT, which only reads; this is {what}")


def _whole_numbers(cycles: float | Iterable[float]) -> npt.NDArray[np.int64]:
    """Numbers of cycles, ascending, each once; a whole number may be a float, as one that was NULL elsewhere is.

    Raises:
        BatteryError: they are no whole numbers.
    """
    try:
        if not isinstance(cycles, bytes | bool):
            asked = np.array([cycles] if isinstance(cycles, Real) else list(cycles), dtype=np.float64)  # type: ignore[arg-type]
            if ((np.abs(asked) < _CYCLES_BELOW) & (np.floor(asked) == asked)).all():
                return np.unique(asked.astype(np.int64))
    except (TypeError, ValueError, OverflowError):
        pass
    raise BatteryError(
        f"cycles={_shown(cycles)} are no numbers of cycles: write 7, range(1, 50), [1, 100] or words such as "
        '"1, 50-100:10"'
    )


def _shown(value: object) -> str:
    """A value in an error: one line, and not a long one."""
    return " ".join(repr(value).split())[:60]


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]


def _without_decimals(table: pa.Table) -> pa.Table:
    """DuckDB's decimals as floats, or as whole numbers where their type has no places, as that of a sum has none.

    Frames would hold a Python object for each of them.
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            column = table.column(place)
            try:
                column = column.cast(pa.int64() if field.type.scale == 0 else pa.float64())
            except pa.ArrowInvalid:  # more than 64 bits hold
                column = column.cast(pa.float64())
            table = table.set_column(place, field.name, column)
    return table
