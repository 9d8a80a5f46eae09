"""Where a test of a cell stands, and what the next reading adds to it: the rules of the contract in plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.peers.spikes import RECENT, TEMPERATURE_FLOOR, VOLTAGE_FLOOR, temperature_spikes, voltage_spikes
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
    LEAPS,
    RESET_SHARE,
    STEP_RESET_SHARE,
    Quality,
    Reason,
)

if TYPE_CHECKING:
    from benchmarks.peers.spikes import Sample
    from benchmarks.peers.tables import Row

CLOCK_JUMP_US: Final = 60_000_000
"""A minute by which wall clock and test clock move differently between two readings."""

CHARGES: Final = 2
"""The first of the counters are of charge, the others of energy."""


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
        """Everything that it remembers, as a list."""
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
        """A test from what was remembered of it."""
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
        """The reason to refuse a reading because of those before it; `refusals` counts those of the cell."""
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
        size = self.peak_current or COUNTER_LEAP_CURRENT
        self.peak_current = peak = max(self.peak_current, abs(current))
        flow = _flow(row, time - last_time, recent[-1] if recent else None)
        gained, flags = self._gains(row, time, size, flow)
        quality |= flags
        if len(recent) == RECENT:
            _, before, _, warmth_before = recent[-1]
            if abs(voltage - before) > VOLTAGE_FLOOR and voltage_spikes(recent, time, voltage, current, peak):
                quality |= Quality.SPIKE.value
            if (
                temperature is not None
                and warmth_before is not None
                and abs(temperature - warmth_before) > TEMPERATURE_FLOOR
                and temperature_spikes(recent, time, temperature)
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

    def _gains(self, row: Row, time: float, size: float, flow: tuple[float, ...]) -> tuple[list[float], int]:
        """What the counters have gained, and flags for those that fell or leaped.

        `flow` is the gain by the current, `size` the largest current before in A.
        """
        gained, flags = [], 0
        for index, name in enumerate(COUNTERS):
            value = row[name]
            if value is None:
                gained.append(0.0)
                continue
            gain, flag = self._gain(index, value, row, time, size, flow[index])
            gained.append(gain)
            flags |= flag
        return gained, flags

    def _gain(self, index: int, value: float, row: Row, time: float, size: float, flow: float) -> tuple[float, int]:
        """The same for one counter; its value is dropped where it leaped."""
        noise, zero = COUNTER_NOISE * size, COUNTER_ZERO * size
        stood, left, leapt, given = self.counters[index], self.left[index], self.leapt[index], self.given[index]
        rate = (self.peak_current or COUNTER_LEAP_CURRENT) * COUNTER_LEAP / 3_600.0
        if index >= CHARGES:
            rate *= max(abs(row["voltage(v)"]), 1.0)
        before = stood if stood is not None else 0.0 if time <= GAP_SECONDS else value
        was_zero = stood is not None and abs(before) <= noise
        fell = value < before - noise
        restarted = fell and abs(value) < (STEP_RESET_SHARE if self.crossed[index] else RESET_SHARE) * before
        gain = value if restarted else value - before
        most = rate * (time - self.measured_at[index] + 1.0)
        back = left is not None and (was_zero or restarted) and left[0] - noise <= value <= 2 * left[0]
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
            flag = (Quality.COUNTER_RESET if restarted else Quality.COUNTER_FELL).value if fell else 0
            now_left = left
            if stood is not None and abs(value) <= noise and not was_zero:
                now_left = (stood, self.measured_at[index], self.crossed[index]) if stood > zero else None
            elif abs(value) > noise and (restarted or was_zero):
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
            if stood is not None and zero < stood < value:
                now_left = (stood, self.measured_at[index], self.crossed[index])
        else:
            self.leapt[index], self.given[index] = (value, time), given + flow
            row[COUNTERS[index]] = None
            return flow, flag | Quality.VALUE_DROPPED.value
        self.counters[index], self.measured_at[index], self.crossed[index] = value, time, False
        self.left[index], self.leapt[index], self.given[index] = now_left, None, 0.0
        return gain, flag

    def _is_spike(self, time: float, voltage: float, current: float) -> bool:
        """Whether the next reading is a suspected spike."""
        return (
            len(self.recent) == RECENT
            and abs(voltage - self.recent[-1][1]) > VOLTAGE_FLOOR
            and voltage_spikes(self.recent, time, voltage, current, self.peak_current)
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
