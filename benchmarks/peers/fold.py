"""What a cell's readings come to, one at a time: the contract's rules and sums, in plain Python.

It knows no broker and no files. What it remembers of a cell can be put away as a value that JSON can hold, and be
taken up again from there.
"""
# ruff: noqa: PLR1730  # for every reading, a comparison costs less than a call of min

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from benchmarks.peers.tables import CAPACITIES, CYCLES, QUARANTINE, READINGS, WINDOWS
from dataflows.fold.order import (
    BELIEVED,
    FIRST_POINT,
    FIRST_SECONDS,
    LATE_SECONDS,
    POINTS_PER_SECOND,
    SECONDS_PER_POINT,
)
from kernel.contract.reading import (
    COUNTER_LEAP,
    COUNTER_LEAP_CURRENT,
    COUNTER_NOISE,
    COUNTER_RETURN,
    COUNTER_ZERO,
    COUNTERS,
    GAP_SECONDS,
    INSTRUMENT_RANGE,
    LEAPS,
    OPTIONAL,
    REQUIRED,
    RESET_SHARE,
    STEP_RESET_SHARE,
    Quality,
    Reason,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.tables import Item, Row

Sample: TypeAlias = tuple[float, float, float, float | None]
"""Test time in s, voltage in V, current in A and temperature in degC of a reading, as the spike rule needs them."""

WINDOW_US: Final = 600_000_000
"""Width of a window of event time, in microseconds."""

CLOCK_JUMP_US: Final = 60_000_000
"""A minute by which wall clock and test clock move differently between two readings."""

RECENT: Final = 3
"""Samples that the spike rule looks back on, and the pairs of them, as places from the end: nearer one first."""
PAIRS: Final = ((-1, -2), (-1, -3), (-2, -3))

LIMITS: Final = (
    *((name, limits.low, limits.high) for name, limits in INSTRUMENT_RANGE.items() if name not in OPTIONAL),
    ("date_time", -2_208_988_800_000_000, 7_258_118_400_000_000),  # 1900 to 2200
)
"""Columns whose value refuses a reading where it is beyond these; the clock in microseconds since 1970."""

OPTIONAL_LIMITS: Final = tuple((name, INSTRUMENT_RANGE[name].low, INSTRUMENT_RANGE[name].high) for name in OPTIONAL)
"""Columns whose value is dropped there."""


def fault_of(row: Row) -> tuple[Reason, str] | None:
    """What refuses a reading by itself; unusable values of optional columns are dropped on the way."""
    if row["cell_id"] != row["kafka_key"] and row["cell_id"] is not None:
        return Reason.UNKNOWN_SCHEMA, f"the message's key {row['kafka_key']!r} is not the reading's cell_id"
    for name in REQUIRED:
        value = row[name]
        if value is None or value == "":
            return Reason.MISSING_VALUE, f"{name} is missing"
    try:
        for name, low, high in LIMITS:
            value = row[name]
            if value is not None and not low <= value <= high:
                reason = Reason.OUT_OF_RANGE if math.isfinite(value) else Reason.NOT_FINITE
                return reason, f"{name} is {value}"
    except TypeError:
        return Reason.NOT_A_NUMBER, f"{name} is {value!r}"
    for name, low, high in OPTIONAL_LIMITS:
        value = row[name]
        if value is not None and not low <= value <= high:
            row[name] = None
            row["quality"] = Quality.VALUE_DROPPED.value
    return None


class Test:
    """Where a test stands after the last reading that was accepted of it."""

    __slots__ = (
        "counters",
        "crossed",
        "cycle_index",
        "data_point",
        "date_time",
        "given",
        "leapt",
        "left",
        "measured_at",
        "peak_current",
        "pulsed",
        "recent",
        "refusals",
        "step_index",
        "step_time",
        "test_time",
    )

    def __init__(self) -> None:
        self.data_point = -1
        self.test_time = 0.0
        self.date_time: int | None = None
        self.step_time: float | None = None
        self.step_index = -1
        self.cycle_index = -1
        self.counters: list[float | None] = [None] * len(COUNTERS)
        self.crossed = [True] * len(COUNTERS)  # whether a step has begun since that counter was measured
        self.peak_current = 0.0
        self.pulsed = False
        self.recent: list[Sample] = []  # of this step
        self.refusals = 0  # of its cell, when it was last accepted
        self.measured_at = [0.0] * len(COUNTERS)
        self.leapt: list[tuple[float, float] | None] = [None] * len(COUNTERS)  # to what and when, since it was measured
        self.given = [0.0] * len(COUNTERS)  # what the current told since then
        # Where it stood, when, and whether a step has begun since, before it fell to zero or leaped to stay.
        self.left: list[tuple[float, float, bool] | None] = [None] * len(COUNTERS)

    def remembered(self) -> list[Any]:
        """All that it knows."""
        return [
            self.data_point,
            self.test_time,
            self.date_time,
            self.step_time,
            self.step_index,
            self.cycle_index,
            self.counters,
            self.crossed,
            self.peak_current,
            self.pulsed,
            self.recent,
            self.refusals,
            self.measured_at,
            self.leapt,
            self.given,
            self.left,
        ]

    @classmethod
    def from_remembered(cls, remembered: list[Any]) -> Self:
        """As it was."""
        test = cls()
        (
            test.data_point,
            test.test_time,
            test.date_time,
            test.step_time,
            test.step_index,
            test.cycle_index,
            test.counters,
            test.crossed,
            test.peak_current,
            test.pulsed,
            test.recent,
            test.refusals,
            test.measured_at,
            test.leapt,
            test.given,
            test.left,
        ) = remembered
        return test

    def admit(self, row: Row, refusals: int) -> tuple[Reason, str] | None:
        """What refuses a reading because of those before it; `refusals` counts those of the cell."""
        point, time = row["data_point"], row["test_time(s)"]
        if point <= self.data_point:
            return Reason.DUPLICATE, f"test {row['test_id']} is already known beyond data point {point}"
        if time < self.test_time:
            return Reason.TIME_BACKWARDS, f"test_time(s) is {time}, before the reading accepted last"
        if refusals - self.refusals < BELIEVED and self._leaps(point, time, row["date_time"]):
            return Reason.OUT_OF_RANGE, f"data_point {point} or test_time(s) {time} leaps away from the other"
        self.refusals = refusals
        return None

    def _leaps(self, point: int, time: float, clock: int | None) -> bool:
        """Whether data point or test time leaps beyond those before."""
        points, seconds = point - max(self.data_point, 0), time - self.test_time
        if points <= POINTS_PER_SECOND and seconds <= LATE_SECONDS:
            return False
        often = max(1.0, self.data_point / max(self.test_time, 1.0))
        seldom = max(1.0, self.test_time / max(self.data_point, 1) / 1_000)
        far = points > POINTS_PER_SECOND * often * (seconds + 1)
        late = seconds > SECONDS_PER_POINT * seldom * points
        if self.data_point < 0:
            return (far and point >= FIRST_POINT) or (late and time >= FIRST_SECONDS)
        if clock is not None and self.date_time is not None and clock != self.date_time:
            late = seconds > LATE_SECONDS + 2 * max((clock - self.date_time) / 1e6, 0.0)
        return far or late

    def follow(self, row: Row) -> list[float]:
        """Take a reading as the next one: flag it, null a resistance that is no measurement.

        Returns:
            What the counters have gained, in Ah and Wh.
        """
        point, time, clock = row["data_point"], row["test_time(s)"], row["date_time"]
        step_index, cycle_index, step_time = row["step_index"], row["cycle_index"], row["step_time(s)"]
        voltage, current, temperature = row["voltage(v)"], row["current(a)"], row["temperature(c)"]
        quality = row["quality"]

        last_time = self.test_time
        if time - last_time > GAP_SECONDS or point - max(self.data_point, 0) > 1:
            quality |= Quality.GAP.value
        if (
            clock is not None
            and self.date_time is not None
            and abs(clock - self.date_time - (time - last_time) * 1e6) > CLOCK_JUMP_US
        ):
            quality |= Quality.CLOCK_JUMP.value
        if cycle_index < self.cycle_index:
            quality |= Quality.CYCLE_BACKWARDS.value

        recent = self.recent
        if (
            step_index != self.step_index
            or cycle_index != self.cycle_index
            or (step_time is not None and self.step_time is not None and step_time < self.step_time)
        ):
            recent.clear()
            self.crossed = [True] * len(COUNTERS)
            self.left = [None if left is None else (*left[:2], True) for left in self.left]
        self.peak_current = peak = max(self.peak_current, abs(current))
        flow = _flow(row, time - last_time, recent[-1] if recent else None)
        gained, flags = self._gains(row, time, flow)
        quality |= flags
        if len(recent) == RECENT:
            _, before, _, warmth_before = recent[-1]
            if abs(voltage - before) > VOLTAGE_FLOOR and _voltage_spikes(recent, time, voltage, current, peak):
                quality |= Quality.SPIKE.value
            if (
                temperature is not None
                and warmth_before is not None
                and abs(temperature - warmth_before) > TEMPERATURE_FLOOR
                and _temperature_spikes(recent, time, temperature)
            ):
                quality |= Quality.TEMPERATURE_SPIKE.value
            del recent[0]
        recent.append((time, voltage, current, temperature))

        resistance = row["internal_resistance(ohm)"]
        if not self.pulsed and resistance is not None:
            if resistance > 0:
                self.pulsed = True
            else:
                row["internal_resistance(ohm)"] = None
        row["quality"] = quality
        self.data_point, self.test_time, self.date_time = point, time, clock
        self.step_index, self.cycle_index, self.step_time = step_index, cycle_index, step_time
        return gained

    def _gains(self, row: Row, time: float, flow: tuple[float, ...]) -> tuple[list[float], int]:
        """What the counters have gained, and flags for those that fell or leaped; `flow` is what the current tells."""
        gained, flags = [], 0
        for index, name in enumerate(COUNTERS):
            value = row[name]
            if value is None:
                gained.append(0.0)
                continue
            gain, flag = self._gain(index, value, row, time, flow[index])
            gained.append(gain)
            flags |= flag
        return gained, flags

    def _gain(self, index: int, value: float, row: Row, time: float, flow: float) -> tuple[float, int]:
        """The same of one counter, which drops its value where it leaped."""
        stood, left, leapt, given = self.counters[index], self.left[index], self.leapt[index], self.given[index]
        rate = (self.peak_current or COUNTER_LEAP_CURRENT) * COUNTER_LEAP / 3_600.0
        if index >= CHARGES:
            rate *= max(abs(row["voltage(v)"]), 1.0)
        before = stood if stood is not None else 0.0 if time <= GAP_SECONDS else value
        was_zero = stood is not None and abs(before) <= COUNTER_NOISE
        fell = value < before - COUNTER_NOISE
        anew = fell and abs(value) < (STEP_RESET_SHARE if self.crossed[index] else RESET_SHARE) * before
        gain = value if anew else value - before
        most = rate * (time - self.measured_at[index] + 1.0)
        back = left is not None and (was_zero or anew) and left[0] - COUNTER_NOISE <= value <= 2 * left[0]
        returns = (
            left is not None
            and back
            and value - left[0] <= rate * (time - left[1] + 1.0)
            and ((not left[2] and value - flow > left[0] / 2) or value > most * (COUNTER_RETURN / COUNTER_LEAP))
        )
        spike = self._is_spike(time, row["voltage(v)"], row["current(a)"])
        now_left, flag = None, int(Quality.COUNTER_LEAP | LEAPS[index])
        if left is not None and returns and not spike:
            gain = value - left[0] - before - given if was_zero else flow
        elif not returns and abs(gain) <= most:
            gain -= given
            flag = (Quality.COUNTER_RESET if anew else Quality.COUNTER_FELL).value if fell else 0
            now_left = left
            if stood is not None and abs(value) <= COUNTER_NOISE and not was_zero:
                now_left = (stood, self.measured_at[index], self.crossed[index]) if stood > COUNTER_ZERO else None
            elif abs(value) > COUNTER_NOISE and (anew or was_zero):
                now_left = None
        elif not spike and (
            stood is None
            or (
                leapt is not None
                and not (value == leapt[0] and flow > 0)
                and abs(value - leapt[0]) <= rate * (time - leapt[1] + 1.0)
                and not (back and was_zero)
            )
        ):
            gain = 0.0 if stood is None else flow
            if stood is not None and COUNTER_ZERO < stood < value:
                now_left = (stood, self.measured_at[index], self.crossed[index])
        else:
            self.leapt[index], self.given[index] = (value, time), given + flow
            row[COUNTERS[index]] = None
            return flow, flag | Quality.VALUE_DROPPED.value
        self.counters[index], self.measured_at[index], self.crossed[index] = value, time, False
        self.left[index], self.leapt[index], self.given[index] = now_left, None, 0.0
        return gain, flag

    def _is_spike(self, time: float, voltage: float, current: float) -> bool:
        """Whether a reading, the next one, is a suspected one."""
        return (
            len(self.recent) == RECENT
            and abs(voltage - self.recent[-1][1]) > VOLTAGE_FLOOR
            and _voltage_spikes(self.recent, time, voltage, current, self.peak_current)
        )


def _flow(row: Row, elapsed: float, before: Sample | None) -> tuple[float, ...]:
    """What the current would have each counter gain, given the reading before where that is of the same step."""
    if before is None and row["step_time(s)"] is not None:
        elapsed = min(elapsed, row["step_time(s)"])
    if elapsed > GAP_SECONDS:
        elapsed = 0.0
    found = []
    for has_volts in (False, True):
        for sign in (1.0, -1.0):
            now = max(sign * row["current(a)"], 0.0) * (abs(row["voltage(v)"]) if has_volts else 1.0)
            then = now if before is None else max(sign * before[2], 0.0) * (abs(before[1]) if has_volts else 1.0)
            found.append((then + now) / 2 * elapsed / 3_600.0)
    return tuple(found)


CHARGES: Final = 2
"""The first of the counters are of charge, the others of energy."""

VOLTAGE_FLOOR: Final = 0.015
TEMPERATURE_FLOOR: Final = 2.0
STEEPER: Final = 1.25
FLATTER: Final = 0.5
REACH: Final = 0.5
STEADY: Final = 0.15
"""The spike rule: how far, in V and degC, a sample may lie from the line through two earlier ones, and which share of
the change that the line predicts; the voltage that the largest current explains, and the surge above which no
voltage is judged."""


def _voltage_spikes(recent: Sequence[Sample], time: float, voltage: float, current: float, peak: float) -> bool:
    for near, far in PAIRS:
        near_time, near_voltage, near_current, _ = recent[near]
        far_time, far_voltage, far_current, _ = recent[far]
        span = near_time - far_time
        predicted = (near_voltage - far_voltage) * (time - near_time) / span if span > 0 else 0.0
        deviation = voltage - near_voltage - predicted
        surge = max(abs(current - near_current), abs(near_current - far_current)) / peak if peak > 0 else 0.0
        share = STEEPER if deviation * predicted > 0 else FLATTER
        if surge > STEADY or abs(deviation) <= VOLTAGE_FLOOR + share * abs(predicted) + REACH * surge:
            return False
    return True


def _temperature_spikes(recent: Sequence[Sample], time: float, temperature: float) -> bool:
    for near, far in PAIRS:
        near_time, _, _, near_value = recent[near]
        far_time, _, _, far_value = recent[far]
        if near_value is None or far_value is None:
            return False
        span = near_time - far_time
        predicted = (near_value - far_value) * (time - near_time) / span if span > 0 else 0.0
        deviation = temperature - near_value - predicted
        share = STEEPER if deviation * predicted > 0 else FLATTER
        if abs(deviation) <= TEMPERATURE_FLOOR + share * abs(predicted):
            return False
    return True


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
        """All that it knows."""
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
        """As it was."""
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
        """What it has come to, for the sink."""
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
        """All that it knows."""
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
        """As it was."""
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
        """What it has come to, for the sink."""
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


class Cell:
    """All that is known of a cell: its tests, and the window and the cycle that it is in."""

    __slots__ = ("cell_id", "cycle", "offset", "refusals", "tests", "window")

    def __init__(self, cell_id: str) -> None:
        self.cell_id = cell_id
        self.tests: dict[str, Test] = {}
        self.window: Window | None = None
        self.cycle: Cycle | None = None
        self.offset = -1
        self.refusals = 0  # duplicates apart

    def remembered(self) -> Row:
        """All that it knows, as JSON can hold it; it shares lists with the cell."""
        return {
            "tests": {test_id: test.remembered() for test_id, test in self.tests.items()},
            "window": self.window and self.window.remembered(),
            "cycle": self.cycle and self.cycle.remembered(),
            "offset": self.offset,
            "refusals": self.refusals,
        }

    @classmethod
    def from_remembered(cls, cell_id: str, remembered: Row | None) -> Self:
        """A cell as it was, or one of which nothing is known; it takes over the lists."""
        cell = cls(cell_id)
        if remembered is not None:
            cell.tests = {test_id: Test.from_remembered(found) for test_id, found in remembered["tests"].items()}
            cell.window = remembered["window"] and Window.from_remembered(remembered["window"])
            cell.cycle = remembered["cycle"] and Cycle.from_remembered(remembered["cycle"])
            cell.offset = remembered["offset"]
            cell.refusals = remembered["refusals"]
        return cell

    def take(self, row: Row) -> list[Item]:
        """Land a reading or refuse it; a window or cycle that it leaves is final."""
        fault = self._fault_of(row)
        if fault is not None:
            self.refusals += fault[0] is not Reason.DUPLICATE
            return [_refused(row, *fault)]
        test_id, cycle_index, clock, offset = row["test_id"], row["cycle_index"], row["date_time"], row["kafka_offset"]
        gained = self.tests[test_id].follow(row)
        items = [(READINGS, row)]
        self.offset = offset
        if clock is not None:
            start = clock // WINDOW_US * WINDOW_US
            window = self.window
            if window is None or window.start != start:
                if window is not None:
                    items.append(window.item(self.cell_id, offset, is_final=True))
                self.window = window = Window(start)
            window.add(row, gained)
        cycle = self.cycle
        if cycle is None or cycle.index != cycle_index or cycle.test_id != test_id:
            if cycle is not None:
                items.append(cycle.item(self.cell_id, offset, is_final=True))
            self.cycle = cycle = Cycle(test_id, cycle_index)
        cycle.add(row, gained)
        return items

    def _fault_of(self, row: Row) -> tuple[Reason, str] | None:
        fault = fault_of(row)
        if fault is not None:
            return fault
        test = self.tests.get(row["test_id"])
        if test is None:
            test = self.tests[row["test_id"]] = Test()
        return test.admit(row, self.refusals)

    def so_far(self) -> list[Item]:
        """What has been added to the open window and cycle, which both go on from nothing."""
        items = []
        if self.window is not None and self.window.count:
            items.append(self.window.item(self.cell_id, self.offset, is_final=False))
            self.window = Window(self.window.start)
        if self.cycle is not None and self.cycle.count:
            items.append(self.cycle.item(self.cell_id, self.offset, is_final=False))
            self.cycle = Cycle(self.cycle.test_id, self.cycle.index)
        return items


def _refused(row: Row, reason: Reason, detail: str) -> Item:
    return QUARANTINE, {
        "partition": row["kafka_partition"],
        "offset": row["kafka_offset"],
        "row": row["kafka_row"],
        "cell_id": row["cell_id"],
        "source_file": row["source_file"],
        "reason": reason.value,
        "detail": detail,
        "payload": None if reason is Reason.DUPLICATE else json.dumps(row),
    }
