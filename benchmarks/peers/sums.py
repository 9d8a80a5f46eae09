"""The sums over a window of event time and over a cycle, one reading at a time, in plain Python."""
# ruff: noqa: PLR1730  # for every reading, a comparison costs less than a call of min

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from benchmarks.peers.tables import CAPACITIES, CYCLES, WINDOWS
from kernel.contract.reading import COUNTERS, LEAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.tables import Item, Row


class Summary:
    """Extremes of some readings of a cell; what a window and a cycle have in common."""

    __slots__ = ("count", "temperature_max", "temperature_min", "voltage_max", "voltage_min")

    def __init__(self) -> None:
        self.count = 0
        self.voltage_min = math.inf
        self.voltage_max = -math.inf
        self.temperature_min = math.inf
        self.temperature_max = -math.inf

    def _remembered(self) -> list[Any]:
        # JSON knows no infinity, from which the extremes start.
        return [
            self.count,
            _measured(self.voltage_min),
            _measured(self.voltage_max),
            _measured(self.temperature_min),
            _measured(self.temperature_max),
        ]

    def _restore(self, remembered: list[Any]) -> None:
        self.count, voltage_min, voltage_max, temperature_min, temperature_max = remembered
        self.voltage_min, self.voltage_max = _lowest(voltage_min), _highest(voltage_max)
        self.temperature_min, self.temperature_max = _lowest(temperature_min), _highest(temperature_max)

    def _extend(self, voltage: float, temperature: float | None) -> None:
        self.count += 1
        if voltage < self.voltage_min:
            self.voltage_min = voltage
        if voltage > self.voltage_max:
            self.voltage_max = voltage
        if temperature is not None:
            if temperature < self.temperature_min:
                self.temperature_min = temperature
            if temperature > self.temperature_max:
                self.temperature_max = temperature

    def _extremes(self) -> Row:
        return {
            "reading_count": self.count,
            "voltage_min_v": _measured(self.voltage_min),
            "voltage_max_v": _measured(self.voltage_max),
            "temperature_min_c": _measured(self.temperature_min),
            "temperature_max_c": _measured(self.temperature_max),
        }


def _measured(extreme: float) -> float | None:
    return extreme if math.isfinite(extreme) else None


def _lowest(measured: float | None) -> float:
    return math.inf if measured is None else measured


def _highest(measured: float | None) -> float:
    return -math.inf if measured is None else measured


class Window(Summary):
    """What readings have added to a window of event time since that was last sent on."""

    __slots__ = (
        "charge",
        "current_last",
        "current_max",
        "current_min",
        "current_sum",
        "energy",
        "flagged",
        "start",
        "temperature_count",
        "temperature_last",
        "temperature_sum",
        "voltage_last",
        "voltage_sum",
    )

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start
        self.flagged = 0
        self.voltage_sum = 0.0
        self.voltage_last: float | None = None
        self.current_sum = 0.0
        self.current_min = math.inf
        self.current_max = -math.inf
        self.current_last: float | None = None
        self.temperature_count = 0
        self.temperature_sum = 0.0
        self.temperature_last: float | None = None
        self.charge = 0.0
        self.energy = 0.0

    def remembered(self) -> list[Any]:
        """Everything that they hold, as a list."""
        return [
            self.start,
            self._remembered(),
            self.flagged,
            self.voltage_sum,
            self.voltage_last,
            self.current_sum,
            _measured(self.current_min),
            _measured(self.current_max),
            self.current_last,
            self.temperature_count,
            self.temperature_sum,
            self.temperature_last,
            self.charge,
            self.energy,
        ]

    @classmethod
    def from_remembered(cls, remembered: list[Any]) -> Self:
        """The sums from what was remembered of them."""
        window = cls(remembered[0])
        (
            _start,
            extremes,
            window.flagged,
            window.voltage_sum,
            window.voltage_last,
            window.current_sum,
            current_min,
            current_max,
            window.current_last,
            window.temperature_count,
            window.temperature_sum,
            window.temperature_last,
            window.charge,
            window.energy,
        ) = remembered
        window.current_min, window.current_max = _lowest(current_min), _highest(current_max)
        window._restore(extremes)
        return window

    def add(self, row: Row, gained: Sequence[float]) -> None:
        """Add a reading."""
        voltage, current, temperature = row["voltage(v)"], row["current(a)"], row["temperature(c)"]
        self._extend(voltage, temperature)
        if row["quality"]:
            self.flagged += 1
        self.voltage_sum += voltage
        self.voltage_last = voltage
        self.current_sum += current
        self.current_last = current
        if current < self.current_min:
            self.current_min = current
        if current > self.current_max:
            self.current_max = current
        if temperature is not None:
            self.temperature_count += 1
            self.temperature_sum += temperature
            self.temperature_last = temperature
        self.charge += gained[0] + gained[1]
        self.energy += gained[2] + gained[3]

    def item(self, cell_id: str, offset: int, *, is_final: bool) -> Item:
        """The sums so far, as an item for the sink."""
        return WINDOWS, {
            "cell_id": cell_id,
            "window_start": self.start,
            **self._extremes(),
            "flagged_count": self.flagged,
            "voltage_sum_v": self.voltage_sum,
            "voltage_last_v": self.voltage_last,
            "current_sum_a": self.current_sum,
            "current_min_a": _measured(self.current_min),
            "current_max_a": _measured(self.current_max),
            "current_last_a": self.current_last,
            "temperature_count": self.temperature_count,
            "temperature_sum_c": self.temperature_sum,
            "temperature_last_c": self.temperature_last,
            "charge_throughput_ah": self.charge,
            "energy_throughput_wh": self.energy,
            "is_final": is_final,
            "as_of_offset": offset,
        }


class Cycle(Summary):
    """What readings have added to a cycle of a test since that was last sent on."""

    __slots__ = ("capacities", "ended_at", "index", "resistance_count", "resistance_sum", "started_at", "test_id")

    def __init__(self, test_id: str, index: int) -> None:
        super().__init__()
        self.test_id = test_id
        self.index = index
        self.capacities: list[float | None] = [None] * len(COUNTERS)
        self.resistance_count = 0
        self.resistance_sum = 0.0
        self.started_at: int | None = None
        self.ended_at: int | None = None

    def remembered(self) -> list[Any]:
        """Everything that they hold, as a list."""
        return [
            self.test_id,
            self.index,
            self._remembered(),
            self.capacities,
            self.resistance_count,
            self.resistance_sum,
            self.started_at,
            self.ended_at,
        ]

    @classmethod
    def from_remembered(cls, remembered: list[Any]) -> Self:
        """The sums from what was remembered of them."""
        test_id, index, extremes, *rest = remembered
        cycle = cls(test_id, index)
        cycle._restore(extremes)
        cycle.capacities, cycle.resistance_count, cycle.resistance_sum, cycle.started_at, cycle.ended_at = rest
        return cycle

    def add(self, row: Row, gained: Sequence[float]) -> None:
        """Add a reading; the resistance of a cycle is that of its discharging readings."""
        self._extend(row["voltage(v)"], row["temperature(c)"])
        capacities = self.capacities
        for index, name in enumerate(COUNTERS):
            if row[name] is not None or row["quality"] & LEAPS[index]:  # the current tells what one that leaped gained
                capacities[index] = (capacities[index] or 0.0) + gained[index]
        resistance = row["internal_resistance(ohm)"]
        if resistance is not None and gained[1] > 0:
            self.resistance_count += 1
            self.resistance_sum += resistance
        clock = row["date_time"]
        if clock is not None:
            if self.started_at is None or clock < self.started_at:
                self.started_at = clock
            if self.ended_at is None or clock > self.ended_at:
                self.ended_at = clock

    def item(self, cell_id: str, offset: int, *, is_final: bool) -> Item:
        """The sums so far, as an item for the sink."""
        return CYCLES, {
            "cell_id": cell_id,
            "test_id": self.test_id,
            "cycle_index": self.index,
            **self._extremes(),
            **dict(zip(CAPACITIES, self.capacities, strict=True)),
            "resistance_count": self.resistance_count,
            "resistance_sum_ohm": self.resistance_sum,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "is_final": is_final,
            "as_of_offset": offset,
        }
